"""Checkpoints that PyTorch wrote: read by PyTorch itself, which is told to load tensors only."""

import pathlib
import zipfile
from collections.abc import Iterator

import ml_dtypes
import numpy as np

from spectrax.checkpoints.base import Checkpoint, CheckpointError
from spectrax.checkpoints.limits import NAME, TENSORS, TEXT, Directory

CONVERT = (
    "from safetensors.torch import save_file; "
    "save_file(torch.load({name!r}, weights_only=True), {target!r})"
)


def open_torch(path: pathlib.Path) -> Checkpoint:
    """A file of tensors in dictionaries and lists; names are joined by slashes.

    The file is a pickle. It is given to `torch.load(weights_only=True)`, which builds tensors and
    containers and refuses everything else; nothing here unpickles.
    """
    _bounded(path)
    try:
        import torch
    except ImportError as error:
        command = CONVERT.format(name=path.name, target=path.with_suffix(".safetensors").name)
        raise ImportError(
            f"Reading {path.name!r} needs PyTorch, which is not installed; where it is, convert "
            f"the file: {command}."
        ) from error
    tree = _loaded(torch, path)
    tensors = {
        name: tensor
        for name, tensor in _leaves(tree)
        if isinstance(tensor, torch.Tensor) and tensor.ndim and tensor.layout == torch.strided
    }
    if not tensors:
        raise CheckpointError(f"There are no tensors in {str(path)!r}.")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}
    dtypes = {name: str(x.dtype).removeprefix("torch.") for name, x in tensors.items()}

    def load(name: str) -> np.ndarray:
        tensor = tensors[name].detach().contiguous()
        kind = getattr(ml_dtypes, dtypes[name], None)  # bfloat16, float8: NumPy has none
        if kind is None:
            return tensor.numpy()
        same_size = {1: torch.uint8, 2: torch.int16}[tensor.element_size()]
        return tensor.view(same_size).numpy().view(kind)

    return Checkpoint(path, shapes, sizes, load, {}, dtypes)


def _bounded(path: pathlib.Path) -> None:
    """Refuse an archive that PyTorch does not write: with too many members, or compressed."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\3\4":
            return
    with Directory(path, TENSORS) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ValueError(f"its member {info.filename[:NAME]!r} is compressed")
            if info.filename.endswith(".pkl") and info.file_size > TEXT:
                raise ValueError(f"it claims {info.file_size} bytes beside its arrays")


def _loaded(torch, path: pathlib.Path):
    """What is in the file, mapped where the format allows it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # files of before 1.6 cannot be mapped
        pass
    except Exception as error:
        _refuse(path, error)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        _refuse(path, error)


def _refuse(path: pathlib.Path, error: Exception):
    """One sentence; PyTorch says in a page that more than tensors is in the file."""
    if "weights_only" in str(error) or "Unsupported" in str(error):
        raise CheckpointError(
            f"PyTorch does not load {str(path)!r} as tensors only: save the `state_dict()` of the "
            f"model, or convert it to safetensors."
        ) from error
    raise error


def _leaves(tree, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Leaves of nested dictionaries and lists."""
    if isinstance(tree, dict):
        pairs = tree.items()
    elif isinstance(tree, list | tuple):
        pairs = enumerate(tree)
    else:
        yield prefix, tree
        return
    for key, value in pairs:
        yield from _leaves(value, f"{prefix}/{key}" if prefix else str(key))
