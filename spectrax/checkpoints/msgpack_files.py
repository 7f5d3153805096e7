"""Flax' msgpack: its arrays are found by going along the bytes, and read one at a time."""

import mmap
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import ml_dtypes  # noqa: F401  names of types that NumPy does not have
import numpy as np

from spectrax._progress import watched
from spectrax.checkpoints.base import Checkpoint, CheckpointError, nbytes
from spectrax.checkpoints.files import EXTRA
from spectrax.checkpoints.limits import NAME, NODES

DEEPEST = 100  # nested dictionaries
ARRAY = 1  # Flax' number for an array
MOST_AXES = 64  # NumPy's own bound
TYPE = re.compile("[a-z]+[0-9]+[a-z0-9_]*|bool")  # as types are called; never one of objects
CHUNKED = "__msgpack_chunked_array__"  # one of more than a gigabyte, in pieces
LENGTHS = {  # what the first byte of a value says about its kind, and the bytes of its length
    **{0xC4 + i: ("bytes", 2**i) for i in range(3)},
    **{0xC7 + i: ("extension", 2**i) for i in range(3)},
    **{0xD9 + i: ("text", 2**i) for i in range(3)},
    **{0xDC + i: ("list", 2 ** (i + 1)) for i in range(2)},
    **{0xDE + i: ("map", 2 ** (i + 1)) for i in range(2)},
}
SCALARS = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8}
INTEGERS = {**{0xCC + i: 2**i for i in range(4)}, **{0xD0 + i: 2**i for i in range(4)}}


class Value(NamedTuple):
    """One value: its kind, items or bytes of it, and where these begin."""

    kind: str
    size: int
    start: int


class Found(NamedTuple):
    """An array: where its value lies, shape and type, or what is wrong with it."""

    start: int
    stop: int
    shape: tuple[int, ...] = ()
    dtype: str = ""
    wrong: str = ""


