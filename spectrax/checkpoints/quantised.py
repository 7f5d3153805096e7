"""Codes of quantised weights, and the scales that a file keeps beside them."""

from collections.abc import Collection

import numpy as np

SCALES = ("_scale", "_scale_inv")  # the second is multiplied as well, in spite of its name
ZEROS = "_zero_point"


def is_code(dtype: str) -> bool:
    """Whether arrays of this type mean nothing without a scale: integers and one-byte floats."""
    return dtype.startswith(("int", "uint", "bool", "float8", "float4"))


def companions(name: str, names: Collection[str]) -> tuple[str, str | None] | None:
    """Names of the scale and of the zero point that belong to an array, by the customs of files.

    Args:
        name: of the codes, such as "layer.weight" or (ONNX Runtime) "layer.weight_quantized".
        names: all that the file has; a set or dictionary.

    Returns:
        Scale, and zero point if there is one; None if there is no scale.
    """
    for stem in (name, name.removesuffix("_quantized")):
        for ending in SCALES:
            if stem + ending in names:
                return stem + ending, stem + ZEROS if stem + ZEROS in names else None
    return None


def dequantise(codes, scale, zero=None, axis: int = 0) -> np.ndarray:
    """Weights out of codes, (codes − zero) · scale.

    Args:
        codes: any shape.
        scale: one number, one for each index of an axis, or one for each block of a matrix.
        zero: of the same kind as the scale.
        axis: that a one-dimensional scale belongs to.

    Returns:
        The weights, in single precision.

    Raises:
        ValueError: if the shapes do not tell what belongs to what.
    """
    codes = np.asarray(codes).astype(np.float32)
    if zero is not None:
        codes = codes - _spread(np.asarray(zero).astype(np.float32), codes.shape, axis)
    return codes * _spread(np.asarray(scale).astype(np.float32), codes.shape, axis)


def _spread(scale: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """The scale of every entry."""
    if scale.size == 1:
        return scale.reshape(())
    if scale.ndim == 1 and scale.size == shape[axis]:
        return scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    if scale.ndim == len(shape):
        blocks = [-(-n // m) for n, m in zip(shape, scale.shape, strict=True)]
        if all(-(-n // b) == m for n, m, b in zip(shape, scale.shape, blocks, strict=True)):
            for i, block in enumerate(blocks):
                scale = np.repeat(scale, block, i).take(range(shape[i]), i) if block > 1 else scale
            return scale
    raise ValueError(f"codes of shape {shape} have scales of shape {scale.shape}")
