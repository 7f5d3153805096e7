"""How far a file is believed: checked on its bytes, before anything is built out of them."""

import io
import json
import pathlib

from spectrax.checkpoints.base import Checkpoint, CheckpointError

NODES = 1_000_000  # values in what describes the arrays of a checkpoint; each costs about 100 bytes
TEXT = 64_000_000  # bytes of a description in JSON
TENSORS = 100_000  # arrays of one file; the largest mixtures of experts have fewer
SHARDS = 10_000
NAME = 1000  # characters


def read_json(path: pathlib.Path):
    """A description in JSON, if it is a regular file of reasonable size.

    Args:
        path: of the file.

    Raises:
        CheckpointError: if it is none, or describes more than any checkpoint has.
        ValueError: if it is no JSON.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {str(path)!r}.")
    with path.open("rb") as file:
        text = file.read(TEXT + 1)
    if len(text) > TEXT:
        raise CheckpointError(f"{str(path)!r} has more than {TEXT} bytes of JSON.")
    return parsed(text, path)


def parsed(text: bytes, path: pathlib.Path):
    """JSON whose values are counted first: an empty list takes thirty times the bytes it has here.

    Args:
        text: all of it.
        path: where it is from.
    """
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > NODES:
        raise CheckpointError(f"{str(path)!r} has more than {NODES} values in its description.")
    return json.loads(text)


def named(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, if it has arrays whose names are names: patterns are matched with them."""
    if not checkpoint.shapes and not checkpoint.broken:
        raise CheckpointError(f"There are no arrays in {str(checkpoint.path)!r}.")
    for name in (*checkpoint.shapes, *checkpoint.broken):
        if len(name) > NAME:
            raise CheckpointError(
                f"{str(checkpoint.path)!r} has a name of {len(name)} characters, {name[:40]!r}…."
            )
    return checkpoint


class Directory(io.BufferedReader):
    """A zip file whose directory is weighed when it is read, before its entries become objects.

    Args:
        path: of the file.
        members: entries that are believed.

    The library that reads zip files reads the whole directory at once; `opened` ends the check.
    """

    def __init__(self, path: pathlib.Path, members: int):
        super().__init__(io.FileIO(path))
        self._path, self._members, self._checks = path, members, True

    def opened(self) -> None:
        """From now on the members are read, which may be of any size."""
        self._checks = False

    def read(self, size=-1):
        claimed = size is not None and size > 1000 * self._members
        data = b"" if self._checks and claimed else super().read(size)
        if self._checks and (claimed or data.count(b"PK\1\2") > self._members):
            raise CheckpointError(f"{str(self._path)!r} claims more than {self._members} arrays.")
        return data
