"""Roots of Gram matrices: exact derivatives where eigenvalues are equal or zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

from spectrax.program.root import gram_root

MOVE = jnp.array([[0.3, 1.0, 0.0], [1.0, -0.2, 0.5], [0.0, 0.5, 0.2]])
WEIGHTS = jnp.arange(9.0).reshape(3, 3)


def curve(kind, p):
    """Gram matrices through a degenerate one at p = (1, 1)."""
    if kind == "equal":  # eigenvalues 1, 1, 1
        return p[0] * jnp.eye(3) + (p[1] - 1) * MOVE
    v = jnp.stack([p[0], p[1], p[0] * p[1]])  # one vector twice: rank two, then rank one
    w = jnp.stack([p[1], 0 * p[0], 0 * p[0]])
    return jnp.outer(v, v) + (jnp.outer(w, w) if kind == "singular" else 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["equal", "singular", "rank one"])
def test_derivatives_at_degenerate_matrices(kind):
    def value(p):
        return jnp.sum(WEIGHTS * gram_root(curve(kind, p)))

    p, slope = jnp.ones(2), jax.grad(value)
    np.testing.assert_allclose(
        gram_root(curve(kind, p)) @ gram_root(curve(kind, p)), curve(kind, p)
    )
    exact = central_differences(jax.jit(value), p)
    np.testing.assert_allclose(slope(p), exact, rtol=1e-8)
    np.testing.assert_allclose(jax.jacfwd(value)(p), exact, rtol=1e-8)
    second = central_differences(jax.jit(slope), p)
    np.testing.assert_allclose(jax.jacfwd(slope)(p), second, rtol=1e-6, atol=1e-6)


def test_nothing_has_a_root_of_nothing_and_no_slope():
    value, slope = jax.value_and_grad(lambda x: gram_root(x * jnp.eye(2))[0, 0])(0.0)
    assert value == 0 and slope == 0


def test_second_derivatives_where_the_null_space_turns():
    """Rank one has a root in closed form, v v' / |v|, whose null space moves with v."""

    def vector(t):
        return jnp.stack([2.0 + t, 3.0 * t, 0.5 * t**2])

    def root(t):
        return gram_root(jnp.outer(vector(t), vector(t)))

    def known(t):
        return jnp.outer(vector(t), vector(t)) / jnp.linalg.norm(vector(t))

    def second(function):
        return jax.jit(jax.jacfwd(jax.jacfwd(function)))(0.0)

    exact = second(known)
    assert jnp.abs(exact[1:, 1:]).max() > 1
    np.testing.assert_allclose(second(root), exact, atol=1e-9)
