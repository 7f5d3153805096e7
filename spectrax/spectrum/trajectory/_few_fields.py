"""Strengths of neighbouring steps from the smallest eigenproblem that proves good enough."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, Int

from spectrax.seam import TrainedWeights
from spectrax.spectrum.spikes.eigen import eigenvalues, eigenvectors
from spectrax.spectrum.spikes.transfer_matrix import assemble
from spectrax.spectrum.trajectory.compress import new_from_old, select_times

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


# Numbers of fields per class. A problem of at most EXACT[0] fields is solved as it is. Beyond, the
# fields are compressed into the room: the eigenvalues of its first ROUGH fields, polished in the
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
    n, classes = weights.Ce.shape[-1], weights.num_classes
    m = count + SPARE
    exact = [size for size in exact_sizes(n, classes) if 2 * size >= m] or [n]
    room = ROOM * classes
    if exact[0] == n or 2 * room < m:
        return leading(exact_problem(weights, steps, n).matrix(), count, sign)
    fields = jnp.max(steps) * classes
    solve = partial(_final, m=m, sign=sign, room=room)

    # nothing below may hold on to a whole kernel: a loop copies what it holds on to
    small = {size: exact_problem(weights, steps, size) for size in exact if size < 2 * room}
    whole, left, rank = _in_room(weights, steps, fields, room, fields <= exact[0])
    attempts = [(fields <= exact[0], partial(solve, small[exact[0]]))]
    for size in (size * classes for size in ROUGH if 2 * size * classes >= m):
        rough = partial(_rough, whole, size, left[size], m, sign)
        attempts.append(((rank <= room) & (left[size] < START), rough))
    attempts += [(fields <= size, partial(solve, small[size])) for size in list(small)[1:]]
    attempts.append((rank <= room, partial(solve, whole)))

    variance = (weights.coordinates[steps, 0] * weights.sigma) ** 2
    floor = CONVERGED * variance[:, None] * jnp.sqrt(weights.aspect)  # (steps, 1)
    values, done = _first_success(attempts, partial(_polish, whole, floor, count, sign))
    if n in small:
        return values
    return jax.lax.cond(done, lambda: values, lambda: _large(weights, steps, fields, count, sign))


def exact_sizes(n: int, classes: int) -> list[int]:
    """Sizes at which fields are taken as they are, up to all of them."""
    return [*(size * classes for size in EXACT if size * classes < n), n]


def _in_room(weights, steps, fields, room, skip):
    """The compressed problem, the variance that its first fields leave out, its rank.

    Empty, with a rank that fits nowhere, if skipped.
    """

    def build():
        chosen, left, rank = few_fields(weights, fields, room)
        return problem(weights, steps, chosen), left, rank

    def empty():
        full = weights.Ce.shape[-1] + 1
        return jax.tree.map(lambda x: jnp.full(x.shape, full, x.dtype), jax.eval_shape(build))

    return jax.lax.cond(skip, empty, build)


def _large(weights, steps, fields, count, sign):
    """Strengths from fields that hardly depend on each other, as with fresh data in each step."""
    n, classes = weights.Ce.shape[-1], weights.num_classes

    def exact():
        return leading(exact_problem(weights, steps, n).matrix(), count, sign)

    if LARGE * classes >= n:
        return exact()
    chosen, _, rank = few_fields(weights, fields, LARGE * classes)
    whole = problem(weights, steps, chosen)
    sizes = [size * classes for size in LARGE_SIZES]
    runs = [lambda s=size: leading(whole.first(s).matrix(), count, sign) for size in sizes]
    return jax.lax.switch(jnp.sum(rank > jnp.array(sizes)), [*runs, exact])


def _final(problem, m, sign, room):
    """Attempt that needs no polish: values, blank vectors, no variance left out."""
    values = leading(problem.matrix(), m, sign)
    blank = jnp.zeros((*values.shape, room), values.dtype)
    return values, blank, blank, jnp.zeros(())


def _rough(whole: Problem, size, left, m, sign):
    """Attempt with the first `size` fields of the room: values, vectors, the variance left out."""
    values, a, c = leading_vectors(whole.first(size).matrix(), m, sign)
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
