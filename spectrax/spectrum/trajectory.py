"""Strengths at many steps of a training, with derivatives."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from spectrax.seam import TrainedWeights
from spectrax.spectrum.eigen import CLOSE, DEFECTIVE
from spectrax.spectrum.reduce import (
    all_fields,
    coordinates,
    few_fields,
    leading_vectors,
    problem,
)
from spectrax.spectrum.values import exact_sizes, rooms, strength_values

CHUNK = 16  # neighbouring steps that share one set of fields


class Vectors(NamedTuple):
    """Right and left eigenvectors of the full problem, parts (a, c), with dual normalisation."""

    ra: Complex[Array, "steps m n"]
    rc: Complex[Array, "steps m n"]
    la: Complex[Array, "steps m n"]
    lc: Complex[Array, "steps m n"]
    mean: Float[Array, "steps count m"]  # averages over equal eigenvalues


@partial(jax.jit, static_argnames=("count", "sign"))
def strengths_at(
    weights: TrainedWeights, steps: Int[Array, " steps"], count: int = 1, sign: float = 1.0
) -> tuple[Float[Array, "steps count"], Float[Array, "steps count"]]:
    r"""Strengths $\theta^2$ of the weight after each of the given numbers of updates.

    The derivative is $l^\top d\mathcal{T}\, r / l^\top r$ with eigenvectors lifted to the kernels of
    the whole training, in both modes, to first order; the imaginary part counts as constant.

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
    if weights.Ce.shape[-1] > exact_sizes(weights.Ce.shape[-1], weights.num_classes, 1)[0]:
        solve = jax.custom_batching.sequential_vmap(solve)
    number = len(steps)
    if number <= CHUNK:
        return solve(weights, steps)
    padded = jnp.concatenate([steps, jnp.repeat(steps[-1:], -number % CHUNK)])
    result = jax.lax.map(lambda part: solve(weights, part), padded.reshape(-1, CHUNK))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], result)


def _quotients(weights, steps, vectors):
    """Re lᵀ T r for fixed vectors: linear in every kernel, one matrix product for all steps."""
    a, k = coordinates(weights, steps)
    scale = (a * weights.sigma**2)[:, None, None]
    k = k[:, None, :]

    def forms(ra, rc, la, lc):
        wd = ra @ weights.Cf + scale * (rc @ weights.Rf.T)
        wb = scale * (ra @ weights.Rf) + k * wd
        new_c = wb @ weights.Ce + scale * (wd @ weights.Re.T)
        new_a = scale * (wb @ weights.Re) + k * new_c
        return jnp.sum(la * new_a + lc * new_c, axis=-1)  # (steps, m)

    real = forms(*(x.real for x in vectors[:4])) - forms(*(x.imag for x in vectors[:4]))
    return weights.aspect * jnp.einsum("scm,sm->sc", vectors.mean, real)


def _vectors(weights, steps, *, count, sign):
    """Strengths and eigenvectors; the number of vectors covers equals of the last strength."""
    n, classes = weights.Ce.shape[-1], weights.num_classes
    m = min(count + classes - 1, 2 * n)
    fields = jnp.max(steps) * classes

    def solve(chosen):
        small = problem(weights, steps, chosen)
        values, a, c = leading_vectors(small.matrix(), m, sign)
        return values[:, :count], _lift(weights, steps, chosen, small, values, (a, c), count)

    def smallest(exact, few):
        size = exact[0]
        if size == n:
            return solve(all_fields(weights, n))
        return jax.lax.cond(
            fields <= size,
            lambda: solve(all_fields(weights, size)),
            lambda: compressed(exact[1:], few) if few and len(exact) < 3 else smallest(exact[1:], few),
        )

    def compressed(exact, few):
        chosen, _, rank = few_fields(weights, fields, few[0])
        rest = compressed if few[1:] else smallest
        return jax.lax.cond(rank <= few[0], lambda: solve(chosen), lambda: rest(exact, few[1:]))

    return smallest(exact_sizes(n, classes, m), list(rooms(n, classes, m)))


def _lift(weights, steps, fields, small, values, right, count):
    """Eigenvectors of the full problem from those of the small one.

    Left vectors need no second solve: the transfer matrix is a product of two symmetric matrices,
    so that l = H r with H = [Cf, σ²Rf; σ²Rfᵀ, 0].
    """
    a, k = coordinates(weights, steps)
    scale, k = (a * weights.sigma**2)[:, None, None], k[:, None, :]
    made = (fields.made < steps[:, None])[:, None, :]
    ra, rc = right  # (steps, m, r)
    _, _, la, lc = small.apply(ra, rc)
    wb = jnp.where(made, lc + la @ small.K, 0.0)
    largest = jnp.max(jnp.abs(values), axis=1, keepdims=True)
    nonzero = jnp.abs(values) > DEFECTIVE * largest
    inverse = jnp.where(nonzero, weights.aspect / jnp.where(nonzero, values, 1.0), 0.0)[..., None]
    lc = scale * (jnp.where(made, ra, 0.0) @ fields.Rf)
    la = jnp.where(made, la, 0.0) @ fields.P.T
    rc = rc @ fields.Q.T
    ra = inverse * scale * (wb @ fields.Re) + k * rc
    norm = jnp.sqrt(jnp.sum(jnp.abs(la) ** 2 + jnp.abs(lc) ** 2, axis=-1, keepdims=True))
    norm = jnp.where(norm > 0, norm, 1.0)
    la, lc = la / norm, lc / norm
    equal = jnp.abs(values[:, :, None] - values[:, None, :]) <= CLOSE * largest[:, :, None]
    gram = jnp.where(equal, la @ ra.mT + lc @ rc.mT, 0.0)
    dual = jnp.linalg.pinv(gram, rtol=DEFECTIVE)
    equal = equal[:, :count] & nonzero[:, None, :]
    mean = equal / jnp.maximum(equal.sum(axis=-1, keepdims=True), 1)
    return Vectors(ra, rc, dual @ la, dual @ lc, mean)
