"""Strengths at many steps of a training, with derivatives."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax._compiled import compiled
from spectrax.seam import TrainedWeights
from spectrax.spectrum.spikes.leading import leading, leading_vectors
from spectrax.spectrum.trajectory.compress import Basis, basis

EXACT = 32  # up to this step all spikes are used as they are
ROOM = 32  # beyond, orthonormal fields, at most so many for each field of a step; all if they fail
TOLERANCE = 1e-13  # dropped variance; strengths err by less than its root
CHUNK = 16  # steps solved at once


class Prepared(NamedTuple):
    """A training and the few fields that span it, if it has many steps."""

    weights: TrainedWeights
    few: Basis | None


@compiled("count", "sign")
def strengths_at(
    weights: TrainedWeights, steps: Int[Array, " steps"], count: int = 1, sign: float = 1.0
) -> tuple[Float[Array, "steps count"], Float[Array, "steps count"]]:
    r"""Strengths $\theta^2$ of the weight after each of the given numbers of updates.

    The derivative is $l^\top d\mathcal{T}\, r / l^\top r$ with eigenvectors lifted to the kernels
    of the whole training, in both modes, to first order; the imaginary part counts as constant.

    Args:
        weights: spikes of every step; with a kernel that is not finite they count as zero.
        steps: numbers of updates, in any order; neighbours in the list are solved together.
        count: how many strengths.
        sign: 1.0 for the largest, -1.0 for the lowest real parts.

    Returns:
        Real and imaginary parts, shape (steps, count); zero before the first update. See
        `strength_path` for GPUs and TPUs.
    """
    return strengths_of(prepare(weights), steps, count, sign)


def prepare(weights: TrainedWeights) -> Prepared:
    """The training, or zeros if a kernel is not finite, in few fields."""
    fine = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(weights)]
    weights = jax.tree.map(lambda leaf: jnp.where(jnp.stack(fine).all(), leaf, 0.0), weights)
    if weights.num_steps <= EXACT:
        return Prepared(weights, None)
    room = min(ROOM * max(weights.each_step), max(weights.Ce.shape[-1], weights.Cf.shape[-1]))
    return Prepared(weights, basis(jax.lax.stop_gradient(weights), room, TOLERANCE))


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def strengths_of(prepared: Prepared, steps, count: int = 1, sign: float = 1.0):
    """`strengths_at` of a prepared training."""
    found = _solve(prepared, steps, count, partial(leading, count=count, sign=sign))
    return found[:, 0], found[:, 1]


@strengths_of.defjvp
def _strengths_jvp(count, sign, primals, tangents):
    prepared, steps = primals
    equals = max(prepared.weights.each_step) - 1  # class copies share their derivative
    find = partial(leading_vectors, count=count, more=equals, sign=sign)
    found, vectors = _solve(prepared, steps, count + equals, find, _lift)
    tangent = (tangents[0].weights,)
    moves = jax.jvp(lambda w: quotients(w, steps, vectors), (prepared.weights,), tangent)[1]
    return (found[:, 0], found[:, 1]), (moves, jnp.zeros_like(moves))


def _as_it_is(found, *_):
    return found


def _solve(prepared: Prepared, steps, number: int, find: Callable, lift: Callable = _as_it_is):
    """Solve for CHUNK steps at a time; under vmap one element of the batch at a time.

    The fields are chosen at run time: a batched choice would solve in all of them.
    """

    def chunk(prepared, steps):
        return _chunk(prepared, steps, find, lift, number)

    if prepared.few is not None:
        chunk = jax.custom_batching.sequential_vmap(chunk)
    if len(steps) <= CHUNK:
        return chunk(prepared, steps)
    padded = jnp.concatenate([steps, jnp.repeat(steps[-1:], -len(steps) % CHUNK)])
    result = jax.lax.map(lambda part: chunk(prepared, part), padded.reshape(-1, CHUNK))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(steps)], result)


def _chunk(prepared, steps, find, lift, number):
    weights, few = prepared

    def run(some, few=None):
        return lift(jax.vmap(lambda step: find(some.at(step)))(steps), weights, steps, few)

    if few is None:
        return run(weights)
    early, fits = jnp.max(steps) <= EXACT, jnp.all(few.weights.residual <= TOLERANCE)
    attempts = [  # when to solve for so many eigenvalues, and how
        (early, EXACT * sum(weights.each_step), lambda: run(_first(weights, EXACT))),
        (fits, 2 * few.weights.rank, lambda: run(few.weights, few)),
    ]
    attempts = [(when, how) for when, size, how in attempts if size >= number]
    runs = [how for _, how in attempts] + [lambda: run(weights)]
    return jax.lax.switch(jnp.argmax(jnp.array([*(when for when, _ in attempts), True])), runs)


def _first(weights: TrainedWeights, num: int) -> TrainedWeights:
    """The training of the first `num` steps."""
    p, q = (num * width for width in weights.each_step)
    kernels = weights.Ce[:q, :q], weights.Cf[:p, :p], weights.Re[:q, :p], weights.Rf[:p, :q]
    coordinates = weights.coordinates[: num + 1, : num + 1]
    scalars = weights.aspect, weights.sigma
    return TrainedWeights(*kernels, coordinates, *scalars, weights.numbers[:num])


def _lift(found, weights: TrainedWeights, steps, few: Basis | None):
    """Eigenvectors in the fields of the whole training from those in other fields.

    Fields that a step has not made yet are uncoupled: in them the quotient is stationary too, and
    vectors cut to those made would spoil it.
    """
    values, v = found
    if few is None:
        sizes = 2 * (weights.Cf.shape[-1], weights.Ce.shape[-1])
        pairs = zip((v.a, v.c, v.left_a, v.left_c), sizes, strict=True)
        full = [jnp.pad(x, [(0, 0)] * 3 + [(0, size - x.shape[-1])]) for x, size in pairs]
    else:
        scale, coordinates = _coordinates(weights, steps)
        c = v.c @ few.weights.Q.T
        a = scale * (v.b @ few.Re) + _to_f(weights, coordinates, c)
        full = [a, c, v.left_a @ few.weights.P.T, scale * (v.left_b @ few.Rf)]
    here = jnp.any(v.mean > 0, axis=1)[:, None, :, None]  # no NaN where kernels overflow
    full = (jnp.where(here, x, 0.0) for x in full)
    return values, dict(zip(("a", "c", "left_a", "left_c"), full, strict=True), mean=v.mean)


def quotients(weights: TrainedWeights, steps, vectors) -> Float[Array, "steps count"]:
    r"""$\mathrm{Re}\, l^\top\mathcal{T}r$ of given vectors, one product for all steps."""
    scale, c = _coordinates(weights, steps)
    a, la, lc = vectors["a"], vectors["left_a"], vectors["left_c"]  # (steps, 2, m, field)
    d = a @ weights.Cf + scale * (vectors["c"] @ weights.Rf.T)
    b = scale * (a @ weights.Rf) + _to_e(weights, c, d)
    new_c = b @ weights.Ce + scale * (d @ weights.Re.T)
    new_a = scale * (b @ weights.Re) + _to_f(weights, c, new_c)
    forms = jnp.sum(la * new_a, axis=-1) + jnp.sum(lc * new_c, axis=-1)
    real = forms[:, 0] - forms[:, 1]
    return weights.aspect * jnp.einsum("scm,sm->sc", vectors["mean"], real)


def _coordinates(weights: TrainedWeights, steps):
    """Factors a σ² (steps, 1, 1, 1) of the responses, coefficients (steps, 1, 1, t) of spikes."""
    theta = weights.coordinates[steps][:, None, None]
    made = jnp.arange(weights.num_steps) < steps[:, None, None, None]
    return theta[..., :1] * weights.sigma**2, jnp.where(made, theta[..., 1:], 0.0)


def _to_e(weights, c, x):
    r"""$K^\top x$ of vectors (steps, 2, m, p)."""
    f, _ = weights.each_step
    x = c[..., None] * x.reshape(*x.shape[:-1], -1, f)
    return jnp.einsum("...tf,tfe->...te", x, weights.numbers).reshape(*x.shape[:-2], -1)


def _to_f(weights, c, x):
    r"""$Kx$ of vectors (steps, 2, m, q)."""
    _, e = weights.each_step
    x = c[..., None] * x.reshape(*x.shape[:-1], -1, e)
    return jnp.einsum("...te,tfe->...tf", x, weights.numbers).reshape(*x.shape[:-2], -1)
