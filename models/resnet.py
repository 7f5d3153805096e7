"""ResNet-18 with normalisation by layer instead of by batch."""

import jax
import jax.numpy as jnp
from flax import nnx

from models.layers import conv, group_norm, linear
from models.scaling import Scaling
from spectrax import check

STAGES = (1, 2, 4, 8)  # channels over the width, two blocks each


class BasicBlock(nnx.Module):
    """φ(s(x) + n₂(W₂ ∗ φ(n₁(W₁ ∗ x)))); the shortcut s is a 1×1 convolution where sizes change."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        scaling: Scaling,
        *,
        stride: int,
        groups: int,
        sigma: float,
        rngs: nnx.Rngs,
    ):
        def layer(fan_in, size, stride):
            return conv(
                fan_in,
                channels_out,
                "hidden",
                scaling,
                size=size,
                stride=stride,
                sigma=sigma,
                rngs=rngs,
            )

        self.conv1 = layer(channels_in, 3, stride)
        self.norm1 = group_norm(channels_out, groups, rngs=rngs)
        self.conv2 = layer(channels_out, 3, 1)
        self.norm2 = group_norm(channels_out, groups, rngs=rngs)
        self.shortcut = nnx.data(None)
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nnx.Sequential(
                layer(channels_in, 1, stride), group_norm(channels_out, groups, rngs=rngs)
            )

    def __call__(self, x: jax.Array) -> jax.Array:
        skip = x if self.shortcut is None else self.shortcut(x)
        x = nnx.relu(self.norm1(self.conv1(x)))
        return nnx.relu(skip + self.norm2(self.conv2(x)))


class ResNet18(nnx.Module):
    """ResNet-18 for images of any size, scaled in width.

    Group normalisation replaces batch normalisation: a pure function of one image, so that the
    network has no state, does not depend on the batch, and steps of micro-batches add up. One
    group (the default) is layer normalisation over channels and image: its statistics become
    exact at infinite width. The readout has no bias. 11 688 512 parameters at width 64 and
    1000 classes.

    Args:
        width: channels of the first stage; the others have 2, 4 and 8 times as many.
        num_classes: number of outputs.
        in_channels: channels of the images.
        groups: of channels, normalised together; must divide the width.
        base_width: width at which µP and standard parameterization are the same.
        gamma0: richness γ₀ of `models.scaling.Scaling`.
        parameterization: "mup" or "standard".
        sigma: initial standard deviation of kernels times √fan_in.
        readout_sigma: the same of the readout, at base width.
        rngs: random keys.

    Raises:
        ValueError: if a size is not a positive integer, or groups do not divide the width.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        groups: int = 1,
        base_width: int = 64,
        gamma0: float = 1.0,
        parameterization: str = "mup",
        sigma: float = 1.0,
        readout_sigma: float = 1.0,
        rngs: nnx.Rngs,
    ):
        sizes = {"width": width, "num_classes": num_classes, "in_channels": in_channels}
        for name, value in (sizes | {"groups": groups, "base_width": base_width}).items():
            check.integer(name, value, 1)
        if width % groups:
            raise ValueError(f"Argument `groups` must divide the width {width}, got {groups}.")
        scaling = Scaling(width / base_width, 1.0, gamma0, parameterization)
        self.scaling = scaling
        self.input = conv(
            in_channels, width, "input", scaling, size=7, stride=2, sigma=sigma, rngs=rngs
        )
        self.input_norm = group_norm(width, groups, rngs=rngs)
        blocks, channels = [], width
        for factor in STAGES:
            for stride in (1 if factor == 1 else 2, 1):
                block = BasicBlock(
                    channels,
                    factor * width,
                    scaling,
                    stride=stride,
                    groups=groups,
                    sigma=sigma,
                    rngs=rngs,
                )
                blocks.append(block)
                channels = factor * width
        self.blocks = nnx.List(blocks)
        self.readout = linear(
            channels, num_classes, "output", scaling, sigma=readout_sigma, rngs=rngs
        )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Images (batch, height, width, channels) to outputs (batch, classes)."""
        x = nnx.relu(self.input_norm(self.input(images)))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for block in self.blocks:
            x = block(x)
        features = jnp.mean(x, axis=(1, 2))
        return self.readout(self.scaling.forward("output") * features)
