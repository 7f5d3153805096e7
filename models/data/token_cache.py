"""Tokens in a file: written once, piece by piece, and then memory-mapped."""

import hashlib
import json
import os
import pathlib
import uuid
from collections.abc import Callable, Iterable

import numpy as np

from models.data.files import reading
from spectrax._progress import watched
from spectrax.checkpoints.files import read_header

PIECE = 2**24  # tokens


def cached(
    folder: pathlib.Path,
    key: dict,
    kind: type,
    produce: Callable[[], Iterable[np.ndarray]],
    vocabulary: int | None = None,
) -> np.ndarray:
    """The tokens of this key, produced and written if the folder does not have them.

    The file appears when it is complete and not before, also if several processes write it.

    Args:
        folder: where the file is, or will be; made if it is missing.
        key: everything that determines the tokens, as JSON can say it.
        kind: NumPy type of a token.
        produce: gives the tokens as a series of arrays (n,), at least one token.
        vocabulary: that all tokens lie below.

    Returns:
        All tokens, memory-mapped, read-only, (N,).

    Raises:
        ValueError: if the file is damaged.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = folder / f"tokens-{digest[:16]}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, kind, produce())
    with reading(path):
        if not path.is_file():
            raise ValueError("it is no regular file")
        with path.open("rb") as file:
            read_header(file)  # of bounded length, which `np.load` reads whatever it is
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
        if tokens.ndim != 1 or tokens.dtype != kind:
            raise ValueError(f"it holds {tokens.dtype} of shape {tokens.shape}, not tokens")
        _below(tokens, vocabulary)
    return tokens


def _below(tokens: np.ndarray, vocabulary: int | None) -> None:
    """Raise ValueError unless all tokens lie below the vocabulary; a second for a gigabyte."""
    if vocabulary is None or vocabulary > np.iinfo(tokens.dtype).max:
        return
    for start in watched(range(0, len(tokens), PIECE), "checking tokens"):
        largest = tokens[start : start + PIECE].max()
        if largest >= vocabulary:
            raise ValueError(f"it has the token {largest} of a vocabulary of {vocabulary}")


def _write(path: pathlib.Path, kind: type, pieces: Iterable[np.ndarray]) -> None:
    """A `.npy` file of pieces whose number is not known before."""
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}")
    try:
        with open(unfinished, "xb") as file:
            count = 0
            _header(file, kind, count)
            for piece in pieces:
                file.write(piece.astype(kind, copy=False).tobytes())
                count += len(piece)
            file.seek(0)
            _header(file, kind, count)  # of the same length: NumPy leaves room for a longer shape
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _header(file, kind: type, count: int) -> None:
    """Write the header of an array (count,)."""
    head = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, head)
