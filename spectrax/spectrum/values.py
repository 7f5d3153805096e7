"""Strengths of neighbouring steps from the smallest eigenproblem that proves good enough."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from spectrax.seam import TrainedWeights
from spectrax.spectrum.reduce import (
    TOLERANCE,
    Problem,
    all_fields,
    few_fields,
    leading,
    leading_vectors,
    problem,
)

# Numbers of fields per class. A problem of at most EXACT[0] fields is solved as it is. Beyond, the
# fields are compressed into a room and its sizes are tried in turn: the eigenvalues of the first
# `size` fields, polished in the whole room, are taken if the polish converged.
EXACT = (16, 32)
ROOMS = {24: (8, 12, 16), 128: (32, 64)}
CONVERGED = 1e-6  # accepted error estimate, relative to the critical strength; errors are smaller
ROUGH = 1e-6  # start with the size that explains all but this variance
SPARE = 2  # further candidates: truncation can change the order of close eigenvalues


def strength_values(
    weights: TrainedWeights, steps: Int[Array, " steps"], count: int, sign: float
) -> Complex[Array, "steps count"]:
    """Leading strengths after the given numbers of updates; `sign` as in `leading`."""
    n, classes = weights.Ce.shape[-1], weights.num_classes
    fields = jnp.max(steps) * classes

    def exact(size):
        matrix = problem(weights, steps, all_fields(weights, size)).matrix()
        return leading(matrix, count, sign), jnp.array(True)

    first, *larger = exact_sizes(n, classes, count)
    if first == n:
        return exact(n)[0]
    variance = (weights.coordinates[steps, 0] * weights.sigma) ** 2
    floor = CONVERGED * variance[:, None] * jnp.sqrt(weights.aspect)  # (steps, 1)
    settled = fields <= first  # an attempt in the list is sure to succeed
    attempts = [(settled, partial(exact, first))]
    for room, sizes in rooms(n, classes, count).items():
        whole, left, rank = _in_room(weights, steps, fields, room, settled)
        for size in sizes:
            attempt = partial(_polished, whole, size, left[size], floor, count, sign)
            attempts.append(((rank <= room) & (left[size] < ROUGH), attempt))
        while larger and larger[0] <= EXACT[-1] * classes:
            settled = settled | (fields <= larger[0])
            attempts.append((fields <= larger[0], partial(exact, larger.pop(0))))
        attempts.append((rank <= room, partial(_direct, whole, count, sign)))
        settled = settled | (rank <= room)
    attempts += [(fields <= size, partial(exact, size)) for size in larger]
    return _first_success(attempts)


def exact_sizes(n: int, classes: int, count: int) -> list[int]:
    """Sizes at which fields are taken as they are, up to all of them."""
    sizes = [*(size * classes for size in EXACT if size * classes < n), n]
    return [size for size in sizes if 2 * size >= count]


def rooms(n: int, classes: int, count: int) -> dict[int, list[int]]:
    """Rooms that are smaller than all fields, with the sizes to try in each."""
    return {
        room * classes: [size * classes for size in sizes if 2 * size * classes >= count]
        for room, sizes in ROOMS.items()
        if room * classes < n and 2 * room * classes >= count
    }


def _in_room(weights, steps, fields, room, skip):
    """The compressed problem with the numbers of fields it needs; empty if skipped."""

    def build():
        chosen, left, rank = few_fields(weights, fields, room)
        return problem(weights, steps, chosen), left, rank

    def empty():
        full = weights.Ce.shape[-1] + 1
        return jax.tree.map(lambda x: jnp.full(x.shape, full, x.dtype), jax.eval_shape(build))

    return jax.lax.cond(skip, empty, build)


def _direct(whole, count, sign):
    return leading(whole.matrix(), count, sign), jnp.array(True)


def _polished(
    whole: Problem,
    size: int,
    left: Float[Array, ""],
    floor: Float[Array, "steps 1"],
    count: int,
    sign: float,
):
    """Strengths of the first `size` fields, polished in the whole problem; whether that worked.

    For a product of two symmetric matrices the quotient lᵀ T r / lᵀ r with l = H r is stationary:
    its error is the square of the vector's. One more product with T shrinks that again. The
    difference between the two quotients tells whether the small problem was large enough; the
    whole correction, which goes like the root of the variance left out, whether the room is.
    """
    m = min(count + SPARE, 2 * size)
    rough, a, c = leading_vectors(whole.first(size).matrix(), m, sign)
    wide = ((0, 0), (0, 0), (0, whole.K.shape[-1] - size))
    vectors = whole.apply(jnp.pad(a, wide), jnp.pad(c, wide))[:2]
    before, vectors = _quotient(whole, vectors)
    after, _ = _quotient(whole, vectors)
    room_error = jnp.sqrt(TOLERANCE / jnp.maximum(left, TOLERANCE)) * jnp.abs(after - rough)
    error = jnp.maximum(jnp.abs(after - before), room_error)
    done = error <= jnp.maximum(floor, CONVERGED * jnp.abs(after))
    values = jnp.where(done, after, rough)
    order = jnp.argsort(-sign * values.real, axis=1)[:, :count]
    values, done = (jnp.take_along_axis(x, order, axis=1) for x in (values, done))
    return values, jnp.all(done)


def _quotient(whole, vectors):
    """The quotient lᵀ T r / lᵀ r, and T r."""
    a, c = vectors
    size = jnp.sqrt(jnp.sum(jnp.abs(a) ** 2 + jnp.abs(c) ** 2, axis=-1, keepdims=True))
    a, c = (x / jnp.where(size > 0, size, 1.0) for x in (a, c))
    new_a, new_c, la, lc = whole.apply(a, c)
    bottom = jnp.sum(la * a + lc * c, axis=-1)
    top = jnp.sum(la * new_a + lc * new_c, axis=-1)
    safe = jnp.abs(bottom) > 0
    return whole.aspect * jnp.where(safe, top / jnp.where(safe, bottom, 1.0), 0.0), (new_a, new_c)


def _first_success(attempts: list[tuple[Bool[Array, ""], object]]):
    """Run the attempts whose condition holds, in turn, until one succeeds."""
    allowed = jnp.stack([condition for condition, _ in attempts])
    runs = [run for _, run in attempts]

    def turn(state):
        index, _, _ = state
        values, done = jax.lax.switch(index, runs)
        later = allowed & (jnp.arange(len(runs)) > index)
        return jnp.argmax(later), values, done

    blank = jax.eval_shape(runs[0])[0]
    start = (jnp.argmax(allowed), jnp.zeros(blank.shape, blank.dtype), jnp.array(False))
    return jax.lax.while_loop(lambda state: ~state[2], turn, start)[1]
