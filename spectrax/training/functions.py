"""Activations and losses: elementwise functions, and error signals of finitely many samples."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from spectrax import check

ACTIVATIONS: dict[str, Callable] = {
    "tanh": jnp.tanh,
    "erf": jax.scipy.special.erf,
    "gelu": lambda x: x * jax.scipy.stats.norm.cdf(x),
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
    "identity": lambda x: x,
}
RANGE, NODES = 8.0, 4001


def activation_function(activation: str | Callable) -> Callable:
    """The function of that name, or the given one.

    Raises:
        ValueError: if the name is unknown or the function is not elementwise.
    """
    if not callable(activation):
        return ACTIVATIONS[check.one_of("activation", activation, tuple(ACTIVATIONS))]
    with jax.ensure_compile_time_eval():
        x = jnp.linspace(-2.0, 2.0, 6).reshape(2, 3)
        try:
            whole = np.asarray(activation(x))
            parts = np.array([[float(activation(entry)) for entry in row] for row in x])
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(_NOT_ELEMENTWISE) from error
    if whole.shape != parts.shape or not np.allclose(whole, parts, rtol=1e-5, atol=1e-6):
        raise ValueError(_NOT_ELEMENTWISE)
    return activation


_NOT_ELEMENTWISE = (
    "Argument `activation` must be an elementwise function, got one that mixes entries or changes "
    "the shape."
)


def is_smooth(function: Callable) -> bool:
    """Whether the derivative has no jump: the largest of a fine grid is followed to its place."""
    with jax.ensure_compile_time_eval():
        jump, largest = _jump(function)
        return bool(jump < 1e-3 * largest)


@functools.partial(jax.jit, static_argnums=0)
def _jump(function: Callable):
    """The steepest change of the derivative over a tiny interval, and the largest derivative."""
    slope = jax.vmap(jax.grad(lambda x: function(x).astype(float)))
    x = jnp.linspace(-RANGE, RANGE, NODES)
    y = slope(x)

    def steepest(x, y):
        k = jnp.argmax(jnp.abs(jnp.diff(y)))
        return x[k], x[k + 1]

    def closer(_, ends):
        nodes = jnp.linspace(*ends, 5)
        return steepest(nodes, slope(nodes))

    ends = slope(jnp.stack(jax.lax.fori_loop(0, 20, closer, steepest(x, y))))
    return jnp.abs(ends[1] - ends[0]), jnp.max(jnp.abs(y))


Samples = Float[Array, "samples outputs"]


class Loss(NamedTuple):
    r"""A loss $\ell(y, f)$ of one sample: its error signal and what is reported.

    error: $\Delta = -\partial\ell/\partial f$, from targets and outputs (samples, outputs) each.
    value: (samples,).
    """

    error: Callable[[Samples, Samples], Samples]
    value: Callable[[Samples, Samples], Float[Array, " samples"]]


def _squared(y: Samples, f: Samples) -> Float[Array, " samples"]:
    return jnp.mean((y - f) ** 2, axis=-1)


MSE = Loss(lambda y, f: y - f, _squared)  # gradient of half the sum; the mean is reported
LOGISTIC = Loss(
    lambda y, f: y * jax.nn.sigmoid(-y * f),
    lambda y, f: jnp.mean(jax.nn.softplus(-y * f), axis=-1),
)
CROSS_ENTROPY = Loss(
    lambda y, f: y - jax.nn.softmax(f, axis=-1) * jnp.sum(y, axis=-1, keepdims=True),
    lambda y, f: -jnp.sum(y * jax.nn.log_softmax(f, axis=-1), axis=-1),
)
LOSSES = {"mse": MSE, "logistic": LOGISTIC, "cross_entropy": CROSS_ENTROPY}


def as_loss(loss: str | Callable) -> Loss:
    """The loss of that name, or one with the given error signal; mean squares are reported then."""
    return Loss(loss, _squared) if callable(loss) else LOSSES[loss]
