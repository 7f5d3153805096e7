r"""The physical solution of a self-consistent equation, followed down to the real axis.

Far above the axis plain iteration converges; from there Newton's method follows the solution.

The small linear systems, many side by side, are solved without batched LAPACK calls. jaxlib 0.10
hands the members of a batched factorisation to the very threads that run the program and waits for
them: as many independent ones at once as there are threads wait for ever (two, on a processor with
two cores). One matrix at a time is factorised by the thread that asks.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Inexact

HIGH, LOW = 30.0, 1e-7  # first height over the axis in units of the bound, last in those of z
FACTOR = 1.5  # between heights
PLAIN, STEPS, LAST = 100, 2, 8  # plain iterations; Newton steps at each height, at the end
CLOSE, FINEST = 1e-2, 1.01  # last Newton step, relative, and factor from which all is accepted
BATCH = 128  # points solved side by side


def in_batches(law, function, z):
    """A function at many points, some at a time."""
    size = max(1, min(BATCH, 100_000 // law.size**2, len(z)))
    full = jnp.pad(z, (0, -len(z) % size), mode="edge").reshape(-1, size)  # one compilation
    found = jax.lax.map(jax.vmap(function), full)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(z)], found)


def descend(law, z):
    """Follow the solution from far above the axis down to z."""
    high, low = HIGH * (law.bound() + jnp.abs(z)), jnp.maximum(LOW * jnp.abs(z), 1e-30)
    linearised = law.linearised()

    def newton(g, z, steps):
        def step(_, state):
            g = state[0]
            T, jacobian = linearised(g, z)
            new = g - solve(jacobian, g - T)
            return jnp.where(jnp.isfinite(new).all(), new, g), g

        return jax.lax.fori_loop(0, steps, step, (g, g))

    def lower(state):
        g, above, height, factor, before = state
        # Close to an atom or a divergence solutions go as powers of the height, which two steps of
        # Newton's method would not follow: start from the next term of a geometric sequence.
        ratio = g / jnp.where(above == 0, 1.0, above)
        near = (above != 0) & (jnp.abs(ratio - 1) < 1)
        power = jnp.log(factor) / jnp.log(before)
        guess = g * jnp.exp(power * jnp.log(jnp.where(near, ratio, 1.0)))
        new, last = newton(guess, z + 1j * height / factor, STEPS)
        small = 1e-6 * jnp.max(jnp.abs(new))
        arrived = (jnp.abs(new - last) <= CLOSE * (jnp.abs(new) + small)).all()
        fine = (arrived & (law.transform(new).imag <= 0)) | (factor < FINEST)
        gone = new, g, height / factor, jnp.minimum(factor**2, FACTOR), factor
        back = g, above, height, jnp.sqrt(factor), before  # too far: another branch is near
        return jax.tree.map(lambda a, b: jnp.where(fine, a, b), gone, back)

    def go_on(state):
        return (low < state[2]) & (state[2] < jnp.inf)

    start = jnp.zeros(law.size, complex)
    g = jax.lax.fori_loop(0, PLAIN, lambda _, g: law.update(g, z + 1j * high), start)
    factor = jnp.full_like(high, FACTOR)
    g = jax.lax.while_loop(go_on, lower, (g, g, high, factor, factor))[0]
    return newton(g, z, LAST)[0]


SMALL = 8  # up to this size elimination, all matrices at once, is as fast as LAPACK


def solve(A: Inexact[Array, "n n"], b: Inexact[Array, " n"]) -> Inexact[Array, " n"]:
    """Solution x of A x = b; differentiable in b."""

    def by(matrix):
        return lambda _, b: _solved(matrix, b[:, None])[:, 0]

    return jax.lax.custom_linear_solve(lambda x: A @ x, b, by(A), by(A.T))


@jax.custom_jvp
def inverse(A: Inexact[Array, "n n"]) -> Inexact[Array, "n n"]:
    """Inverse of a matrix; differentiable."""
    return _solved(A, jnp.eye(len(A), dtype=A.dtype))


@inverse.defjvp
def _inverse_jvp(primals, tangents):
    X = inverse(*primals)
    return X, -X @ tangents[0] @ X


@sequential_vmap
def singular_vectors(A: Inexact[Array, "n n"]) -> tuple[Array, Array]:
    """Left and right singular vector of the smallest singular value; no derivatives."""
    U, _, Vt = jnp.linalg.svd(A)
    return U[:, -1], Vt[-1]


def _solved(A, B):
    return _eliminated(A, B) if len(A) <= SMALL else _factorised(A, B)


_factorised = sequential_vmap(jnp.linalg.solve)


def _eliminated(A, B):
    """Gauss-Jordan elimination with partial pivoting."""
    rows = jnp.arange(len(A))[:, None]

    def step(k, M):
        column = M[:, k]
        pivot = jnp.argmax(jnp.where(rows[:, 0] >= k, jnp.abs(column), -1.0))
        row = M[pivot] / column[pivot]
        M = jnp.where(rows == pivot, M[k], M)  # the pivot's row is free now
        return jnp.where(rows == k, row, M - M[:, k, None] * row)

    return jax.lax.fori_loop(0, len(A), step, jnp.concatenate([A, B], 1))[:, len(A) :]
