"""Checkpoints that are folders: Orbax, as Flax and most JAX training code write them."""

import logging
import os
import pathlib
import stat
from contextlib import contextmanager

import numpy as np

from spectrax._progress import watched
from spectrax.checkpoints.base import Checkpoint, CheckpointError, nbytes
from spectrax.checkpoints.files import EXTRA
from spectrax.checkpoints.limits import read_json

INDEX = "_METADATA"  # the file that makes a folder a saved tree
DESCRIPTIONS = (INDEX, "_sharding", "_CHECKPOINT_METADATA", ".zarray", "zarr.json")  # in JSON
FILES = 1_000_000  # and folders; without one for each array of a checkpoint there are few


def open_orbax(path: pathlib.Path) -> Checkpoint:
    """One step: a saved tree, or a folder of them (items), whose names are then put in front.

    Leaves are restored one at a time as NumPy arrays, whatever devices wrote them.
    """
    folders = {"": path}
    if not (path / INDEX).is_file():
        folders = {f"{x.name}/": x for x in sorted(path.iterdir()) if (x / INDEX).is_file()}
        if list(folders) in (["default/"], ["pytree/"]):  # the name of an item without a name
            folders = {"": next(iter(folders.values()))}
    if not folders:
        raise CheckpointError(f"The folder {str(path)!r} is no Orbax checkpoint.")
    try:
        import jax
        import orbax.checkpoint as ocp
    except ImportError as error:
        raise ImportError(f"Reading {path.name!r} needs Orbax: {EXTRA}.") from error
    stored = _weighed(path)
    shapes, sizes, places = {}, {}, {}
    with _quiet():
        for prefix, folder in folders.items():
            tree = ocp.PyTreeCheckpointer().metadata(folder.resolve()).item_metadata.tree
            for where, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_leaf):
                if getattr(leaf, "dtype", None) is None or not leaf.shape:
                    continue
                name = prefix + "/".join(_key(key) for key in where)
                shapes[name], places[name] = tuple(leaf.shape), (folder, tree, where)
                itemsize = np.dtype(leaf.dtype).itemsize
                chunk = getattr(getattr(leaf, "storage", None), "chunk_shape", None) or ()
                sizes[name] = max(nbytes(shapes[name], itemsize), nbytes(tuple(chunk), itemsize))

    def load(name: str) -> np.ndarray:
        folder, tree, wanted = places[name]
        wish, args = (
            jax.tree_util.tree_map_with_path(choose, tree, is_leaf=_is_leaf)
            for choose in (
                lambda where, _: 0 if where == wanted else ocp.PLACEHOLDER,
                lambda where, _: ocp.RestoreArgs(restore_type=np.ndarray),
            )
        )
        with _quiet():
            restored = ocp.PyTreeCheckpointer().restore(
                folder.resolve(), item=wish, restore_args=args
            )
        leaves = dict(jax.tree_util.tree_leaves_with_path(restored))
        found = leaves[wanted]
        if found.shape != shapes[name]:
            raise CheckpointError(f"Array {name!r} of {str(path)!r} is not as its index says.")
        return found

    return Checkpoint(path, shapes, sizes, load, stored=stored)


def _weighed(folder: pathlib.Path) -> int:
    """Bytes of all files, if they are files: a pipe would be waited for, a loop never ends."""
    total, count = 0, 0
    for root, _, files in watched(os.walk(folder), "folders"):
        count += 1 + len(files)
        if count > FILES:
            raise CheckpointError(f"The folder {str(folder)!r} has more than {FILES} files.")
        for name in files:
            status = os.stat(os.path.join(root, name))
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError(f"{os.path.join(root, name)!r} is no regular file.")
            total += status.st_size
            if name in DESCRIPTIONS:
                read_json(pathlib.Path(root, name))
    return total


def _is_leaf(x) -> bool:
    return not isinstance(x, dict | list | tuple)


def _key(key) -> str:
    """A step on the way to a leaf: key of a dictionary, index of a list, name of an attribute."""
    return str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))))


@contextmanager
def _quiet():
    """Without the remarks that Orbax logs about each folder."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
