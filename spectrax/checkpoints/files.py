"""Checkpoints that are single files: NumPy archives, safetensors, Flax msgpack."""

import pathlib
import re
import zipfile

import numpy as np

from spectrax.checkpoints.base import Checkpoint, CheckpointError, nbytes, reading

EXTRA = "pip install 'spectrax-dmft[checkpoints]'"
MEMBERS = 100_000  # more arrays than any network has; a directory of a zip file can claim them


def open_npz(path: pathlib.Path) -> Checkpoint:
    """A NumPy archive. Headers are read alone; an object array is refused before it is touched."""
    shapes, sizes, members, broken = {}, {}, {}, {}
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > MEMBERS:
            raise CheckpointError(f"{str(path)!r} claims more than {MEMBERS} arrays.")
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            try:
                with reading(path, f"array {name!r} of "), archive.open(info) as file:
                    shapes[name] = _header(file)[0]
            except CheckpointError as error:
                broken[name] = str(error)
            else:
                sizes[name], members[name] = info.file_size, info.filename

    def load(name: str) -> np.ndarray:
        with zipfile.ZipFile(path) as archive, archive.open(members[name]) as file:
            shape, dtype, start = _header(file)
            if dtype.hasobject:
                raise CheckpointError(
                    f"Array {name!r} of {str(path)!r} holds Python objects, which are never loaded."
                )
            if start + nbytes(shape, dtype.itemsize) != archive.getinfo(members[name]).file_size:
                raise CheckpointError(
                    f"Array {name!r} of {str(path)!r} is not as long as its header says."
                )
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)

    return Checkpoint(path, shapes, sizes, load, broken)


def _header(file) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and length of the header of one array."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"an array has format version {version}, which no weights have")
    shape, _, dtype = readers[version](file)
    if any(size < 0 for size in shape):
        raise ValueError(f"an array claims the shape {shape}")
    return shape, dtype, file.tell()


def open_safetensors(path: pathlib.Path) -> Checkpoint:
    """A safetensors file; the library checks that header and length agree."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(f"Reading {path.name!r} needs safetensors: {EXTRA}.") from error
    shapes, sizes = {}, {}
    with safe_open(path, "numpy") as file:
        for name in file.keys():
            view = file.get_slice(name)
            shapes[name] = tuple(view.get_shape())
            bits = re.search(r"\d+", view.get_dtype())  # F32, BF16, …; BOOL has none
            sizes[name] = nbytes(shapes[name], int(bits[0]) if bits else 8) // 8

    def load(name: str) -> np.ndarray:
        with safe_open(path, "numpy") as file:
            return file.get_tensor(name)

    return Checkpoint(path, shapes, sizes, load)


def open_msgpack(path: pathlib.Path) -> Checkpoint:
    """A tree that Flax wrote with `to_bytes`; it has no index, so that all of it is read."""
    try:
        from flax.serialization import msgpack_restore
    except ImportError as error:
        raise ImportError(f"Reading {path.name!r} needs Flax: {EXTRA}.") from error
    arrays = dict(_leaves(msgpack_restore(path.read_bytes())))
    shapes = {name: array.shape for name, array in arrays.items()}
    return Checkpoint(path, shapes, dict.fromkeys(shapes, 0), arrays.__getitem__)


def _leaves(tree, prefix: str = ""):
    """Arrays of nested dictionaries, names joined by slashes."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}/{key}" if prefix else str(key))
    elif isinstance(tree, np.ndarray):
        yield prefix, tree
