"""Strengths of neighbouring steps from the smallest eigenproblem that proves good enough."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Int

from spectrax.seam import TrainedWeights
from spectrax.spectrum.reduce import (
    TOLERANCE,
    Problem,
    exact_problem,
    few_fields,
    leading,
    leading_vectors,
    problem,
    too_many,
)

# A problem of at most EXACT[0] steps is solved as it is. Beyond, the fields are compressed into the
# room, so many for each field of a step: the eigenvalues of its first ROUGH fields, polished in the
# whole room, are taken if the polish converged. What does not fit there goes to LARGE.
EXACT = (16, 32)
ROOM, ROUGH = 24, (8, 14)
LARGE, LARGE_SIZES = 128, (64, 128)
START = 1e-6  # begin with the size that explains all but this variance
CONVERGED = 1e-6  # accepted error estimate, relative to the critical strength; errors are smaller
SPARE = 2  # further candidates: truncation can change the order of close eigenvalues


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
