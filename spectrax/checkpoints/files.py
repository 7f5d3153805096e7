"""Checkpoints that are single files: NumPy archives, safetensors."""

import dataclasses
import io
import pathlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from spectrax._progress import watched
from spectrax.checkpoints.base import Checkpoint, CheckpointError, nbytes, reading
from spectrax.checkpoints.limits import TENSORS, TEXT, Directory, parsed

EXTRA = "pip install 'spectrax-dmft[checkpoints]'"
TYPES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
MEMBERS = 20_000  # more arrays than any network saves this way; opening one takes 0.1 ms
HEADER = 10_000  # bytes, NumPy's own bound


def open_npz(path: pathlib.Path) -> Checkpoint:
    """A NumPy archive. Headers are read alone; an object array is refused before it is touched."""
    shapes, sizes, members, broken, dtypes = {}, {}, {}, {}, {}
    with _archive(path) as archive:
        for info in watched(archive.infolist(), "headers"):
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            try:
                with reading(path, f"array {name!r} of "), _member(archive, info) as file:
                    shapes[name], dtype, _ = read_header(file)
                    dtypes[name] = dtype.name
            except CheckpointError as error:
                broken[name] = str(error)
            else:
                sizes[name], members[name] = info.file_size, info.filename

    def load(name: str) -> np.ndarray:
        with _archive(path) as archive, _member(archive, archive.getinfo(members[name])) as file:
            shape, dtype, start = read_header(file)
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


def arrays_of(path: str | pathlib.Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Those arrays of a NumPy archive that are there, of any type but objects.

    Args:
        path: of the file.
        names: of arrays.

    Raises:
        CheckpointError: one sentence if the file or one of them cannot be read.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file {str(path)!r}.")
    with reading(path):
        found = dataclasses.replace(open_npz(path), stored=path.stat().st_size)
        for name in (wanted := [x for x in names if x in found.shapes or x in found.broken]):
            found.weigh(name)
        return {name: found.load(name) for name in wanted}


@contextmanager
def _archive(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """A zip file with no more members than any network has arrays."""
    with Directory(path, MEMBERS) as file, zipfile.ZipFile(file) as archive:
        file.opened()
        if len(archive.infolist()) > MEMBERS:
            raise CheckpointError(f"{str(path)!r} claims more than {MEMBERS} arrays.")
        yield archive


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo):
    """One array of a zip file, as NumPy writes it: other methods take memory that a file claims."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"it is compressed by method {info.compress_type}, which NumPy never uses")
    return archive.open(info)


def read_header(file) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and length of the header of one array in NumPy's format.

    Args:
        file: at the beginning of the array.

    Raises:
        ValueError: if it is no such header, or longer than NumPy writes.
    """
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"an array has format version {version}, which no weights have")
    head = file.read(2 * version[0])
    length = int.from_bytes(head, "little")
    if length > HEADER:
        raise ValueError(f"an array claims a header of {length} bytes")
    shape, _, dtype = readers[version](io.BytesIO(head + file.read(length)))
    if any(size < 0 for size in shape):
        raise ValueError(f"an array claims the shape {shape}")
    return shape, dtype, file.tell()


def open_safetensors(path: pathlib.Path) -> Checkpoint:
    """A safetensors file; the library checks that header and length agree."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(f"Reading {path.name!r} needs safetensors: {EXTRA}.") from error
    header = _safetensors_header(path)
    shapes, sizes, dtypes = {}, {}, {}
    with safe_open(path, "numpy") as file:  # which checks the header
        for name in watched(file.keys(), "headers"):
            shapes[name], kind = tuple(header[name]["shape"]), header[name]["dtype"]
            bits = re.search(r"\d+", kind)  # F32, BF16, …; BOOL has none
            sizes[name] = nbytes(shapes[name], int(bits[0]) if bits else 8) // 8
            dtypes[name] = TYPES.get(kind, kind.lower())

    def load(name: str) -> np.ndarray:
        if dtypes[name].startswith("float8"):  # which NumPy does not have, and the library refuses
            return _bytes_of(path, header[name]).view(dtypes[name]).reshape(shapes[name])
        with safe_open(path, "numpy") as file:
            return file.get_tensor(name)

    return Checkpoint(path, shapes, sizes, load, {}, dtypes)


def _safetensors_header(path: pathlib.Path) -> dict:
    """What the file says about its arrays, whose number is bounded before it is parsed."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(TEXT, path.stat().st_size):
            raise ValueError(f"it claims a header of {length} bytes")
        text = file.read(length)
    if text.count(b"{") > TENSORS + 2:
        raise CheckpointError(f"{str(path)!r} claims more than {TENSORS} arrays.")
    try:
        return parsed(text, path)
    except (ValueError, RecursionError) as error:
        raise ValueError("its header is no JSON") from error


def _bytes_of(path: pathlib.Path, entry: dict) -> np.ndarray:
    """The bytes of one array of a file whose header the library has checked."""
    start, stop = entry["data_offsets"]
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little") + start)
        return np.frombuffer(file.read(stop - start), np.uint8)
