"""Small linear systems, many side by side, without batched LAPACK calls.

jaxlib 0.10 hands the members of a batched factorisation to the very threads that run the program
and waits for them: as many independent ones at once as there are threads wait for ever (two, on a
processor with two cores). One matrix at a time is factorised by the thread that asks.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Inexact

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
