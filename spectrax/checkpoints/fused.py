"""Arrays that hold several matrices side by side: gates, queries with keys and values, stacks."""

import re
from collections.abc import Mapping

import numpy as np

RECURRENT = re.compile(r"(.*)weight_(ih|hh)(_l\d+(?:_reverse)?)$")
GATES = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n")}  # PyTorch's orders: LSTM, GRU
TRIPLES = re.compile(r"(^|[/._])(in_proj|qkv|Wqkv|qkv_proj|to_qkv|c_attn)([/._](weight|kernel))?$")
PAIRS = re.compile(r"(^|[/._])gate_up_proj([/._](weight|kernel))?$")


def blocks_of(name: str, shapes: Mapping[str, tuple[int, ...]], layout: str) -> tuple:
    """What an array is made of, by its name and shape.

    Args:
        name: of the array.
        shapes: of all arrays of the checkpoint.
        layout: order of its axes.

    Returns:
        The axis along which it is put together, and the names of the equal blocks; an empty tuple
        if nothing says that it is. Heads that are interleaved ("query_key_value") are no blocks.
    """
    shape, out = shapes[name], 1 if layout == "in_out" else 0
    if len(shape) == 3:
        return 0, tuple(map(str, range(shape[0])))
    if len(shape) != 2:
        return ()
    if gates := RECURRENT.match(name):
        state = shapes.get(f"{gates[1]}weight_hh{gates[3]}", (0, 0))
        letters = GATES.get(state[0] // state[1] if len(state) == 2 and state[1] else 0, ())
        return (0, letters) if letters and shape[0] == len(letters) * state[1] else ()
    stem = name.removesuffix("_weight")
    for pattern, parts in ((TRIPLES, ("q", "k", "v")), (PAIRS, ("gate", "up"))):
        if pattern.search(stem):
            for axis in (0, 1):  # the shape tells better than the layout where it can
                if shape[axis] == len(parts) * shape[1 - axis]:
                    return axis, parts
            return (out, parts) if shape[out] % len(parts) == 0 else ()
    return ()


def taken_apart(array: np.ndarray, axis: int, parts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The blocks of an array by name; a stack gives its matrices."""
    pieces = np.split(array, len(parts), axis)
    if array.ndim == 3:
        pieces = [piece[0] for piece in pieces]
    return dict(zip(parts, pieces, strict=True))
