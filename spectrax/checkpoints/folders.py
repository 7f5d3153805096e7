"""Folders as Hugging Face lays them out: one file of weights, or shards and their index."""

import json
import pathlib

import numpy as np

from spectrax._progress import watched
from spectrax.checkpoints.base import Checkpoint, CheckpointError
from spectrax.checkpoints.limits import SHARDS, read_json

CONFIG, LONGEST = "config.json", 1_000_000  # bytes of a configuration
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE = ("model.safetensors", "pytorch_model.bin", "model.onnx", "flax_model.msgpack")


def weights_in(folder: pathlib.Path) -> pathlib.Path | None:
    """The file that stands for the weights of a folder: an index of shards, or the only one."""
    for name in (*INDEXES[:1], *SINGLE[:1], *INDEXES[1:], *SINGLE[1:]):
        if (folder / name).is_file():
            return folder / name
    found = sorted(folder.glob("*.safetensors"))
    return found[0] if len(found) == 1 else None


def heads_beside(file: pathlib.Path) -> int | None:
    """Number of attention heads, from the configuration that Hugging Face puts beside weights."""
    try:
        if not (file.parent / CONFIG).is_file():  # a pipe would be waited for
            return None
        with (file.parent / CONFIG).open("rb") as opened:
            config = json.loads(opened.read(LONGEST))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(config, dict):
        return None
    found = (config.get(key) for key in HEADS)
    return next((x for x in found if type(x) is int and x > 0), None)


def open_sharded(index: pathlib.Path, open_file) -> Checkpoint:
    """The arrays of all shards that an index names.

    Args:
        index: a JSON file whose "weight_map" says in which file of the same folder an array is.
        open_file: opens one of them.
    """
    places = read_json(index)["weight_map"]
    if not all(isinstance(x, str) for pair in places.items() for x in pair):
        raise CheckpointError(f"The index {str(index)!r} must map names of arrays to file names.")
    shards: dict[str, Checkpoint] = {}
    broken: dict[str, str] = {}
    inside: dict[str, list[str]] = {}
    for name, file in places.items():
        inside.setdefault(file, []).append(name)
    if len(inside) > SHARDS:
        raise CheckpointError(f"The index {str(index)!r} claims more than {SHARDS} files.")
    for file in watched(sorted(inside), "shards"):
        if pathlib.PurePath(file).name != file or file == "..":
            raise CheckpointError(f"The index {str(index)!r} leads out of its folder: {file!r}.")
        try:
            if not (index.parent / file).is_file() or file.endswith(".index.json"):
                raise CheckpointError(f"There is no shard {str(index.parent / file)!r}.")
            shards[file] = open_file(index.parent / file)
        except CheckpointError as error:
            broken |= dict.fromkeys(inside[file], str(error))
    names = [name for name, file in places.items() if file in shards]
    for name in names:
        shard = shards[places[name]]
        if name not in shard.shapes:
            broken[name] = f"Array {name!r} is not in {str(shard.path)!r}, where the index has it."
    names = [name for name in names if name not in broken]

    def gathered(table: str) -> dict:
        return {
            name: found[name]
            for name in names
            if name in (found := getattr(shards[places[name]], table))
        }

    def load(name: str) -> np.ndarray:
        return shards[places[name]].load(name)

    tables = (gathered(table) for table in ("shapes", "sizes"))
    stored = sum(shard.stored or 0 for shard in shards.values())
    return Checkpoint(index, *tables, load, broken, gathered("dtypes"), stored=stored)
