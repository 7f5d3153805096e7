"""Losses of networks with finitely many samples, through their error signals."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
