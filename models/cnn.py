"""Residual convolutional network of constant width."""

import jax
import jax.numpy as jnp
from flax import nnx

from models.layers import conv, linear
from models.scaling import Scaling
from spectrax import check


class ResidualBlock(nnx.Module):
    """x + (1/d) W₂ ∗ φ(W₁ ∗ φ(x)): two 3×3 convolutions of equal width."""

    def __init__(self, width: int, scaling: Scaling, *, sigma: float, rngs: nnx.Rngs):
        self.conv1 = conv(width, width, "hidden", scaling, branch=True, sigma=sigma, rngs=rngs)
        self.conv2 = conv(width, width, "hidden", scaling, branch=True, sigma=sigma, rngs=rngs)
        self.multiplier = scaling.branch

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.multiplier * self.conv2(nnx.relu(self.conv1(nnx.relu(x))))


class CNN(nnx.Module):
    """Input convolution, residual blocks of constant width, global average, readout.

    There are no biases and no normalisation: the network is a pure function, every matrix is a
    kernel, and everything that moves is in the kernels.

    Args:
        width: number of channels of every layer.
        num_blocks: residual blocks, two hidden convolutions each.
        num_classes: number of outputs.
        in_channels: channels of the images.
        base_width: width at which µP and standard parameterization are the same.
        base_blocks: number of blocks at which they are.
        gamma0: richness γ₀ of `models.scaling.Scaling`.
        parameterization: "mup" or "standard".
        sigma: initial standard deviation of kernels times √fan_in.
        readout_sigma: the same of the readout, at base width.
        stride: of the input convolution; 2 makes everything four times cheaper.
        rngs: random keys.

    Raises:
        ValueError: if a size is not a positive integer.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from models.cnn import CNN
        >>> model = CNN(16, 2, rngs=nnx.Rngs(0))
        >>> model(jnp.zeros((5, 8, 8, 3), jnp.float32)).shape
        (5, 10)
    """

    def __init__(
        self,
        width: int,
        num_blocks: int = 3,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        base_width: int = 64,
        base_blocks: int = 3,
        gamma0: float = 1.0,
        parameterization: str = "mup",
        sigma: float = 1.0,
        readout_sigma: float = 1.0,
        stride: int = 1,
        rngs: nnx.Rngs,
    ):
        sizes = {"width": width, "num_blocks": num_blocks, "num_classes": num_classes}
        sizes |= {"base_width": base_width, "base_blocks": base_blocks, "in_channels": in_channels}
        for name, value in sizes.items():
            check.integer(name, value, 1)
        scaling = Scaling(width / base_width, num_blocks / base_blocks, gamma0, parameterization)
        self.scaling = scaling
        self.input = conv(
            in_channels, width, "input", scaling, stride=stride, sigma=sigma, rngs=rngs
        )
        self.blocks = nnx.List(
            [ResidualBlock(width, scaling, sigma=sigma, rngs=rngs) for _ in range(num_blocks)]
        )
        self.readout = linear(width, num_classes, "output", scaling, sigma=readout_sigma, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images (batch, height, width, channels) to outputs (batch, classes)."""
        x = self.input(images)
        for block in self.blocks:
            x = block(x)
        features = jnp.mean(nnx.relu(x), axis=(1, 2))
        return self.readout(self.scaling.forward("output") * features)
