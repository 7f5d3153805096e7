"""What is random in a program: stated once, by name, with its spaces and moments."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import check


class Space(eqx.Module):
    """A space whose sites fall into groups, such as inputs of different variance.

    Sites of one group share their law; `scale` gives each group a factor of its own.

    Args:
        dim: relative dimension.
        weights: share of the sites in each group, (groups,); they add up to one.
    """

    dim: Float[Array, ""] | float
    weights: Float[Array, " groups"]

    def __init__(self, dim, weights):
        self.dim, self.weights = dim, check.shares("weights", weights)


def dimension(space) -> Float[Array, ""] | float:
    """Relative dimension of a space, given as a number or a `Space`."""
    return space.dim if isinstance(space, Space) else space


def group_weights(space) -> Float[Array, " groups"]:
    """Share of the sites in each group."""
    return space.weights if isinstance(space, Space) else jnp.ones(1)


@dataclasses.dataclass(frozen=True)
class Stencil:
    r"""How a matrix acts on the index axis of fields, such as a convolution on positions.

    $W x = \frac{1}{\sqrt k} \sum_d W_d\, S_d x$ with k independent matrices $W_d$ of the same kind
    and $(S_d x)_o = x_{\mathrm{table}[d][o]}$, zero where the table has -1.

    Args:
        table: inputs that each output reads, (offsets, outputs); one offset reads no input twice.
        num_inputs: length of the index axis of x.
    """

    table: tuple[tuple[int, ...], ...]
    num_inputs: int

    def __post_init__(self):
        for row in self.table:
            read = [place for place in row if place >= 0]
            if len(set(read)) < len(read) or max(row) >= self.num_inputs or min(row) < -1:
                raise ValueError(
                    f"Argument `table` must read each of {self.num_inputs} inputs at most once for "
                    f"each offset, got {row}."
                )

    @property
    def num_outputs(self) -> int:
        """Length of the index axis of W x."""
        return len(self.table[0])

    @property
    def reads(self) -> np.ndarray:
        """The table, (offsets, outputs)."""
        return np.array(self.table)

    @property
    def read_by(self) -> np.ndarray:
        """Outputs that read each input, (offsets, inputs); -1 where there is none."""
        found = np.full((len(self.table), self.num_inputs), -1)
        for offset, row in enumerate(self.table):
            for output, place in enumerate(row):
                if place >= 0:
                    found[offset, place] = output
        return found

    def spread(self, block: Float[Array, "k t w"], forward: bool) -> Float[Array, "k2 t w2"]:
        r"""$\frac1k \sum_d S_d\, C\, S_d^\top$ of every step (or $S_d^\top C\, S_d$).

        Both axes may hold several fields, one after the other.
        """
        table = self.reads if forward else self.read_by
        size = self.num_inputs if forward else self.num_outputs
        k, t, w = block.shape
        block = block.reshape(k // size, size, t, w // size, size)
        out = 0.0
        for places in table:
            there = jnp.asarray(places >= 0)
            part = block[:, places][..., places]
            out = out + jnp.where(there[:, None, None, None] & there, part, 0.0)
        new = len(table[0])
        return out.reshape(k // size * new, t, w // size * new) / len(table)


class Matrix(eqx.Module):
    r"""A random matrix with i.i.d. entries $\mathcal N(0, \sigma^2/\mathrm{cols})$.

    Args:
        rows, cols: its spaces.
        sigma: standard deviation $\sigma$.
        trained: it adds the spikes that `append` gave it in earlier steps.
        fresh: it is drawn anew at every step.
        symmetric: it equals its transpose, with that variance off the diagonal.
        stencil: how it acts on the index axis; None = on each vector by itself.
    """

    rows: str = eqx.field(static=True)
    cols: str = eqx.field(static=True)
    sigma: Float[Array, ""] | float = 1.0
    trained: bool = eqx.field(static=True, default=False, kw_only=True)
    fresh: bool = eqx.field(static=True, default=False, kw_only=True)
    symmetric: bool = eqx.field(static=True, default=False, kw_only=True)
    stencil: Stencil | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        if self.symmetric and self.rows != self.cols:
            raise ValueError(
                f"Argument `cols` of a symmetric matrix must be {self.rows!r}, got {self.cols!r}."
            )
        if self.symmetric and self.stencil is not None:
            raise ValueError("Argument `symmetric` must be False with a stencil, got True.")
        if self.fresh and self.trained:
            raise ValueError("Argument `fresh` must be False for a trained matrix, got True.")


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


def weight(
    rows: str, cols: str, sigma: ArrayLike = 1.0, *, stencil: Stencil | None = None
) -> Matrix:
    """A trained matrix."""
    return Matrix(rows, cols, sigma, trained=True, stencil=stencil)


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
