"""Convolution kernels as matrices."""

import math

import numpy as np

from spectrax import check

LAYOUTS = ("out_in", "in_out", "in_heads", "heads_out")
HEADS = LAYOUTS[2:]
UNFOLDINGS = ("auto", "square", "flat", "tall")
DEGENERATE = 0.5  # of the best smaller side: below it, "auto" gives the square unfolding up


def unfold(array, layout: str = "out_in", unfolding: str = "square") -> np.ndarray:
    r"""A weight array as a matrix of outputs by inputs; kernels by one of three unfoldings.

    $$W_{(o, i), (c, j)} = k_{o c i j}\ \text{(square)}, \qquad
      W_{o, (c, i, j)} = k_{o c i j}\ \text{(flat)}, \qquad
      W_{(o, i, j), c} = k_{o c i j}\ \text{(tall)}$$

    In the square one, one spatial index goes with the output channels, the other with the input
    channels, so that a square kernel with as many channels in as out is a square matrix. Kernels of
    a single spatial axis have no second index j: their square unfolding is the tall one. Of three
    spatial axes the first goes with the outputs, the others with the inputs.

    Args:
        array: a matrix or a convolution kernel of one to three spatial axes, or queries, keys,
            values and outputs of attention, whose heads have an axis of their own.
        layout: "out_in": (out, in) or (out, in, …space), as in PyTorch and in this package;
            "in_out": (in, out) or (…space, in, out), as in Flax; "in_heads": (in, heads, size) and
            "heads_out": (heads, size, out), the matrices of Flax' attention.
        unfolding: "square", "flat", "tall", or "auto": the square one, unless its smaller side is
            less than half of what another one has (patch embeddings, kernels of a few channels).

    Returns:
        The matrix, of the array's own type: (out, in), or for kernels (out · height, in · width),
        (out, in · height · width), (out · height · width, in).

    Raises:
        ValueError: if the array has not two to five axes (of heads: three), or a name is unknown.

    Examples:
        >>> import numpy as np
        >>> from spectrax import unfold
        >>> unfold(np.zeros((3, 3, 16, 32)), "in_out").shape
        (96, 48)
        >>> unfold(np.zeros((768, 3, 16, 16)), unfolding="auto").shape  # patches: not 12288 × 48
        (768, 768)
    """
    check.one_of("layout", layout, LAYOUTS)
    check.one_of("unfolding", unfolding, UNFOLDINGS)
    array = np.asarray(array)
    allowed = (3,) if layout in HEADS else (2, 3, 4, 5)
    if array.ndim not in allowed:
        known = "3" if layout in HEADS else "2 to 5"
        raise ValueError(f"Argument `array` must have {known} axes, got shape {array.shape}.")
    if layout in HEADS:
        return array.reshape(unfolded_shape(array.shape, layout)[::-1]).T
    if layout == "in_out":
        array = np.moveaxis(array, (-1, -2), (0, 1))
    if unfolding == "auto":
        unfolding = _least_degenerate(array.shape)
    out, cols, *space = array.shape
    if unfolding == "flat" or not space:
        return array.reshape(out, cols * math.prod(space))
    if unfolding == "tall" or len(space) == 1:
        return np.moveaxis(array, 1, -1).reshape(out * math.prod(space), cols)
    return array.swapaxes(1, 2).reshape(out * space[0], cols * math.prod(space[1:]))


def unfolded_shape(shape, layout: str = "out_in", unfolding: str = "auto") -> tuple[int, int]:
    """Shape of the matrix that `unfold` makes, without the array."""
    shape = tuple(shape)
    if layout in HEADS:
        first = 1 if layout == "in_heads" else 2  # the axes before it are inputs
        return math.prod(shape[first:]), math.prod(shape[:first])
    if layout == "in_out":
        shape = (shape[-1], shape[-2], *shape[:-2])
    name = _least_degenerate(shape) if unfolding == "auto" else unfolding
    return _shapes(shape)[name]


def _shapes(shape) -> dict[str, tuple[int, int]]:
    """Shape of each unfolding of (out, in, …space)."""
    out, cols, *space = shape
    size, first = math.prod(space), space[0] if space else 1
    return {
        "square": (out * first, cols * (size // first if first else 0)),
        "flat": (out, cols * size),
        "tall": (out * size, cols),
    }


def _least_degenerate(shape) -> str:
    """The square unfolding, unless its smaller side is far below the best one."""
    sides = {name: min(sides) for name, sides in _shapes(shape).items()}
    best = max(sides, key=lambda name: sides[name])
    return "square" if sides["square"] >= DEGENERATE * sides[best] else best
