"""Small eigenproblems that stand for the spikes of many steps of a training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from spectrax.seam import TrainedWeights, block_diagonal
from spectrax.spectrum.compress import new_from_old, projected, select_times
from spectrax.spectrum.coupled import assemble
from spectrax.spectrum.eigen import eigenvalues, eigenvectors

TOLERANCE = 1e-13  # dropped variance; strengths err by about its root, polished ones by less


class Fields(NamedTuple):
    """Fields of a small problem: r of e and k of f, each a combination of the old ones."""

    Q: Float[Array, "q r"]  # old e in new e
    P: Float[Array, "p k"]
    Ce: Float[Array, "r r"]
    Cf: Float[Array, "k k"]
    Re: Float[Array, "r p"]  # responses of new e to old f
    Rf: Float[Array, "k q"]  # responses of new f to old e
    made_e: Int[Array, " r"]  # the step that makes a field; -1 for fields of the whole training
    made_f: Int[Array, " k"]


class Problem(NamedTuple):
    """Factors of the small transfer matrices, one for each step."""

    Ce: Float[Array, "steps r r"]
    Cf: Float[Array, "steps k k"]
    Se: Float[Array, "steps r k"]
    Sf: Float[Array, "steps k r"]
    K: Float[Array, "steps k r"]
    aspect: Float[Array, ""]

    def first(self, size: int) -> "Problem":
        """The problem of the first fields only."""
        cut = (x[:, :size, :size] for x in self[:5])
        return Problem(*cut, self.aspect)

    def matrix(self) -> Float[Array, "steps k k"]:
        """Transfer matrices; zero where one is not finite."""
        matrix = self.aspect * jax.vmap(assemble)(*self[:5])
        fine = jnp.all(jnp.isfinite(matrix), axis=(1, 2), keepdims=True)
        return jnp.where(fine, matrix, 0.0)

    def apply(self, a, c):
        """Transfer matrix times vectors (steps, m, …), and the left vectors H (a, c)."""
        lc, la = a @ self.Sf, a @ self.Cf.mT + c @ self.Sf.mT
        wb = lc + la @ self.K
        new_c = wb @ self.Ce.mT + la @ self.Se.mT
        return wb @ self.Se + new_c @ self.K.mT, new_c, la, lc


def all_fields(weights: TrainedWeights, num: int) -> Fields:
    """The fields of the first `num` steps as they are: exact."""
    k, r = (num * width for width in weights.each_step)
    keep = jnp.eye(weights.Ce.shape[-1], r), jnp.eye(weights.Cf.shape[-1], k)
    C = (weights.Ce[:r, :r], weights.Cf[:k, :k])
    return Fields(*keep, *C, weights.Re[:r], weights.Rf[:k], *_made(weights, num))


def _made(weights: TrainedWeights, num: int):
    """Steps that make the forward and the backward fields."""
    f, e = (jnp.repeat(jnp.arange(num), width) for width in weights.each_step)
    return e, f


def few_fields(weights: TrainedWeights, num: Int[Array, ""], room: int):
    """Orthonormal fields that span those of the first `num` steps, most informative first.

    Returns:
        The fields; the relative variance that the first 0, 1, … of them leave unexplained, shape
        (room,); the number of them in use, more than all if the room is too small.
    """
    f, e = (
        select_times(C, room, TOLERANCE, num * width)
        for C, width in zip((weights.Cf, weights.Ce), weights.each_step, strict=True)
    )
    rank = jnp.maximum(jnp.sum(e.used), jnp.sum(f.used))
    whole = too_many(weights)
    rank = jnp.where(jnp.maximum(e.residual, f.residual) > TOLERANCE, whole, rank)
    Re, Rf = new_from_old(e, weights.Re), new_from_old(f, weights.Rf)  # (room, …)
    Ce, Cf = (side.used[:, None] * jnp.eye(room) for side in (e, f))
    always = jnp.full(room, -1)
    fields = Fields(e.Q, f.Q, Ce, Cf, Re, Rf, always, always)
    return fields, jnp.maximum(e.left, f.left), rank


def too_many(weights: TrainedWeights) -> int:
    """A number of fields that no training has."""
    return max(weights.Ce.shape[-1], weights.Cf.shape[-1]) + 1


def coordinates(weights: TrainedWeights, steps: Int[Array, " steps"]):
    """Factors a σ² (steps,) of the responses and coefficients (steps, t) of the spikes made."""
    theta = weights.coordinates[steps]
    made = jnp.arange(weights.num_steps) < steps[:, None]
    return theta[:, 0] * weights.sigma**2, jnp.where(made, theta[:, 1:], 0.0)


def exact_problem(weights: TrainedWeights, steps: Int[Array, " steps"], num: int) -> Problem:
    """Problems in the fields of the first `num` steps as they are."""
    k, r = (num * width for width in weights.each_step)
    kernels = weights.Ce[:r, :r], weights.Cf[:k, :k], weights.Re[:r, :k], weights.Rf[:k, :r]
    scale, c = coordinates(weights, steps)
    blocks = c[:, :num, None, None] * weights.numbers[:num]
    made = tuple(x < steps[:, None] for x in _made(weights, num))
    return _problem(kernels, jax.vmap(block_diagonal)(blocks), scale, made, weights.aspect)


def problem(weights: TrainedWeights, steps: Int[Array, " steps"], fields: Fields) -> Problem:
    """Problems of all steps in other fields; before the first update there is none (all zero)."""
    scale, c = coordinates(weights, steps)
    pairs = projected(weights.numbers, fields.P, fields.Q)  # (t, k, r)
    kernels = (fields.Ce, fields.Cf, fields.Re @ fields.P, fields.Rf @ fields.Q)
    some = (steps > 0)[:, None]
    made = tuple((x < steps[:, None]) & some for x in (fields.made_e, fields.made_f))
    return _problem(kernels, jnp.tensordot(c, pairs, 1), scale, made, weights.aspect)


def _problem(kernels, K, scale, made, aspect):
    (Ce, Cf, Re, Rf), (e, f) = kernels, made
    scale = scale[:, None, None]

    def here(rows, x, columns):
        return jnp.where(rows[:, :, None] & columns[:, None, :], x, 0.0)

    responses = here(e, scale * Re, f), here(f, scale * Rf, e)
    return Problem(here(e, Ce, e), here(f, Cf, f), *responses, K, aspect)


def leading(matrix: Float[Array, "steps k k"], m: int, sign: float) -> Complex[Array, "steps m"]:
    """The m eigenvalues of largest (sign = 1) or lowest (-1) real part of every step."""
    values = eigenvalues(matrix)
    order = jnp.argsort(-sign * values.real, axis=1)[:, :m]
    return jnp.take_along_axis(values, order, axis=1)


def leading_vectors(small: Problem, m: int, sign: float):
    """The same with right eigenvectors as parts (a, c), (steps, m, …)."""
    values, right = eigenvectors(small.matrix())
    order = jnp.argsort(-sign * values.real, axis=1)[:, :m]
    right = jnp.take_along_axis(right, order[:, None, :], axis=2).mT
    k = small.Cf.shape[-1]
    return jnp.take_along_axis(values, order, axis=1), right[..., :k], right[..., k:]
