"""Strengths at many steps of a training, with derivatives."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from spectrax._compiled import compiled
from spectrax.seam import TrainedWeights
from spectrax.spectrum.spikes.eigen import CLOSE, DEFECTIVE
from spectrax.spectrum.trajectory._few_fields import (
    LARGE,
    ROOM,
    all_fields,
    coordinates,
    exact_sizes,
    few_fields,
    leading_vectors,
    problem,
    strength_values,
)

CHUNK = 16  # neighbouring steps that share one set of fields


class Vectors(NamedTuple):
    """Right and left eigenvectors of the full problem, parts (a, c), with dual normalisation."""

    ra: Complex[Array, "steps m p"]
    rc: Complex[Array, "steps m q"]
    la: Complex[Array, "steps m p"]
    lc: Complex[Array, "steps m q"]
    mean: Float[Array, "steps count m"]  # averages over equal eigenvalues


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
        Real and imaginary parts, shape (steps, count); zero before the first update.
    """
    fine = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(weights)]
    weights = jax.tree.map(lambda leaf: jnp.where(jnp.stack(fine).all(), leaf, 0.0), weights)
    return _strengths(weights, steps, count, sign)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _strengths(weights, steps, count, sign):
    values = _in_chunks(partial(strength_values, count=count, sign=sign), weights, steps)
    return values.real, values.imag


@_strengths.defjvp
def _strengths_jvp(count, sign, primals, tangents):
    weights, steps = primals
    values, vectors = _in_chunks(partial(_vectors, count=count, sign=sign), weights, steps)
    moves = jax.jvp(lambda w: _quotients(w, steps, vectors), (weights,), (tangents[0],))[1]
    return (values.real, values.imag), (moves, jnp.zeros_like(moves))


def _in_chunks(solve, weights, steps):
    """Solve for CHUNK steps at a time; under vmap one element of the batch at a time.

    The solvers choose sizes at run time. A batched choice would run every size.
    """
    if len(exact_sizes(weights.num_steps)) > 1:
        solve = jax.custom_batching.sequential_vmap(solve)
    number = len(steps)
    if number <= CHUNK:
        return solve(weights, steps)
    padded = jnp.concatenate([steps, jnp.repeat(steps[-1:], -number % CHUNK)])
    result = jax.lax.map(lambda part: solve(weights, part), padded.reshape(-1, CHUNK))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], result)


def _quotients(weights, steps, vectors):
    """Re lᵀ T r for fixed vectors: linear in every kernel, one matrix product for all steps."""
    scale, c = (x.reshape(len(steps), 1, -1) for x in coordinates(weights, steps))

    def forms(ra, rc, la, lc):
        wd = ra @ weights.Cf + scale * (rc @ weights.Rf.T)
        wb = scale * (ra @ weights.Rf) + _to_e(weights, c, wd)
        new_c = wb @ weights.Ce + scale * (wd @ weights.Re.T)
        new_a = scale * (wb @ weights.Re) + _to_f(weights, c, new_c)
        return jnp.sum(la * new_a + lc * new_c, axis=-1)  # (steps, m)

    real = forms(*(x.real for x in vectors[:4])) - forms(*(x.imag for x in vectors[:4]))
    return weights.aspect * jnp.einsum("scm,sm->sc", vectors.mean, real)


def _to_e(weights, c, x):
    r"""$K^\top x$ of vectors (steps, m, p)."""
    f, _ = weights.each_step
    x = c[..., None] * x.reshape(*x.shape[:2], -1, f)
    return jnp.einsum("smtf,tfe->smte", x, weights.numbers).reshape(*x.shape[:2], -1)


def _to_f(weights, c, x):
    r"""$Kx$ of vectors (steps, m, q)."""
    _, e = weights.each_step
    x = c[..., None] * x.reshape(*x.shape[:2], -1, e)
    return jnp.einsum("smte,tfe->smtf", x, weights.numbers).reshape(*x.shape[:2], -1)


