"""Checkpoints that are single files: NumPy archives, safetensors, Flax msgpack."""

import json
import pathlib
import re
import zipfile

import numpy as np

from spectrax.checkpoints.base import Checkpoint, CheckpointError, nbytes, reading

EXTRA = "pip install 'spectrax-dmft[checkpoints]'"
TYPES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
MEMBERS = 100_000  # more arrays than any network has; a directory of a zip file can claim them


def open_npz(path: pathlib.Path) -> Checkpoint:
    """A NumPy archive. Headers are read alone; an object array is refused before it is touched."""
    shapes, sizes, members, broken, dtypes = {}, {}, {}, {}, {}
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > MEMBERS:
            raise CheckpointError(f"{str(path)!r} claims more than {MEMBERS} arrays.")
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            try:
                with reading(path, f"array {name!r} of "), archive.open(info) as file:
                    shapes[name], dtype, _ = _header(file)
                    dtypes[name] = dtype.name
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

    return Checkpoint(path, shapes, sizes, load, broken, dtypes)


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
    shapes, sizes, dtypes = {}, {}, {}
    with safe_open(path, "numpy") as file:
        for name in file.keys():
            view = file.get_slice(name)
            shapes[name], kind = tuple(view.get_shape()), view.get_dtype()
            bits = re.search(r"\d+", kind)  # F32, BF16, …; BOOL has none
            sizes[name] = nbytes(shapes[name], int(bits[0]) if bits else 8) // 8
            dtypes[name] = TYPES.get(kind, kind.lower())

    def load(name: str) -> np.ndarray:
        if dtypes[name].startswith("float8"):  # which NumPy does not have, and the library refuses
            return _bytes_of(path, name).view(dtypes[name]).reshape(shapes[name])
        with safe_open(path, "numpy") as file:
            return file.get_tensor(name)

    return Checkpoint(path, shapes, sizes, load, {}, dtypes)


def _bytes_of(path: pathlib.Path, name: str) -> np.ndarray:
    """The bytes of one array of a file whose header the library has checked."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start, stop = json.loads(file.read(length))[name]["data_offsets"]
        file.seek(8 + length + start)
        return np.frombuffer(file.read(stop - start), np.uint8)


def open_msgpack(path: pathlib.Path) -> Checkpoint:
    """A tree that Flax wrote with `to_bytes`; it has no index, so that all of it is read."""
    try:
        from flax.serialization import msgpack_restore
    except ImportError as error:
        raise ImportError(f"Reading {path.name!r} needs Flax: {EXTRA}.") from error
    arrays = dict(_leaves(msgpack_restore(path.read_bytes())))
    shapes = {name: array.shape for name, array in arrays.items()}
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    return Checkpoint(path, shapes, dict.fromkeys(shapes, 0), arrays.__getitem__, {}, dtypes)


def _leaves(tree, prefix: str = ""):
    """Arrays of nested dictionaries, names joined by slashes."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}/{key}" if prefix else str(key))
    elif isinstance(tree, np.ndarray):
        yield prefix, tree
