"""What is random in a program: stated once, by name, with its spaces and moments."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


class Matrix(eqx.Module):
    r"""A random matrix with i.i.d. entries $\mathcal N(0, \sigma^2/\mathrm{cols})$.

    Args:
        rows, cols: its spaces.
        sigma: standard deviation $\sigma$.
        trained: it adds the spikes that `append` gave it in earlier steps.
        fresh: it is drawn anew at every step.
        symmetric: it equals its transpose, with that variance off the diagonal.
    """

    rows: str = eqx.field(static=True)
    cols: str = eqx.field(static=True)
    sigma: Float[Array, ""] | float = 1.0
    trained: bool = eqx.field(static=True, default=False, kw_only=True)
    fresh: bool = eqx.field(static=True, default=False, kw_only=True)
    symmetric: bool = eqx.field(static=True, default=False, kw_only=True)


class Vector(eqx.Module):
    r"""Trained vectors with i.i.d. initial entries $\mathcal N(0, \sigma^2)$, e.g. the readout.

    Args:
        space: where they live.
        size: how many.
        sigma: standard deviation $\sigma$.
    """

    space: str = eqx.field(static=True)
    size: int = eqx.field(static=True)
    sigma: Float[Array, ""] | float = 1.0


class Constant(eqx.Module):
    """Gaussian vectors with given inner products, e.g. the teacher.

    Args:
        space: where they live.
        gram: inner products, (k, k).
        fresh: drawn anew at every step; else the same at all times.
    """

    space: str = eqx.field(static=True)
    gram: Float[Array, "k k"] = eqx.field(converter=jnp.asarray)
    fresh: bool = eqx.field(static=True, default=False, kw_only=True)


def weight(rows: str, cols: str, sigma: ArrayLike = 1.0) -> Matrix:
    """A trained matrix."""
    return Matrix(rows, cols, sigma, trained=True)


Objects = dict[str, Matrix | Vector | Constant]


class Together(eqx.Module):
    """The objects of several programs, `objects(t)` each."""

    parts: tuple[Callable, ...]

    def __call__(self, t) -> Objects:
        """All of them at step t."""
        found: Objects = {}
        for part in self.parts:
            found |= part(t)
        return found
