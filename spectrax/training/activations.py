"""Elementwise activations, and what a given function has to fulfil."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from spectrax import _check

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
        return ACTIVATIONS[_check.one_of("activation", activation, tuple(ACTIVATIONS))]
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
        slope = jax.jit(jax.vmap(jax.grad(lambda x: function(x).astype(float))))
        x = jnp.linspace(-RANGE, RANGE, NODES)
        y = slope(x)
        k = int(jnp.argmax(jnp.abs(jnp.diff(y))))
        low, high = x[k], x[k + 1]
        for _ in range(20):
            nodes = jnp.linspace(low, high, 5)
            k = int(jnp.argmax(jnp.abs(jnp.diff(slope(nodes)))))
            low, high = nodes[k], nodes[k + 1]
        ends = slope(jnp.stack([low, high]))
        return bool(jnp.abs(ends[1] - ends[0]) < 1e-3 * jnp.max(jnp.abs(y)))
