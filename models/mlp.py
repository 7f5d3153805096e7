r"""Fully connected networks in exactly the parameterization of the theory."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from spectrax import check
from spectrax.program.coordinates import heavy_ball
from spectrax.training.functions import activation_function


class MLP(nnx.Module):
    r"""A fully connected network without biases.

    $$h^1 = \frac{W^0 x}{\sqrt D}, \qquad h^{l+1} = \frac{W^l \phi(h^l)}{\sqrt N}, \qquad
      f = a\, w\, \phi(h^L)$$

    with entries of all weights from $\mathcal N(0, \sigma^2)$. Wide networks have
    $a = 1/(\gamma_0 N)$, deep linear ones $a = 1/(\gamma \sqrt N)$.

    Args:
        depth: number L of hidden layers.
        width: N.
        inputs: D.
        outputs: C.
        multiplier: a.
        sigma: standard deviation of the initial entries.
        activation: name known to `spectrax.WideNetwork`, or an elementwise function.
        key: of the initial weights.
        dtype: of the weights.

    Attributes:
        W: W^0 (N, D), W^1 … W^{L-1} (N, N), rows are outputs.
        w: readout, (C, N).
    """

    def __init__(
        self,
        depth: int,
        width: int,
        *,
        inputs: int,
        outputs: int = 1,
        multiplier: float,
        sigma: float = 1.0,
        activation: str | Callable = "tanh",
        key: jax.Array,
        dtype=jnp.float32,
    ):
        for name, value in {"depth": depth, "width": width, "inputs": inputs}.items():
            check.integer(name, value, 1)
        check.integer("outputs", outputs, 1)
        check.positive("sigma", sigma)
        activation_function(activation)  # whether there is one of that name
        shapes = [(width, inputs), *[(width, width)] * (depth - 1), (outputs, width)]
        keys = jax.random.split(key, len(shapes))
        arrays = [
            jnp.asarray(sigma, dtype) * jax.random.normal(key, shape, dtype)
            for key, shape in zip(keys, shapes, strict=True)
        ]
        self.W = nnx.List([nnx.Param(array) for array in arrays[:-1]])
        self.w = nnx.Param(arrays[-1])
        self.multiplier, self.activation = float(multiplier), activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Outputs (samples, C) of inputs (samples, D)."""
        phi, h = activation_function(self.activation), x
        for W in self.W:
            h = phi(h @ W[...].T / W.shape[1] ** 0.5)
        return self.multiplier * (h @ self.w[...].T)

    def matrix(self, layer: int) -> jax.Array:
        r"""The effective matrix: $W^l$ over the square root of its number of columns."""
        W = self.W[layer][...]
        return W / W.shape[1] ** 0.5


def wide_mlp(
    depth: int,
    width: int,
    *,
    inputs: int,
    outputs: int = 1,
    eta: float | np.ndarray,
    gamma0: float,
    sigma: float = 1.0,
    activation: str | Callable = "tanh",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    key: jax.Array,
    dtype=jnp.float32,
) -> tuple[MLP, optax.GradientTransformation]:
    r"""A network in µP and its gradient descent, as in `spectrax.WideNetwork`.

    $$f = \frac{1}{\gamma_0 N}\, w\, \phi(h^L), \qquad
      v \leftarrow \mu v - \eta\gamma_0^2 N \nabla\mathcal L - \lambda\theta, \qquad
      \theta \leftarrow \theta + v$$

    Args:
        depth: number L of hidden layers.
        width: N.
        inputs: D.
        outputs: C.
        eta: learning rate, a scalar or a schedule of one value for each step.
        gamma0: output multiplier; large is rich.
        sigma: standard deviation of the initial entries.
        activation: name known to `spectrax.WideNetwork`, or an elementwise function.
        momentum: µ.
        weight_decay: λ, per step, not multiplied by eta.
        key: of the initial weights.
        dtype: of the weights.

    Returns:
        The network and its optimizer. Equal optimizers are one object: training many networks
        compiles once.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Source: theory page, section 4.
    """
    check.integer("width", width, 1)
    network = MLP(
        depth,
        width,
        inputs=inputs,
        outputs=outputs,
        multiplier=1 / (check.positive("gamma0", gamma0) * width),
        sigma=sigma,
        activation=activation,
        key=key,
        dtype=dtype,
    )
    rates = np.asarray(check.nonnegative("eta", eta), np.float64) * gamma0**2 * width
    return network, gradient_descent(rates, momentum, weight_decay)


def gradient_descent(
    rates: float | np.ndarray,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    optimizer: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    r"""$v \leftarrow \mu v - \mathrm{rate}_t \nabla\mathcal L - \lambda\theta$,
    $\theta \leftarrow \theta + v$.

    Args:
        rates: raw learning rates, a scalar or one for each step.
        momentum: µ.
        weight_decay: λ.
        optimizer: with unit rate, in place of momentum and weight_decay.

    Returns:
        An Optax transformation; for equal arguments the same object.
    """
    plain = tuple(np.ravel(rates).tolist())
    check.between("momentum", momentum, 0, 1)
    check.between("weight_decay", weight_decay, 0, 1)
    return _descent(plain, np.ndim(rates) == 0, float(momentum), float(weight_decay), optimizer)


@functools.lru_cache
def _descent(rates, constant: bool, momentum: float, weight_decay: float, optimizer):
    if constant:
        scale = optax.scale(rates[0])
    else:
        scale = optax.scale_by_schedule(lambda step: jnp.asarray(rates)[step])
    return optax.chain(scale, optimizer or heavy_ball(momentum, weight_decay))
