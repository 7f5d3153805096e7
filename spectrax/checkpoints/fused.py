"""Arrays that hold several matrices side by side: gates, queries with keys and values, stacks."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

RECURRENT = re.compile(r"(.*)weight_(ih|hh)(_l\d+(?:_reverse)?|)$")
GATES = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n")}  # PyTorch's orders: LSTM, GRU
TRIPLES = re.compile(r"(^|[/._])(in_proj|qkv|Wqkv|qkv_proj|to_qkv|c_attn)([/._](weight|kernel))?$")
PAIRS = re.compile(r"(^|[/._])gate_up_proj([/._](weight|kernel))?$")
INTERLEAVED = re.compile(r"(^|[/._])query_key_value([/._](weight|kernel))?$")
QKV = ("q", "k", "v")
MOST = 100_000  # matrices of a stack


class Blocks(NamedTuple):
    """What an array is made of.

    Args:
        shape: that the array is brought to, so that some axes count its blocks.
        axes: which.
        names: of the blocks, in the order of these axes.
        block: shape of one.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    names: tuple[str, ...]
    block: tuple[int, ...]


def blocks_of(
    name: str, shapes: Mapping[str, tuple[int, ...]], layout: str, heads: int | None = None
) -> Blocks | str:
    """What an array is made of, by its name and shape.

    Args:
        name: of the array.
        shapes: of all arrays of the checkpoint.
        layout: order of its axes.
        heads: number of attention heads, if known. Queries, keys and values called
            "query_key_value" alternate from head to head (GPT-NeoX, BLOOM).

    Returns:
        A `Blocks`; or why the array stays whole, empty if nothing says that it has any blocks.
    """
    shape, out = shapes[name], 0 if layout == "out_in" else 1
    if len(shape) > 2 and shape[0] > MOST:
        return f"a stack of {shape[0]} matrices"
    if len(shape) > 2:
        return Blocks(shape, (0,), tuple(map(str, range(shape[0]))), shape[1:])
    if len(shape) != 2:
        return ""
    if gates := RECURRENT.match(name):
        state = shapes.get(f"{gates[1]}weight_hh{gates[3]}", (0, 0))
        letters = GATES.get(state[0] // state[1] if len(state) == 2 and state[1] else 0, ())
        fits = letters and shape[0] == len(letters) * state[1]
        return along(shape, 0, letters) if fits else "gates of a state of unknown size"
    stem = name.removesuffix("_weight")
    if INTERLEAVED.search(stem):
        return _interleaved(shape, out, heads)
    for pattern, parts in ((TRIPLES, QKV), (PAIRS, ("gate", "up"))):
        if pattern.search(stem):
            for axis in (0, 1):  # the shape tells better than the layout where it can
                if shape[axis] == len(parts) * shape[1 - axis]:
                    return along(shape, axis, parts)
            if shape[out] % len(parts):
                return f"{shape[out]} rows are not {len(parts)} equal parts"
            return along(shape, out, parts)
    return ""


def along(shape: tuple[int, ...], axis: int, names: tuple[str, ...], groups: int = 1) -> Blocks:
    """Equal blocks along one axis of a matrix, which may alternate: group after group has each."""
    size = shape[axis] // (groups * len(names))
    full = (*shape[:axis], groups, len(names), size, *shape[axis + 1 :])
    block = (*shape[:axis], groups * size, *shape[axis + 1 :])
    return Blocks(full, (axis + 1,), names, block)


def _interleaved(shape: tuple[int, ...], out: int, heads: int | None) -> Blocks | str:
    """Head after head, each with its queries, keys and values."""
    if shape[out] != 3 * shape[1 - out]:
        return "heads that share keys and values"
    if heads is None:
        return "alternating heads of unknown number, see --heads"
    if shape[1 - out] % heads:
        return f"{shape[1 - out]} directions are not {heads} equal heads"
    return along(shape, out, QKV, heads)


def recurrent(shape: tuple[int, ...], gates: str) -> Blocks | None:
    """Directions and gates of a recurrent ONNX node, (directions, gates · state, inputs)."""
    if len(shape) != 3 or shape[0] not in (1, 2) or shape[1] % len(gates):
        return None
    size = shape[1] // len(gates)
    ways = ("",) if shape[0] == 1 else ("forward ", "reverse ")
    names = tuple(way + gate for way in ways for gate in gates)
    return Blocks((shape[0], len(gates), size, shape[2]), (0, 1), names, (size, shape[2]))


def taken_apart(array: np.ndarray, blocks: Blocks) -> dict[str, np.ndarray]:
    """The blocks of an array by name; a stack gives its matrices."""
    counted = range(len(blocks.axes))
    array = np.moveaxis(array.reshape(blocks.shape), blocks.axes, counted)
    indices = np.ndindex(array.shape[: len(blocks.axes)])
    pieces = (array[index].reshape(blocks.block) for index in indices)
    return dict(zip(blocks.names, pieces, strict=True))