def _vectors(weights, steps, *, count, sign):
    """Strengths and eigenvectors; the number of vectors covers equals of the last strength."""
    n, each, both = weights.num_steps, max(weights.each_step), sum(weights.each_step)
    m = min(count + each - 1, n * both)
    last = jnp.max(steps)
    exact = [num for num in exact_sizes(n)[-2:] if num * both >= m]
    few = [size * each for size in (ROOM, LARGE) if size < n and 2 * size >= m]

    def solve(chosen):
        small = problem(weights, steps, chosen)
        values, a, c = leading_vectors(small, m, sign)
        return values, *_lift(weights, steps, chosen, small, values, a, c)

    def compressed(rooms):
        if not rooms:
            return solve(all_fields(weights, n))
        chosen, _, rank = few_fields(weights, last, rooms[0])
        return jax.lax.cond(rank <= rooms[0], lambda: solve(chosen), lambda: compressed(rooms[1:]))

    if exact[0] == n:
        result = compressed([])
    else:
        result = jax.lax.cond(
            last <= exact[0],
            lambda: solve(all_fields(weights, exact[0])),
            lambda: compressed(few),
        )
    values, ra, rc, la, lc = result
    return values[:, :count], _dual(values, count, ra, rc, la, lc)


def _lift(weights, steps, fields, small, values, ra, rc):
    """Eigenvectors of the full problem from right ones of the small one, (steps, m, r).

    Left vectors need no second solve: the transfer matrix is a product of two symmetric matrices,
    so that l = H r with H = [Cf, σ²Rf; σ²Rfᵀ, 0].
    """
    scale, c = (x.reshape(len(steps), 1, -1) for x in coordinates(weights, steps))
    made_e, made_f = ((x < steps[:, None])[:, None] for x in (fields.made_e, fields.made_f))
    _, _, la, lc = small.apply(ra, rc)
    wb = jnp.where(made_e, lc + la @ small.K, 0.0)
    safe = _nonzero(values)
    inverse = jnp.where(safe, weights.aspect / jnp.where(safe, values, 1.0), 0.0)[..., None]
    full_c = rc @ fields.Q.T
    full_a = inverse * scale * (wb @ fields.Re) + _to_f(weights, c, full_c)
    left_c = scale * (jnp.where(made_f, ra, 0.0) @ fields.Rf)
    return full_a, full_c, jnp.where(made_f, la, 0.0) @ fields.P.T, left_c


def _dual(values, count, ra, rc, la, lc):
    """Normalise left vectors to the dual basis within each group of equal eigenvalues."""
    norm = jnp.sqrt(jnp.sum(jnp.abs(la) ** 2 + jnp.abs(lc) ** 2, axis=-1, keepdims=True))
    la, lc = (x / jnp.where(norm > 0, norm, 1.0) for x in (la, lc))
    gap = jnp.abs(values[:, :, None] - values[:, None, :])
    equal = gap <= CLOSE * jnp.max(jnp.abs(values), axis=1)[:, None, None]  # (steps, m, m)
    gram = jnp.where(equal, la @ ra.mT + lc @ rc.mT, 0.0)
    dual = _inverse(gram)
    equal = equal[:, :count] & _nonzero(values)[:, None, :]
    mean = equal / jnp.maximum(equal.sum(axis=-1, keepdims=True), 1)
    keep = _nonzero(values)[..., None]  # zeros have no derivative, nor have kernels that overflow
    return Vectors(*(jnp.where(keep, x, 0.0) for x in (ra, rc, dual @ la, dual @ lc)), mean)


def _nonzero(values):
    return jnp.abs(values) > DEFECTIVE * jnp.max(jnp.abs(values), axis=1, keepdims=True)


def _inverse(gram):
    """Pseudo-inverse: zero for Jordan blocks."""
    if gram.shape[-1] > 1:
        return jnp.linalg.pinv(gram, rtol=DEFECTIVE)
    return jnp.where(gram == 0, 0.0, 1 / jnp.where(gram == 0, 1.0, gram))
