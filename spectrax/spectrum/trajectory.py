"""Strengths at many steps of a training, each from the smallest equivalent eigenproblem."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax.seam import TrainedWeights
from spectrax.spectrum.compress import select_times, triangle
from spectrax.spectrum.coupled import assemble
from spectrax.spectrum.eigen import CLOSE, DEFECTIVE

CHUNK = 16  # steps that share one set of fields
TOLERANCE = 1e-13  # dropped variance; strengths err by about its root
# Sizes per class of the eigenproblems to choose from, in order of preference. "all" keeps the
# fields as they are (exact), "few" compresses them.
SIZES = (
    ("all", 16), ("few", 12), ("few", 14), ("few", 16), ("few", 18), ("few", 20), ("all", 32),
    ("few", 24), ("few", 32), ("few", 48), ("few", 64), ("few", 96), ("few", 128),
)  # fmt: skip
ROOMS = (32, 128)  # the second room is entered only if the first is too small


class Fields(NamedTuple):
    """Fields of one eigenproblem: r on each side, each a combination of the n old ones."""

    Q: Float[Array, "n r"]  # old e in new e
    P: Float[Array, "n r"]
    Ce: Float[Array, "r r"]
    Cf: Float[Array, "r r"]
    Re: Float[Array, "r n"]  # responses of new e to old f
    Rf: Float[Array, "r n"]  # responses of new f to old e
    made: Int[Array, " r"]  # the step that makes a field; -1 for fields of the whole training


class Vectors(NamedTuple):
    """Right and left eigenvectors of the full problem, parts (a, c), with dual normalisation."""

    ra: Float[Array, "steps m n"]
    rc: Float[Array, "steps m n"]
    la: Float[Array, "steps m n"]
    lc: Float[Array, "steps m n"]
    mean: Float[Array, "steps count m"]  # averages over equal eigenvalues


@partial(jax.jit, static_argnames=("count", "sign"))
def strengths_at(
    weights: TrainedWeights, steps: Int[Array, " steps"], count: int = 1, sign: float = 1.0
) -> tuple[Float[Array, "steps count"], Float[Array, "steps count"]]:
    r"""Strengths $\theta^2$ of the weight after each of the given numbers of updates.

    The derivative is $l^\top d\mathcal{T}\, r / l^\top r$ with eigenvectors lifted to the kernels of
    the whole training, in both modes, to first order; the imaginary part counts as constant.

    Args:
        weights: spikes of every step.
        steps: numbers of updates, in any order; near ones are solved together.
        count: how many strengths.
        sign: 1.0 for the largest, -1.0 for the lowest real parts.

    Returns:
        Real and imaginary parts, shape (steps, count); zero before the first update.
    """
    kernels = (weights.Ce, weights.Cf, weights.Re, weights.Rf, weights.coordinates)
    fine = jnp.all(jnp.stack([jnp.all(jnp.isfinite(kernel)) for kernel in kernels]))
    weights = jax.tree.map(lambda leaf: jnp.where(fine, leaf, 0.0), weights)
    return _strengths(weights, steps, count, sign)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _strengths(weights, steps, count, sign):
    values = _solve(weights, steps, count, sign, False)[:, :count]
    return values.real, values.imag


@_strengths.defjvp
def _strengths_jvp(count, sign, primals, tangents):
    weights, steps = primals
    values, vectors = _solve(weights, steps, count, sign, True)
    values = values[:, :count]

    def form(weights):
        return _bilinear(weights, steps, vectors)

    moves = jax.jvp(form, (weights,), (tangents[0],))[1]
    return (values.real, values.imag), (moves, jnp.zeros_like(moves))


def _bilinear(weights, steps, vectors):
    """Re lᵀ T r for fixed vectors: linear in every kernel, one matrix product for all steps."""
    a, k = _coordinates(weights, steps)
    scale = (a * weights.sigma**2)[:, None, None]
    k = k[:, None, :]

    def forms(ra, rc, la, lc):
        yb = scale * (ra @ weights.Rf)
        yd = ra @ weights.Cf + scale * (rc @ weights.Rf.T)
        wb = yb + k * yd
        out_c = wb @ weights.Ce + scale * (yd @ weights.Re.T)
        out_a = scale * (wb @ weights.Re) + k * out_c
        return jnp.sum(la * out_a + lc * out_c, axis=-1)  # (steps, m)

    real = forms(*(x.real for x in vectors[:4])) - forms(*(x.imag for x in vectors[:4]))
    return weights.aspect * jnp.einsum("scm,sm->sc", vectors.mean, real)


def _coordinates(weights, steps):
    """Scale a (steps,) of the initial matrix and coefficients (steps, n) of the spikes made."""
    theta = weights.coordinates[steps]
    made = jnp.arange(weights.num_steps) < steps[:, None]
    return theta[:, 0], jnp.repeat(jnp.where(made, theta[:, 1:], 0.0), weights.num_classes, axis=1)


def _solve(weights, steps, count, sign, vectors):
    """Eigenvalues (steps, m), with eigenvectors if asked for; m covers the last one's equals."""
    n, classes = weights.Ce.shape[-1], weights.num_classes
    m = min(count + classes - 1, 2 * n)
    sizes = [(kind, min(size * classes, n)) for kind, size in SIZES if size * classes < n]
    sizes = [size for size in [*sizes, ("all", n)] if 2 * size[1] >= m]
    chunk = partial(_solve_chunk, sizes=sizes, count=count, m=m, sign=sign, vectors=vectors)
    if len(sizes) > 1:  # under vmap a switch would run every size: take the batch one by one
        chunk = jax.custom_batching.sequential_vmap(chunk)
    number = steps.shape[0]
    if number <= CHUNK:
        return chunk(weights, steps)
    padded = jnp.concatenate([steps, jnp.repeat(steps[-1:], -number % CHUNK)])
    result = jax.lax.map(lambda part: chunk(weights, part), padded.reshape(-1, CHUNK))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], result)


