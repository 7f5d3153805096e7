"""Fully connected network whose parameters carry roles, for any width and parameterization."""

import jax
from flax import nnx

from models.layers import linear
from models.scaling import Scaling
from spectrax import check


class Dense(nnx.Module):
    r"""Hidden layers of equal width, without biases.

    $$h^1 = W^0 x, \qquad h^{l+1} = W^l \phi(h^l), \qquad f = a\, W^L \phi(h^L)$$

    with entries of variance $\sigma^2$/fan_in; a and the rates are those of
    `models.scaling.Scaling`. The theory's own parameterization is `models.mlp.MLP`.

    Args:
        width: N, of every hidden layer.
        depth: number L of hidden layers.
        inputs: D; inputs of more axes are flattened.
        outputs: C.
        base_width: width at which µP and standard parameterization are the same.
        gamma0: richness γ₀ of `models.scaling.Scaling`.
        parameterization: "mup" or "standard".
        sigma: σ; √2 keeps the size of the signal through ReLUs.
        rngs: random keys.

    Raises:
        ValueError: if a size is not a positive integer.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from models.dense import Dense
        >>> model = Dense(128, 3, inputs=64, outputs=10, rngs=nnx.Rngs(0))
        >>> model(jnp.zeros((5, 8, 8, 1), jnp.float32)).shape
        (5, 10)
    """

    def __init__(
        self,
        width: int,
        depth: int = 2,
        *,
        inputs: int,
        outputs: int,
        base_width: int = 64,
        gamma0: float = 1.0,
        parameterization: str = "mup",
        sigma: float = 2**0.5,
        rngs: nnx.Rngs,
    ):
        sizes = {"width": width, "depth": depth, "inputs": inputs, "outputs": outputs}
        for name, value in (sizes | {"base_width": base_width}).items():
            check.integer(name, value, 1)
        scaling = Scaling(width / base_width, 1.0, gamma0, parameterization)
        self.scaling = scaling
        self.input = linear(inputs, width, "input", scaling, sigma=sigma, rngs=rngs)
        self.hidden = nnx.List(
            [
                linear(width, width, "hidden", scaling, sigma=sigma, rngs=rngs)
                for _ in range(depth - 1)
            ]
        )
        self.readout = linear(width, outputs, "output", scaling, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Inputs (samples, …) to outputs (samples, C)."""
        h = nnx.relu(self.input(x.reshape(len(x), -1)))
        for layer in self.hidden:
            h = nnx.relu(layer(h))
        return self.readout(self.scaling.forward("output") * h)
