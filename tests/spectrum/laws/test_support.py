"""Where laws have their eigenvalues: edges that are no folds, and folds next to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.spectrum.expressions.many_outputs import OneStepOutputs
from spectrax.spectrum.laws._support import _fold


@pytest.mark.slow
def test_intervals_are_continuous_where_the_lowest_edge_gets_hard():
    """Two bands; at nu = 1.0001 the lowest edge is too near to zero for a fold to be solved."""

    def intervals(nu):
        one = jnp.ones(())
        return OneStepOutputs(nu, 0.1 * one, 3.0 * one, one, one).support(2)

    near, square = jax.jit(lambda nu: jax.lax.map(intervals, nu))(jnp.array([1.0001, 1.0]))
    np.testing.assert_allclose(near, square, rtol=1e-3, atol=1e-6)
    assert 0 <= near[0, 0] < near[0, 1] < near[1, 0] < near[1, 1] < 30


def test_an_edge_moves_as_marchenko_and_pastur_have_it():
    """Without a step the upper edge is (1 + sqrt(nu))^2, found again from close by."""
    one = jnp.ones(())

    def edge(nu):
        law, fixed = (OneStepOutputs(x, 0.5 * one, 0 * one, one, one) for x in (nu, 2.0 * one))
        return _fold(law, fixed, jnp.asarray(5.85), jnp.asarray(5.83), jnp.asarray(0.03))

    found, slope = jax.jit(jax.value_and_grad(edge))(2.0)
    np.testing.assert_allclose(found, (1 + 2**0.5) ** 2, rtol=1e-10)
    np.testing.assert_allclose(slope, 1 + 2**-0.5, rtol=1e-9)


@pytest.mark.slow
def test_a_hard_edge_away_from_zero():
    """One plus a square Marchenko-Pastur law: from 1, where the density diverges, to 5."""
    spaces = sx.Spaces(N=1.0)
    X, v = spaces.gaussian("N", "N"), spaces.vector("N")
    law = sx.Pencil.symmetric(v, v + X.T @ (X @ v))
    np.testing.assert_allclose(law.edges(), [1.0, 5.0], atol=1e-3)


def test_where_no_fold_is_near_the_middle_of_a_cell_stands():
    """The fold next to this point is the edge, 30 widths of the cell away and more."""
    law = sx.one_step_outputs(2.0, 1.0, 0.0)
    edge = (1 + 2**0.5) ** 2
    fold = jax.jit(lambda middle, width: _fold(law, law, jnp.asarray(1.01 * edge), middle, width))
    np.testing.assert_allclose(fold(1.005 * edge, 0.01 * edge), edge, rtol=1e-9)
    np.testing.assert_array_equal(fold(1.005 * edge, 1e-6 * edge), 1.005 * edge)