def _solve_chunk(weights, steps, *, sizes, count, m, sign, vectors):
    """Choose the first size that holds the fields made by the last of the steps."""
    fields = jnp.max(steps) * weights.num_classes

    def branch(kind, size):
        def run(few):
            chosen = _few(weights, few, size) if kind == "few" else _all(weights, size)
            return _eigen(weights, steps, chosen, count, m, sign, vectors)

        return run

    if len(sizes) == 1:
        return branch(*sizes[0])(None)
    few, rank = _select(weights, fields, [size for kind, size in sizes if kind == "few"])
    holds = [(fields if kind == "all" else rank) <= size for kind, size in sizes]
    first = jnp.argmax(jnp.stack(holds))
    return jax.lax.switch(first, [branch(*size) for size in sizes], few)


def _select(weights, fields, sizes):
    """Most informative times of e and f (stacked) and the number of them that are needed."""
    n, classes = weights.Ce.shape[-1], weights.num_classes
    both = jnp.stack([weights.Ce, weights.Cf])
    limits = sorted({max(s for s in sizes if s <= room * classes) for room in ROOMS})

    def select(room):
        pick = jax.vmap(lambda C: select_times(C, room, TOLERANCE, fields))(both)
        rank = jnp.where(jnp.max(pick.residual) > TOLERANCE, n + 1, jnp.max(pick.used.sum(1)))
        grow = limits[-1] - room
        pick = pick._replace(
            Q=jnp.pad(pick.Q, ((0, 0), (0, 0), (0, grow))),
            times=jnp.pad(pick.times, ((0, 0), (0, grow))),
            used=jnp.pad(pick.used, ((0, 0), (0, grow))),
        )
        return pick, rank

    pick, rank = select(limits[0])
    for room in limits[1:]:
        pick, rank = jax.lax.cond(
            (rank > limits[0]) & (fields > limits[0]),
            lambda room=room: select(room),
            lambda pick=pick, rank=rank: (pick, rank),
        )
    return pick, rank


def _few(weights, pick, size):
    """Orthonormal fields made of the first `size` chosen ones."""
    pick = pick._replace(Q=pick.Q[:, :, :size], times=pick.times[:, :size], used=pick.used[:, :size])
    solve = jax.vmap(partial(jax.scipy.linalg.solve_triangular, lower=True))
    rows = jnp.stack([weights.Re[pick.times[0]], weights.Rf[pick.times[1]]])  # (2, size, n)
    rows = solve(jax.vmap(triangle)(pick), rows)
    Re, Rf = jnp.where(pick.used[:, :, None], rows, 0.0)
    Ce, Cf = pick.used[:, :, None] * jnp.eye(size)
    Q, P = pick.Q
    return Fields(Q, P, Ce, Cf, Re, Rf, jnp.full(size, -1))


