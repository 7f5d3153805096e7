"""Files of one training: snapshots of the weights, the state to continue from, the sidecar.

Every file is written under another name first and then renamed, so that a process that is killed
leaves whole files only. Nothing is ever unpickled.
"""

import contextlib
import json
import os
import pathlib
import zlib
from collections.abc import Iterator

import jax
import numpy as np
from flax import nnx
from flax.serialization import msgpack_restore, msgpack_serialize

from spectrax.checkpoints import CheckpointError
from spectrax.checkpoints.base import reading
from spectrax.checkpoints.opening import number_of
from spectrax.cli.files import plain, to_json

SIDECAR, LOSSES = "training.json", "losses.npz"
KEPT = 2  # states: the last one, and the one before it should the last be damaged


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator:
    """A file to write into that takes the place of `path` once it is complete and on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def by_path(params: nnx.State) -> dict[str, jax.Array]:
    """Arrays by path, names joined by slashes: "block/0/kernel"."""
    flat = nnx.to_flat_state(nnx.as_pure(params))
    return {"/".join(map(str, path)): array for path, array in flat}


def snapshot_path(folder: pathlib.Path, step: int) -> pathlib.Path:
    """The file with the weights after so many updates."""
    return folder / f"step_{step:08d}.npz"


def write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray | jax.Array]) -> None:
    """One `.npz` file."""
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **{k: np.asarray(x) for k, x in arrays.items()})


def write_sidecar(folder: pathlib.Path, record: dict) -> None:
    """What a person or a program wants to know about the training, as JSON."""
    with replacing(folder / SIDECAR) as file:
        file.write((to_json(record) + "\n").encode())


# --- the state, in one file


def write_state(folder: pathlib.Path, step: int, tree) -> None:
    """Everything that training needs to continue; of older states one is kept.

    Args:
        folder: an existing one.
        step: number of updates made.
        tree: any pytree of arrays.
    """
    leaves = {name: np.asarray(leaf) for name, leaf in _named(tree)}
    sums = {name: _checksum(leaf) for name, leaf in leaves.items()}
    with replacing(folder / f"state_{step:08d}.msgpack") as file:
        file.write(msgpack_serialize({"arrays": leaves, "checksums": sums}, in_place=True))
    for path in _states(folder)[:-KEPT]:
        path.unlink()


def read_state(folder: pathlib.Path, like):
    """The newest state in the folder, or None.

    Args:
        folder: of this training.
        like: pytree whose structure the state has. Shapes and types of its leaves are those of
            the state's, except for NumPy arrays, which grow.

    Returns:
        The state, leaves of type NumPy.

    Raises:
        CheckpointError: one sentence if the file is damaged; the one before it is left alone.
    """
    paths = _states(folder)
    if not paths:
        return None
    try:
        with reading(paths[-1]):
            return _restore(msgpack_restore(paths[-1].read_bytes()), like)
    except CheckpointError as error:
        rest = f"continue from step {number_of(paths[-2]):.0f}" if paths[1:] else "start again"
        raise CheckpointError(f"{str(error).rstrip('.')}; delete it to {rest}.") from error


def _restore(found: dict, like):
    arrays, sums, leaves = found["arrays"], found["checksums"], []
    for name, leaf in _named(like):
        array = arrays[name]
        if _checksum(array) != sums[name]:
            raise ValueError(f"the array {name!r} has changed since it was written")
        grows = isinstance(leaf, np.ndarray)
        if array.dtype != leaf.dtype or not (grows or array.shape == leaf.shape):
            raise ValueError(f"the array {name!r} has shape {array.shape}, type {array.dtype}")
        leaves.append(array)
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _states(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("state_*.msgpack"), key=number_of)


def _named(tree) -> list[tuple[str, jax.Array]]:
    return [(jax.tree_util.keystr(path), x) for path, x in jax.tree.leaves_with_path(tree)]


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def checksum(arrays) -> int:
    """One number for all arrays of a pytree."""
    return zlib.crc32(repr([_checksum(np.asarray(x)) for x in jax.tree.leaves(arrays)]).encode())


# --- whose folder it is


def claim(folder: pathlib.Path, record: dict) -> None:
    """Write the sidecar into a new folder; in one in use, make sure that it is the same training.

    Args:
        folder: made if it does not exist.
        record: "training" and, compared only if "made_with" is the same, "checksums".

    Raises:
        ValueError: one sentence that names what differs.
        CheckpointError: if the sidecar there cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    path = folder / SIDECAR
    if not path.exists():
        return write_sidecar(folder, record)
    with reading(path):
        before, now = json.loads(path.read_text(encoding="utf-8")), plain(record)
        old, new = _flat(before["training"]), _flat(now["training"])
        if before["made_with"] == now["made_with"]:
            old, new = old | before["checksums"], new | now["checksums"]
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            values = f"{old.get(name)} there and {new.get(name)} here"
            differs = f"{name} differs" if name in now["checksums"] else f"{name} is {values}"
            raise ValueError(
                f"Argument `folder` must be that of the same training, but in {str(folder)!r} "
                f"{differs}."
            )


def _flat(tree: dict, prefix: str = "") -> dict:
    """Nested dictionaries as one, keys joined by dots."""
    out = {}
    for key, value in tree.items():
        inside = isinstance(value, dict)
        out |= _flat(value, f"{prefix}{key}.") if inside else {prefix + key: value}
    return out
