"""Small linear systems: both ways of solving, derivatives, many at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrax.spectrum.laws.continuation import SMALL, inverse, singular_vectors, solve


def matrices(n, count=3):
    parts = np.random.default_rng(n).normal(size=(2, count, n, n))
    A = parts[0] + 1j * parts[1]
    A[:, 0, 0] = 0.0  # needs pivots
    return jnp.asarray(A)


@pytest.mark.parametrize("n", [1, 2, SMALL, SMALL + 1])
def test_solutions_and_inverses(n):
    A = matrices(n) + (n == 1)
    b = jnp.arange(1.0, n + 1) + 0.5j
    x, X = jax.jit(jax.vmap(lambda A: (solve(A, b), inverse(A))))(A)
    np.testing.assert_allclose(A @ x[..., None], jnp.tile(b[:, None], (3, 1, 1)), atol=1e-11)
    np.testing.assert_allclose(A @ X, jnp.tile(jnp.eye(n), (3, 1, 1)), atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, SMALL + 1])
def test_derivatives_in_both_modes(n):
    A, dA = matrices(n, 2)
    b, db = jnp.arange(1.0, n + 1) + 0j, jnp.ones(n) * 1j

    def numbers(x):
        return inverse(A + x * dA).real.sum() + solve(A, b + x * db).imag.sum()

    X = np.linalg.inv(A)
    exact = (-X @ dA @ X).real.sum() + (X @ db).imag.sum()
    np.testing.assert_allclose(jax.grad(numbers)(0.0), exact, rtol=1e-10)
    np.testing.assert_allclose(jax.jvp(numbers, (0.0,), (1.0,))[1], exact, rtol=1e-10)


def test_singular_vectors_of_the_smallest_value():
    A = matrices(5).real
    u, v = jax.vmap(singular_vectors)(A)
    smallest = np.linalg.svd(A, compute_uv=False)[:, -1]
    np.testing.assert_allclose(np.einsum("bi,bij,bj->b", u, A, v), smallest, rtol=1e-10)


@pytest.mark.parametrize("n", [SMALL, 40])
def test_independent_batches_end(n):
    """Batched LAPACK calls waited for each other for ever here, on two cores."""
    A = matrices(n, 60) + n * jnp.eye(n)

    @jax.jit
    def both(A):
        def step(_, AB):
            return tuple(jax.vmap(inverse)(X) for X in AB)

        return jax.lax.fori_loop(0, 50, step, (A, A + jnp.eye(n)))

    np.testing.assert_allclose(both(A)[0], A, rtol=1e-9)