def _all(weights, size):
    """The first `size` fields as they are."""
    n = weights.Ce.shape[-1]
    keep = jnp.eye(n, size)
    C = (weights.Ce[:size, :size], weights.Cf[:size, :size])
    made = jnp.arange(size) // weights.num_classes
    return Fields(keep, keep, *C, weights.Re[:size], weights.Rf[:size], made)


def _eigen(weights, steps, fields, count, m, sign, vectors):
    """Leading eigenvalues of the small transfer matrices of all steps."""
    a, k = _coordinates(weights, steps)
    scale = a * weights.sigma**2
    K = (k[:, None, :] * fields.P.T) @ fields.Q  # (steps, r, r)
    made = fields.made < steps[:, None]  # (steps, r)
    here = made[:, :, None] & made[:, None, :]
    Re, Rf = fields.Re @ fields.P, fields.Rf @ fields.Q
    Ce, Cf = jnp.where(here, fields.Ce, 0.0), jnp.where(here, fields.Cf, 0.0)
    Se, Sf = (jnp.where(here, scale[:, None, None] * R, 0.0) for R in (Re, Rf))
    matrix = weights.aspect * jax.vmap(assemble)(Ce, Cf, Se, Sf, K)  # (steps, 2r, 2r)
    fine = jnp.all(jnp.isfinite(matrix), axis=(1, 2)) & (steps > 0)
    matrix = jnp.where(fine[:, None, None], matrix, 0.0)
    if not vectors:
        values = jnp.linalg.eigvals(matrix)
        order = jnp.argsort(-sign * values.real, axis=1)[:, :m]
        return jnp.take_along_axis(values, order, axis=1)
    values, right = jax.lax.linalg.eig(matrix, compute_left_eigenvectors=False)
    order = jnp.argsort(-sign * values.real, axis=1)[:, :m]
    values = jnp.take_along_axis(values, order, axis=1)
    right = jnp.take_along_axis(right, order[:, None, :], axis=2).mT  # (steps, m, 2r)
    r = right.shape[-1] // 2
    small = right[..., :r], right[..., r:]
    mask = made[:, None, :]
    return values, _lift(weights, fields, (scale, k, K, Cf, Sf, mask), values, small, count)


def _lift(weights, fields, small, values, right, count):
    """Eigenvectors of the full problem from those of the small one.

    Left vectors need no second solve: the transfer matrix is a product of two symmetric matrices,
    so that l = H r with H = [Cf, σ²Rf; σ²Rfᵀ, 0].
    """
    scale, k, K, Cf, Sf, mask = small
    a, c = right  # (steps, m, r)
    scale, k = scale[:, None, None], k[:, None, :]
    yb, yd = a @ Sf, a @ Cf.mT + c @ Sf.mT
    wb = yb + yd @ K
    nonzero = jnp.abs(values) > DEFECTIVE * jnp.max(jnp.abs(values), axis=1, keepdims=True)
    inverse = jnp.where(nonzero, weights.aspect / jnp.where(nonzero, values, 1.0), 0.0)[..., None]
    rc = c @ fields.Q.T
    ra = inverse * scale * ((wb * mask) @ fields.Re) + k * rc
    la, lc = yd @ fields.P.T, scale * (a @ fields.Rf)
    norm = jnp.sqrt(jnp.sum(jnp.abs(la) ** 2 + jnp.abs(lc) ** 2, axis=-1, keepdims=True))
    norm = jnp.where(norm > 0, norm, 1.0)
    la, lc = la / norm, lc / norm
    size = jnp.max(jnp.abs(values), axis=1)[:, None, None]
    equal = jnp.abs(values[:, :, None] - values[:, None, :]) <= CLOSE * size  # (steps, m, m)
    gram = jnp.where(equal, la @ ra.mT + lc @ rc.mT, 0.0)
    dual = jnp.linalg.pinv(gram, rtol=DEFECTIVE)
    equal = equal[:, :count] & nonzero[:, None, :]
    mean = equal / jnp.maximum(equal.sum(axis=-1, keepdims=True), 1)
    return Vectors(ra, rc, dual @ la, dual @ lc, mean)
