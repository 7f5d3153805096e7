"""Convolution kernels as matrices."""

import numpy as np

from spectrax import _check

LAYOUTS = ("out_in", "in_out")


def unfold(array, layout: str = "out_in") -> np.ndarray:
    r"""A weight array as a matrix of outputs by inputs; kernels by their square unfolding.

    $$W_{(o, i), (c, j)} = k_{o c i j}$$

    One spatial index goes with the output channels, the other with the input channels, so that a
    square kernel with as many channels in as out is a square matrix.

    Args:
        array: a matrix or a two-dimensional convolution kernel. "out_in": (out, in) or
            (out, in, height, width), as in PyTorch and in this package; "in_out": (in, out) or
            (height, width, in, out), as in Flax.
        layout: which of the two.

    Returns:
        The matrix: (out, in) or (out · height, in · width), of the array's own type.

    Raises:
        ValueError: if the array has neither two nor four axes, or the layout is unknown.

    Examples:
        >>> import numpy as np
        >>> from spectrax import unfold
        >>> unfold(np.zeros((3, 3, 16, 32)), "in_out").shape
        (96, 48)
    """
    _check.one_of("layout", layout, LAYOUTS)
    array = np.asarray(array)
    if array.ndim not in (2, 4):
        raise ValueError(f"Argument `array` must have 2 or 4 axes, got shape {array.shape}.")
    if layout == "in_out":
        array = array.T if array.ndim == 2 else array.transpose(3, 2, 0, 1)
    if array.ndim == 2:
        return array
    out, cols, height, width = array.shape
    return array.transpose(0, 2, 1, 3).reshape(out * height, cols * width)