def open_msgpack(path: pathlib.Path) -> Checkpoint:
    """A tree that Flax wrote with `to_bytes`."""
    try:
        from flax.serialization import msgpack_restore
    except ImportError as error:
        raise ImportError(f"Reading {path.name!r} needs Flax: {EXTRA}.") from error
    if not path.stat().st_size:
        raise CheckpointError(f"{str(path)!r} is empty.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        arrays = dict(watched(_Walk(data).arrays(), "arrays"))
    whole = {name: found for name, found in arrays.items() if not found.wrong}
    broken = {
        name: f"Cannot read array {name!r} of {str(path)!r}: {found.wrong}."
        for name, found in arrays.items()
        if found.wrong
    }
    shapes = {name: found.shape for name, found in whole.items()}
    dtypes = {name: found.dtype for name, found in whole.items()}
    sizes = {name: nbytes(x.shape, np.dtype(x.dtype).itemsize) for name, x in whole.items()}

    def load(name: str) -> np.ndarray:
        start, stop = whole[name][:2]
        with path.open("rb") as file:
            file.seek(start)
            return msgpack_restore(file.read(stop - start))

    return Checkpoint(path, shapes, sizes, load, broken, dtypes)


def value_at(data, at: int) -> Value:
    """The value that begins there.

    Args:
        data: bytes or a memory map.
        at: place of its first byte.

    Raises:
        ValueError: if the data end before it, or it is no value.
    """
    if at >= len(data):
        raise ValueError("it is cut short")
    first, start = data[at], at + 1
    if first < 0x80 or first >= 0xE0:
        return Value("integer", 1, at)
    if first < 0xC0:
        kind, mask = ("map", 15) if first < 0x90 else ("list", 15) if first < 0xA0 else ("text", 31)
        return Value(kind, first & mask, start)
    if 0xD4 <= first <= 0xD8:
        return Value("extension", 2 ** (first - 0xD4) + 1, start)
    if first in INTEGERS:
        return Value("integer", INTEGERS[first], start)
    if first in SCALARS:
        return Value("scalar", SCALARS[first], start)
    if first not in LENGTHS:
        raise ValueError(f"byte {at} begins no value")
    kind, width = LENGTHS[first]
    size = int.from_bytes(data[start : start + width], "big") + (kind == "extension")
    return Value(kind, size, start + width)


class _Walk:
    """Goes along the bytes of a tree, whose small values are counted and never built.

    Args:
        data: bytes or a memory map.
    """

    def __init__(self, data):
        self.data, self.values = data, 0

    def arrays(self) -> Iterator[tuple[str, Found]]:
        """Names and places of all arrays."""
        stop = yield from self._inside(0, "", 0)
        if stop != len(self.data):
            raise ValueError(f"{len(self.data) - stop} bytes follow its end")

    def _inside(self, begin: int, name: str, depth: int):
        """Arrays of the value that begins there; returns where it ends."""
        value = self._counted(begin)
        if value.kind == "extension" and self.data[value.start] == ARRAY:
            yield name, _described(self.data, begin, value)
        if value.kind not in ("list", "map"):
            return value.start + value.size
        if depth == DEEPEST:
            raise ValueError(f"its values are nested more than {DEEPEST} deep")
        at, pieces, chunks = value.start, {}, []
        for i in range(value.size):
            key, at = self._key(at) if value.kind == "map" else (str(i), at)
            if key in ("shape", CHUNKED):
                pieces[key] = at
            found = self._inside(at, f"{name}/{key}" if name else key, depth + 1)
            if key == "chunks" and CHUNKED in pieces:
                chunks, at = _collected(found)
            else:
                at = yield from found
        if CHUNKED in pieces:
            yield name, _together(self.data, begin, at, pieces.get("shape"), chunks)
        return at

    def _counted(self, at: int) -> Value:
        """The value that begins there, if all of it is there and not too many came before."""
        self.values += 1
        if self.values > NODES:
            raise ValueError(f"it has more than {NODES} values")
        value = value_at(self.data, at)
        if value.start + value.size > len(self.data):  # also of lists: an item has a byte or more
            raise ValueError("it is cut short")
        return value

    def _key(self, at: int) -> tuple[str, int]:
        """The key that begins there, and where its value begins."""
        value = self._counted(at)
        stop = value.start + value.size
        if value.size > NAME or value.kind not in ("text", "integer"):
            raise ValueError(f"byte {at} begins no name of an array")
        if value.kind == "text":
            return bytes(self.data[value.start : stop]).decode("utf-8"), stop
        return str(_integer(self.data, at, value)), stop


def _collected(found: Iterator):
    """What a generator gives, and what it returns."""
    chunks = []
    while True:
        try:
            chunks.append(next(found)[1])
        except StopIteration as end:
            return chunks, end.value


def _described(data, begin: int, value: Value) -> Found:
    """Shape and type of an array, which is a list of shape, type and bytes in Flax' extension."""
    stop = value.start + value.size
    try:
        if (parts := value_at(data, value.start + 1))[:2] != ("list", 3):
            raise ValueError
        shape, at = _numbers(data, parts.start)
        kind = value_at(data, at)
        content = value_at(data, kind.start + kind.size)
        dtype = bytes(data[kind.start : kind.start + min(kind.size, NAME)]).decode("ascii")
        if content.start + content.size != stop or not TYPE.fullmatch(dtype):
            raise ValueError
        if nbytes(shape, np.dtype(dtype).itemsize) != content.size:
            raise ValueError
    except (ValueError, TypeError, IndexError):
        return Found(begin, stop, wrong="it is not as Flax writes arrays")
    return Found(begin, stop, shape, dtype)


def _integer(data, at: int, value: Value) -> int:
    """An integer."""
    signed = data[at] >= 0xD0
    return int.from_bytes(data[value.start : value.start + value.size], "big", signed=signed)


def _numbers(data, at: int) -> tuple[tuple[int, ...], int]:
    """A list of sizes, and where it ends."""
    value = value_at(data, at)
    if value.kind not in ("list", "map") or value.size > MOST_AXES:
        raise ValueError("no shape")
    at, sizes = value.start, []
    for _ in range(value.size):
        if value.kind == "map":  # of a chunked array: by "0", "1", …
            key = value_at(data, at)
            at = key.start + key.size
        size = value_at(data, at)
        if size.kind != "integer":
            raise ValueError("no shape")
        sizes.append(_integer(data, at, size))
        at = size.start + size.size
    if any(size < 0 for size in sizes):
        raise ValueError("no shape")
    return tuple(sizes), at


def _together(data, begin: int, stop: int, shape: int | None, chunks: list[Found]) -> Found:
    """An array of more than a gigabyte: Flax puts it together."""
    try:
        sizes = () if shape is None else _numbers(data, shape)[0]
        kinds = {chunk.dtype for chunk in chunks}
        count = sum(nbytes(chunk.shape, 1) for chunk in chunks)
        if len(kinds) != 1 or kinds == {""} or count != nbytes(sizes, 1):
            raise ValueError
    except ValueError:
        return Found(begin, stop, wrong="its chunks are not as Flax writes them")
    return Found(begin, stop, sizes, *kinds)
