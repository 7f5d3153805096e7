"""Which reader a path needs, and the order of several."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable

import numpy as np

from spectrax import check
from spectrax.checkpoints.base import Checkpoint, CheckpointError, reading
from spectrax.checkpoints.files import open_npz, open_safetensors
from spectrax.checkpoints.folders import heads_beside, open_sharded, weights_in
from spectrax.checkpoints.limits import named
from spectrax.checkpoints.msgpack_files import open_msgpack
from spectrax.checkpoints.onnx_files import open_onnx
from spectrax.checkpoints.orbax import open_orbax
from spectrax.checkpoints.pytorch import open_torch

READERS = {
    ".npz": open_npz,
    ".safetensors": open_safetensors,
    ".msgpack": open_msgpack,
    ".onnx": open_onnx,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), open_torch),
}


def open_checkpoint(path: str | pathlib.Path) -> Checkpoint:
    """Names and shapes of the arrays in a checkpoint; `.read(name)` reads one.

    Args:
        path: an `.npz`, `.safetensors`, (Flax) `.msgpack`, (PyTorch) `.pt`, `.pth`, `.bin`, `.ckpt`
            or `.onnx` file, the index of shards (`model.safetensors.index.json`), a folder in which
            Hugging Face's names are found, or the folder of an Orbax checkpoint.

    Returns:
        A `Checkpoint`.

    Raises:
        CheckpointError: one sentence: not there, unknown, broken, or a library is missing.
        ValueError: `path` is no path.

    Examples:
        >>> import tempfile, pathlib, numpy as np, spectrax
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "weights.npz"
        ...     np.savez(path, hidden=np.ones((64, 32)), bias=np.ones(64))
        ...     checkpoint = spectrax.open_checkpoint(path)
        ...     checkpoint.select(), checkpoint.read("hidden").shape
        (['hidden'], (64, 32))
    """
    path = _path("path", path)
    with reading(path):
        if path.is_dir():
            inside = weights_in(path)
            return named(open_orbax(path)) if inside is None else open_checkpoint(inside)
        if not path.is_file():
            raise CheckpointError(f"There is no file {str(path)!r}.")
        if path.name.endswith(".index.json"):
            found = open_sharded(path, open_checkpoint)
            return named(dataclasses.replace(found, heads=heads_beside(path)))
        if path.suffix not in READERS:
            known = ", ".join(READERS)
            raise CheckpointError(
                f"Cannot tell the format of {str(path)!r}: it must end in {known} or be a folder."
            )
        found = READERS[path.suffix](path)
        stored = path.stat().st_size if found.stored is None else found.stored
        return named(dataclasses.replace(found, heads=heads_beside(path), stored=stored))


def find_snapshots(paths: Iterable[str | pathlib.Path]) -> list[pathlib.Path]:
    """Paths of single checkpoints; a folder of numbered ones (Orbax) stands for all of them.

    Args:
        paths: files and folders, in the order of training.

    Returns:
        Files and folders, those of one folder by number.

    Raises:
        ValueError: `paths` is no list of paths.
    """
    if isinstance(paths, str | os.PathLike) or not isinstance(paths, Iterable):
        raise ValueError(f"Argument `paths` must be a list of paths, got {check.named(paths)}.")
    found: list[pathlib.Path] = []
    for path in (_path("paths", path) for path in paths):
        try:
            inside = [x for x in path.iterdir() if x.is_dir() and re.search(r"\d+$", x.name)]
        except OSError:
            inside = []  # a file, or not there: opening it says what is wrong
        numbered = inside and not (path / "_METADATA").exists() and weights_in(path) is None
        found += sorted(inside, key=lambda x: number_of(x)) if numbered else [path]
    return found


def _path(name: str, value) -> pathlib.Path:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(
            f"Argument `{name}` must be a path of a file or folder, got {check.named(value)}."
        )
    return pathlib.Path(value)


def number_of(path: pathlib.Path) -> float:
    """The last number in the name of a checkpoint, its suffix left off; NaN without one."""
    digits = re.findall(r"\d+", path.stem if path.suffix in READERS else path.name)
    return float(digits[-1]) if digits else np.nan
