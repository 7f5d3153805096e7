"""Layers of Flax with the scaling's initial values and roles; stored in single precision."""

import jax.numpy as jnp
from flax import nnx

from models.roles import tag
from models.scaling import Scaling

PARAM = jnp.float32


def _kernel(fan_in: int, role: str, scaling: Scaling, branch: bool, sigma: float) -> dict:
    """Initial values σ/√fan_in · factor, and the role."""
    return {
        "kernel_init": nnx.initializers.normal(sigma / fan_in**0.5 * scaling.initial(role)),
        "kernel_metadata": tag(role, branch=branch),
    }


def linear(
    fan_in: int,
    fan_out: int,
    role: str,
    scaling: Scaling,
    *,
    branch: bool = False,
    sigma: float = 1.0,
    dtype=PARAM,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """A matrix without bias; the kernel is (in, out).

    Args:
        fan_in: number of inputs.
        fan_out: number of outputs.
        role: of the kernel; see `models.scaling`.
        scaling: gives the initial standard deviation σ/√fan_in · factor.
        branch: the layer lies in a residual branch.
        sigma: σ.
        dtype: of the computation.
        rngs: random keys.

    Returns:
        The layer; networks apply the forward multipliers to the inputs of the readout.
    """
    kernel = _kernel(fan_in, role, scaling, branch, sigma)
    return nnx.Linear(
        fan_in, fan_out, use_bias=False, dtype=dtype, param_dtype=PARAM, rngs=rngs, **kernel
    )


def conv(
    channels_in: int,
    channels_out: int,
    role: str,
    scaling: Scaling,
    *,
    size: int = 3,
    stride: int = 1,
    branch: bool = False,
    sigma: float = 1.0,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square convolution without bias; the kernel is (height, width, in, out).

    Args:
        channels_in: number of input channels; fan_in is this times size².
        channels_out: number of output channels.
        role: of the kernel; see `models.scaling`.
        scaling: gives the initial standard deviation σ/√fan_in · factor.
        size: side of the kernel; the image is padded by size // 2 on every side.
        stride: of the convolution.
        branch: the layer lies in a residual branch.
        sigma: σ.
        rngs: random keys.

    Returns:
        The layer.
    """
    return nnx.Conv(
        channels_in,
        channels_out,
        (size, size),
        strides=stride,
        padding=size // 2,
        use_bias=False,
        dtype=PARAM,
        param_dtype=PARAM,
        rngs=rngs,
        **_kernel(channels_in * size**2, role, scaling, branch, sigma),
    )


def rms_norm(features: int, *, branch: bool = False, dtype=PARAM, rngs: nnx.Rngs) -> nnx.RMSNorm:
    """Division by the root mean square of the last axis, with a gain for each feature."""
    gain = tag("vector", branch=branch)
    return nnx.RMSNorm(features, dtype=dtype, param_dtype=PARAM, scale_metadata=gain, rngs=rngs)


def group_norm(channels: int, groups: int, *, rngs: nnx.Rngs) -> nnx.GroupNorm:
    """Standardisation of groups of channels over the image, with gains and biases."""
    return nnx.GroupNorm(
        channels,
        num_groups=groups,
        dtype=PARAM,
        param_dtype=PARAM,
        scale_metadata=tag("vector"),
        bias_metadata=tag("vector"),
        rngs=rngs,
    )
