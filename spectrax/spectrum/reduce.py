"""Small eigenproblems that stand for the spikes of many steps of a training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from spectrax.seam import TrainedWeights
from spectrax.spectrum.compress import new_from_old, select_times
from spectrax.spectrum.coupled import assemble
from spectrax.spectrum.eigen import eigenvalues, eigenvectors

TOLERANCE = 1e-13  # dropped variance; strengths err by about its root, polished ones by less


class Fields(NamedTuple):
    """Fields of a small problem: r on each side, each a combination of the n old ones."""

    Q: Float[Array, "n r"]  # old e in new e
    P: Float[Array, "n r"]
    Ce: Float[Array, "r r"]
    Cf: Float[Array, "r r"]
    Re: Float[Array, "r n"]  # responses of new e to old f
    Rf: Float[Array, "r n"]  # responses of new f to old e
    made: Int[Array, " r"]  # the step that makes a field; -1 for fields of the whole training


class Problem(NamedTuple):
    """Factors of the small transfer matrices, one for each step."""

    Ce: Float[Array, "steps r r"]
    Cf: Float[Array, "steps r r"]
    Se: Float[Array, "steps r r"]
    Sf: Float[Array, "steps r r"]
    K: Float[Array, "steps r r"]
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
        """Transfer matrix times vectors (steps, m, r), and the left vectors H (a, c)."""
        lc, la = a @ self.Sf, a @ self.Cf.mT + c @ self.Sf.mT
        wb = lc + la @ self.K
        new_c = wb @ self.Ce.mT + la @ self.Se.mT
        return wb @ self.Se + new_c @ self.K.mT, new_c, la, lc


def all_fields(weights: TrainedWeights, size: int) -> Fields:
    """The first `size` fields as they are: exact."""
    keep = jnp.eye(weights.Ce.shape[-1], size)
    C = (weights.Ce[:size, :size], weights.Cf[:size, :size])
    made = jnp.arange(size) // weights.num_classes
    return Fields(keep, keep, *C, weights.Re[:size], weights.Rf[:size], made)


def few_fields(weights: TrainedWeights, fields: Int[Array, ""], room: int):
    """Orthonormal fields that span the first `fields` old ones, most informative first.

    Returns:
        The fields; the relative variance that the first 0, 1, … of them leave unexplained, shape
        (room,); the number of them in use, n + 1 if the room is too small.
    """
    both = jnp.stack([weights.Ce, weights.Cf])
    pick = jax.vmap(lambda C: select_times(C, room, TOLERANCE, fields))(both)
    rank = jnp.max(jnp.sum(pick.used, axis=1))
    rank = jnp.where(jnp.max(pick.residual) > TOLERANCE, both.shape[1] + 1, rank)
    e, f = (jax.tree.map(lambda x, side=side: x[side], pick) for side in (0, 1))
    Re, Rf = new_from_old(e, weights.Re), new_from_old(f, weights.Rf)  # (room, n)
    Ce, Cf = pick.used[:, :, None] * jnp.eye(room)
    return Fields(*pick.Q, Ce, Cf, Re, Rf, jnp.full(room, -1)), jnp.max(pick.left, axis=0), rank


def coordinates(weights: TrainedWeights, steps: Int[Array, " steps"]):
    """Factors a σ² (steps,) of the responses and coefficients (steps, n) of the spikes made."""
    theta = weights.coordinates[steps]
    made = jnp.arange(weights.num_steps) < steps[:, None]
    k = jnp.repeat(jnp.where(made, theta[:, 1:], 0.0), weights.num_classes, axis=1)
    k = k * weights.factor
    return theta[:, 0] * weights.sigma**2, k


def exact_problem(weights: TrainedWeights, steps: Int[Array, " steps"], size: int) -> Problem:
    """Problems of all steps in the first `size` fields as they are."""
    fields = weights.Ce, weights.Cf, weights.Re, weights.Rf
    kernels = (x[:size, :size] for x in fields)
    scale, k = coordinates(weights, steps)
    made = jnp.arange(size) // weights.num_classes < steps[:, None]
    return _problem(kernels, jax.vmap(jnp.diag)(k[:, :size]), scale, made, weights.aspect)


def problem(weights: TrainedWeights, steps: Int[Array, " steps"], fields: Fields) -> Problem:
    """Problems of all steps in other fields; before the first update there is none (all zero)."""
    scale, k = coordinates(weights, steps)
    r = fields.Ce.shape[0]
    pairs = (fields.P[:, :, None] * fields.Q[:, None, :]).reshape(-1, r * r)
    kernels = (fields.Ce, fields.Cf, fields.Re @ fields.P, fields.Rf @ fields.Q)
    made = (fields.made < steps[:, None]) & (steps > 0)[:, None]  # (steps, r)
    return _problem(kernels, (k @ pairs).reshape(-1, r, r), scale, made, weights.aspect)


def _problem(kernels, K, scale, made, aspect):
    Ce, Cf, Re, Rf = kernels
    scale = scale[:, None, None]
    here = made[:, :, None] & made[:, None, :]  # (steps, r, r)
    kernels = (jnp.where(here, x, 0.0) for x in (Ce, Cf, scale * Re, scale * Rf))
    return Problem(*kernels, K, aspect)


def leading(matrix: Float[Array, "steps k k"], m: int, sign: float) -> Complex[Array, "steps m"]:
    """The m eigenvalues of largest (sign = 1) or lowest (-1) real part of every step."""
    values = eigenvalues(matrix)
    order = jnp.argsort(-sign * values.real, axis=1)[:, :m]
    return jnp.take_along_axis(values, order, axis=1)


def leading_vectors(matrix: Float[Array, "steps k k"], m: int, sign: float):
    """The same with right eigenvectors as parts (a, c), each of shape (steps, m, k / 2)."""
    values, right = eigenvectors(matrix)
    order = jnp.argsort(-sign * values.real, axis=1)[:, :m]
    right = jnp.take_along_axis(right, order[:, None, :], axis=2).mT
    r = matrix.shape[-1] // 2
    return jnp.take_along_axis(values, order, axis=1), right[..., :r], right[..., r:]
