"""Cumulative distributions: closed forms, atoms, several intervals, distances by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import spectrax as sx
from spectrax.spectrum.laws.cumulative import Cumulative, cumulative


@pytest.mark.slow
@pytest.mark.parametrize("aspect", [1.0, 1.02, 0.5])
def test_marchenko_pastur_is_integrated_to_rounding(aspect):
    """A square matrix, whose density diverges; one that nearly is; one with zeros."""
    law, known = cumulative(sx.one_step_outputs(aspect, 1.0, 0.0)), sx.MarchenkoPastur(aspect)
    np.testing.assert_allclose(law.mass, 1.0, atol=1e-8)
    assert law.residual < 1e-11
    low, high = (float(edge) for edge in known.edges())
    x = low + (high - low) * np.array([0.01, 0.3, 0.9])
    for point, found in zip(x, law(x), strict=True):  # roots of eigenvalues: no divergence

        def density(s):
            return float(known.density(s * s)) * 2 * s

        below = quad(density, low**0.5, point**0.5, epsabs=1e-11, limit=200)[0]
        np.testing.assert_allclose(found, below + max(0.0, 1 - aspect), atol=1e-8)
    np.testing.assert_array_equal(law([-1.0, 2 * high]), [0.0, law.mass])


@pytest.mark.slow
def test_two_square_factors_diverge_faster():
    """Fuss-Catalan, x^(-2/3) at zero: the moments that the law has by a contour."""
    law = sx.one_step_outputs(1.0, 1.0, 1.0, 0.0)
    found = cumulative(law)
    np.testing.assert_allclose(found.mass, 1.0, atol=1e-5)
    x = np.linspace(0, 6.75, 200_001)  # E x = integral of 1 - F
    mean = np.sum(1 - found((x[1:] + x[:-1]) / 2)) * (x[1] - x[0])
    np.testing.assert_allclose(mean, law.moment(1), atol=1e-4)


@pytest.mark.slow
def test_two_intervals_share_the_mass():
    """A few strong outputs: as many large eigenvalues as outputs."""
    law = cumulative(sx.one_step_outputs(2.0, 0.1, 3.0), 64)
    (_, middle), (above, _) = law.intervals
    np.testing.assert_allclose(law([middle, above, 1e9]), [0.9, 0.9, 1.0], atol=1e-9)


def uniform(atom=0.0, nodes=4000):
    """The uniform distribution on -1 ... 1 beside an atom, as the nodes would describe it."""
    x = -np.cos((np.arange(nodes) + 0.5) * np.pi / nodes)
    density = np.full(x.shape, (1 - atom) / 2)
    return Cumulative(np.array([[-1.0, 1.0]]), np.ones(1), atom, x[None], density[None], 0.0)


def test_distances_by_hand():
    law = uniform()
    np.testing.assert_allclose(law(np.array([[0.2, -0.5]])), [[0.6, 0.25]], atol=1e-6)
    for values, expected in (([0.5], 0.75), ([-0.5, 0.5], 0.25), ([0.1, 0.1, 0.9, 0.9], 0.55)):
        np.testing.assert_allclose(law.distance(np.array(values)), expected, atol=1e-6)


def test_zeros_are_compared_with_the_atom():
    law = uniform(atom=0.5)  # 1/4 below zero, 1/4 above
    tiny = 1e-17  # what an eigenvalue solver calls zero
    np.testing.assert_allclose(law.distance(np.array([-0.5, tiny, -tiny, 0.5])), 0.125, atol=1e-6)
    np.testing.assert_allclose(law.distance(np.array([-0.5, 0.25, 0.75])), 23 / 48, atol=1e-6)
    np.testing.assert_allclose(law.distance(np.zeros(3)), 0.25, atol=1e-6)


def test_independent_numbers_have_kolmogorovs_distance():
    """sqrt(n) D has mean sqrt(pi/2) log 2 for independent draws; eigenvalues are far closer."""
    law, rng = uniform(nodes=100), np.random.default_rng(0)
    found = [law.distance(rng.uniform(-1, 1, 1000)) * 1000**0.5 for _ in range(200)]
    np.testing.assert_allclose(np.mean(found), (np.pi / 2) ** 0.5 * np.log(2), rtol=0.06)


@pytest.mark.slow
def test_pencils_and_symmetric_laws():
    spaces = sx.Spaces(N=1.0)
    X, v = spaces.gaussian("N", "N", 0.5), spaces.vector("N")
    law = cumulative(sx.Pencil.symmetric(v, X @ v + X.T @ v), 64)  # semicircle of radius 2
    x = np.array([-1.0, 0.0, 1.5])
    known = 0.5 + x * np.sqrt(4 - x**2) / (4 * np.pi) + np.arcsin(x / 2) / np.pi
    np.testing.assert_allclose(law(x), known, atol=1e-10)
    twice = cumulative(sx.population_law([1.0, 20.0], [0.8, 0.2], 0.5), 64)
    np.testing.assert_allclose(twice.atom, 0.5, atol=1e-8)
    np.testing.assert_allclose(twice.mass, 1.0, atol=1e-8)


def test_bad_requests():
    law = sx.one_step_outputs(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="`nodes` must be an integer of at least 8, got 4"):
        cumulative(law, 4)
    with pytest.raises(ValueError, match="`size` must be an integer of at least 1, got 0"):
        law.sample(0, key=jax.random.key(0))
    for kappa0 in (jnp.nan, jnp.inf):
        with pytest.raises(ValueError, match="`kappa0` must be finite"):
            sx.one_step_outputs(1.0, 1.0, kappa0)
