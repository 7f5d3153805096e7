"""Files of one training: snapshots of the weights, the state to continue from, the sidecar.

Every file is written under another name first and then renamed, so that a process that is killed
leaves whole files only. Nothing is ever unpickled.
"""

import json
import pathlib
import warnings
import zlib

import jax
import numpy as np
from flax import nnx
from flax.serialization import msgpack_restore, msgpack_serialize

from spectrax.checkpoints import CheckpointError
from spectrax.checkpoints.base import reading
from spectrax.checkpoints.opening import number_of
from spectrax.records import plain, replacing, write_record

SIDECAR, LOSSES = "training.json", "losses.npz"
ALIKE = 1e-3  # of the norm: beyond roundings of other versions and devices
SKETCHED = 10**6  # entries of an array
KEPT = 2  # states: the last one, and the one before it should the last be damaged


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
    write_record(folder / SIDECAR, record)


# --- the state, in one file


def write_state(folder: pathlib.Path, step: int, tree) -> None:
    """Everything that training needs to continue; of older states one is kept, of later ones none.

    Args:
        folder: an existing one.
        step: number of updates made.
        tree: any pytree of arrays.
    """
    leaves = {name: np.asarray(leaf) for name, leaf in _named(tree)}
    sums = {name: _checksum(leaf) for name, leaf in leaves.items()}
    with replacing(folder / f"state_{step:08d}.msgpack") as file:
        file.write(msgpack_serialize({"arrays": leaves, "checksums": sums}, in_place=True))
    numbers = [number_of(path) for path in _states(folder)]
    kept = [number for number in numbers if number <= step][-KEPT:]  # later ones were damaged
    for path in _states(folder):
        if number_of(path) not in kept:
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
        CheckpointError: one sentence if all states there are damaged.

    Warns:
        UserWarning: one sentence if the newest is damaged and the one before it is taken.
    """
    errors = []
    for path in reversed(_states(folder)):
        try:
            with reading(path):
                found = _restore(msgpack_restore(path.read_bytes()), like)
        except CheckpointError as error:
            errors.append(error)
            continue
        if errors:
            sentence = f"{str(errors[0]).rstrip('.')}; continued from step {number_of(path):.0f}."
            warnings.warn(sentence, stacklevel=2)
        return found
    if not errors:
        return None
    raise CheckpointError(
        f"{str(errors[0]).rstrip('.')}; delete the states in {str(folder)!r} to start again."
    ) from errors[0]


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


def claim(folder: pathlib.Path, record: dict) -> bool:
    """Write the sidecar into a new folder; in one in use, make sure that it is the same training.

    Args:
        folder: an existing one, which no other process writes into.
        record: "training" and, compared exactly if "made_with" is the same, "checksums"; else
            "sketches" are compared to a thousandth.

    Returns:
        Whether "made_with" is the same.

    Raises:
        ValueError: one sentence that names what differs.
        CheckpointError: if the sidecar there cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    path = folder / SIDECAR
    if not path.exists():
        write_sidecar(folder, record)
        return True
    with reading(path):
        before, now = json.loads(path.read_text(encoding="utf-8")), plain(record)
        same = before["made_with"] == now["made_with"]
        differing = _differences(before, now, same)
    if differing:
        raise ValueError(
            f"Argument `folder` must be that of the same training, but in {str(folder)!r} "
            f"{differing[0]}."
        )
    return same


def _differences(before: dict, now: dict, same_versions: bool) -> list[str]:
    """What differs between two sidecars, in words."""
    old, new = _flat(before["training"]), _flat(now["training"])
    found = [
        f"{name} is {old.get(name)} there and {new.get(name)} here"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    if same_versions:
        sums = before["checksums"], now["checksums"]
        return found + [f"{k} differs" for k in sums[1] if sums[0].get(k) != sums[1][k]]
    sketches = before.get("sketches", {}), now.get("sketches", {})
    return found + [
        f"{name} differs" for name in sketches[1] if not _alike(*(x.get(name) for x in sketches))
    ]


def sketch(arrays) -> list[list[float]]:
    """Norm and two projections of each array, which other roundings change little."""
    found = []
    for array in jax.tree.leaves(arrays):
        x = np.ravel(np.asarray(array))[:SKETCHED].astype(np.float64)
        x = np.nan_to_num(x, posinf=0.0, neginf=0.0)
        n = np.arange(len(x))
        waves = np.stack([np.cos(n), np.cos(n**2 % 997)])
        found.append([float(np.linalg.norm(x)), *(waves @ x).tolist()])
    return found


def _alike(old, new) -> bool:
    """Whether sketches are of the same arrays; an older sidecar has none and gets the benefit."""
    if old is None:
        return True
    old, new = (np.asarray(x, float).reshape(-1, 3) for x in (old, new))
    return old.shape == new.shape and bool(
        np.all(np.abs(old - new) <= ALIKE * np.maximum(old[:, :1], new[:, :1]))
    )


def _flat(tree: dict, prefix: str = "") -> dict:
    """Nested dictionaries as one, keys joined by dots."""
    out = {}
    for key, value in tree.items():
        inside = isinstance(value, dict)
        out |= _flat(value, f"{prefix}{key}.") if inside else {prefix + key: value}
    return out
