"""Strengths of neighbouring steps from the smallest eigenproblem that proves good enough."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from spectrax.seam import TrainedWeights, block_diagonal
from spectrax.spectrum.spikes.eigen import eigenvalues, eigenvectors
from spectrax.spectrum.spikes.transfer_matrix import assemble
from spectrax.spectrum.trajectory.compress import new_from_old, projected, select_times

TOLERANCE = 1e-13  # dropped variance; strengths err by about its root, polished ones by less
# A problem of at most EXACT[0] steps is solved as it is. Beyond, the fields are compressed into the
# room, so many for each field of a step: the eigenvalues of its first ROUGH fields, polished in the
# whole room, are taken if the polish converged. What does not fit there goes to LARGE.
EXACT = (16, 32)
ROOM, ROUGH = 24, (8, 14)
LARGE, LARGE_SIZES = 128, (64, 128)
START = 1e-6  # begin with the size that explains all but this variance
CONVERGED = 1e-6  # accepted error estimate, relative to the critical strength; errors are smaller
SPARE = 2  # further candidates: truncation can change the order of close eigenvalues


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


def strength_values(
    weights: TrainedWeights, steps: Int[Array, " steps"], count: int, sign: float
) -> Complex[Array, "steps count"]:
    """Leading strengths after the given numbers of updates; `sign` as in `leading`."""
    n, each, both = weights.num_steps, max(weights.each_step), sum(weights.each_step)
    m = count + SPARE
    exact = [num for num in exact_sizes(n) if num * both >= m] or [n]
    room = ROOM * each
    if exact[0] == n or 2 * room < m:
        return leading(exact_problem(weights, steps, n).matrix(), count, sign)
    last = jnp.max(steps)
    solve = partial(_final, m=m, sign=sign, room=room)

    # nothing below may hold on to a whole kernel: a loop copies what it holds on to
    small = {num: exact_problem(weights, steps, num) for num in exact if num < 2 * ROOM}
    whole, left, rank = _in_room(weights, steps, last, room, last <= exact[0])
    attempts = [(last <= exact[0], partial(solve, small[exact[0]]))]
    for size in (size * each for size in ROUGH if 2 * size * each >= m):
        rough = partial(_rough, whole, size, left[size], m, sign)
        attempts.append(((rank <= room) & (left[size] < START), rough))
    attempts += [(last <= num, partial(solve, small[num])) for num in list(small)[1:]]
    attempts.append((rank <= room, partial(solve, whole)))

    variance = (weights.coordinates[steps, 0] * weights.sigma) ** 2
    floor = CONVERGED * variance[:, None] * jnp.sqrt(weights.aspect)  # (steps, 1)
    values, done = _first_success(attempts, partial(_polish, whole, floor, count, sign))
    if n in small:
        return values
    return jax.lax.cond(done, lambda: values, lambda: _large(weights, steps, last, count, sign))


def exact_sizes(n: int) -> list[int]:
    """Numbers of steps whose fields are taken as they are, up to all of them."""
    return [*(num for num in EXACT if num < n), n]


def _in_room(weights, steps, last, room, skip):
    """The compressed problem, the variance that its first fields leave out, its rank.

    Empty, with a rank that fits nowhere, if skipped.
    """

    def build():
        chosen, left, rank = few_fields(weights, last, room)
        return problem(weights, steps, chosen), left, rank

    def empty():
        full = too_many(weights)
        return jax.tree.map(lambda x: jnp.full(x.shape, full, x.dtype), jax.eval_shape(build))

    return jax.lax.cond(skip, empty, build)


def _large(weights, steps, last, count, sign):
    """Strengths from fields that hardly depend on each other, as with fresh data in each step."""
    n, each = weights.num_steps, max(weights.each_step)

    def exact():
        return leading(exact_problem(weights, steps, n).matrix(), count, sign)

    if LARGE >= n:
        return exact()
    chosen, _, rank = few_fields(weights, last, LARGE * each)
    whole = problem(weights, steps, chosen)
    sizes = [size * each for size in LARGE_SIZES]
    runs = [lambda s=size: leading(whole.first(s).matrix(), count, sign) for size in sizes]
    return jax.lax.switch(jnp.sum(rank > jnp.array(sizes)), [*runs, exact])


def _final(problem, m, sign, room):
    """Attempt that needs no polish: values, blank vectors, no variance left out."""
    values = leading(problem.matrix(), m, sign)
    blank = jnp.zeros((*values.shape, room), values.dtype)
    return values, blank, blank, jnp.zeros(())


def _rough(whole: Problem, size, left, m, sign):
    """Attempt with the first `size` fields of the room: values, vectors, the variance left out."""
    values, a, c = leading_vectors(whole.first(size), m, sign)
    wide = ((0, 0), (0, 0), (0, whole.K.shape[-1] - size))
    return values, jnp.pad(a, wide), jnp.pad(c, wide), jnp.maximum(left, TOLERANCE)


def _polish(whole, floor, count, sign, rough, a, c, left):
    """Rough strengths polished in the whole problem; whether that worked.

    For a product of two symmetric matrices the quotient lᵀ T r / lᵀ r with l = H r is stationary:
    its error is the square of the vector's. One more product with T shrinks that again. The
    difference between the two quotients tells whether the small problem was large enough; the
    whole correction, which goes like the root of the variance left out, whether the room is.
    """
    final = left == 0
    before, a, c = _quotient(whole, *whole.apply(a, c)[:2])
    after, *_ = _quotient(whole, a, c)
    room_error = jnp.sqrt(TOLERANCE / jnp.where(final, 1.0, left)) * jnp.abs(after - rough)
    error = jnp.maximum(jnp.abs(after - before), room_error)
    done = ~final & (error <= jnp.maximum(floor, CONVERGED * jnp.abs(after)))
    values = jnp.where(done, after, rough)
    order = jnp.argsort(-sign * values.real, axis=1)[:, :count]
    values, done = (jnp.take_along_axis(x, order, axis=1) for x in (values, done))
    return values, final | jnp.all(done)


def _quotient(whole, a, c):
    """The quotient lᵀ T r / lᵀ r, and T r."""
    size = jnp.sqrt(jnp.sum(jnp.abs(a) ** 2 + jnp.abs(c) ** 2, axis=-1, keepdims=True))
    a, c = (x / jnp.where(size > 0, size, 1.0) for x in (a, c))
    new_a, new_c, la, lc = whole.apply(a, c)
    bottom = jnp.sum(la * a + lc * c, axis=-1)
    top = whole.aspect * jnp.sum(la * new_a + lc * new_c, axis=-1)
    return jnp.where(bottom == 0, 0.0, top / jnp.where(bottom == 0, 1.0, bottom)), new_a, new_c


def _first_success(attempts, judge):
    """Run the attempts whose condition holds, in turn, until the judge accepts a result.

    Returns:
        The last result, and whether it was accepted.
    """
    allowed = jnp.stack([condition for condition, _ in attempts])
    runs = [run for _, run in attempts]
    places = jnp.arange(len(runs))

    def turn(state):
        left, _, _ = state
        index = jnp.argmax(left)
        values, done = judge(*jax.lax.switch(index, runs))
        return left & (places > index), values, done

    values, done = jax.eval_shape(lambda: judge(*runs[0]()))
    start = (allowed, jnp.zeros(values.shape, values.dtype), jnp.zeros(done.shape, bool))
    return jax.lax.while_loop(lambda state: jnp.any(state[0]) & ~state[2], turn, start)[1:]
