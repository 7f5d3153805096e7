"""Symmetric matrices with coupled spikes: classical limits and sampled matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences
from spectrum.helpers import tanh_fields, tanh_symmetric, wigner

import spectrax as sx
from spectrax.spectrum import Semicircle

ONE, NONE = jnp.ones((1, 1)), jnp.zeros((1, 1))


def test_semicircle_solves_its_equation():
    law = Semicircle(1.3)
    z = jnp.array([2.7, -3.0, 9.0])
    G = law.stieltjes(z)
    np.testing.assert_allclose(1 / G + 1.3**2 * G, z, rtol=1e-12)
    z = jnp.array([0.4 + 0.1j, -2.0 + 0.3j, 3.0 - 1.0j])
    G = law.stieltjes(z)
    np.testing.assert_allclose(1 / G + 1.3**2 * G, z, rtol=1e-12)
    assert (jnp.sign(G.imag) == -jnp.sign(z.imag)).all()
    x = np.linspace(*law.edges(), 20001)
    np.testing.assert_allclose(np.trapezoid(law.density(x), x), 1.0, atol=1e-5)
    np.testing.assert_allclose(
        -law.stieltjes(jnp.array([0.5 + 1e-9j])).imag / np.pi, law.density(0.5), rtol=1e-6
    )
    assert law.scaled(2.0).edges()[1] == 2 * law.edges()[1]


@pytest.mark.parametrize("theta", [2.5, -1.7, 0.9])
def test_spiked_wigner(theta):
    """An outlier theta + sigma^2/theta iff |theta| > sigma, with overlap 1 - sigma^2/theta^2."""
    sigma = 1.1
    spikes = sx.SymmetricSpikes(ONE, NONE, theta * ONE, sigma)
    end = "above" if theta > 0 else "below"
    found = sx.outliers(spikes, 1, side=end)
    overlap = sx.overlaps(spikes, 1, end=end)[0, 0, 0]
    assert found.escaped[0] == (abs(theta) > sigma)
    if abs(theta) > sigma:
        np.testing.assert_allclose(found.location[0], theta + sigma**2 / theta, rtol=1e-12)
        np.testing.assert_allclose(overlap, 1 - sigma**2 / theta**2, rtol=1e-12)
    else:
        assert found.location[0] == 2 * sigma and overlap == 0


@pytest.mark.parametrize("theta", [2.5, -1.7, 0.9])
def test_the_margin_is_that_of_the_outlier_farthest_out(theta):
    sigma = 1.1
    spikes = sx.SymmetricSpikes(ONE, NONE, theta * ONE, sigma)
    np.testing.assert_allclose(sx.margin(spikes), abs(theta) - sigma, rtol=1e-12)


@pytest.mark.slow
def test_margins_of_one_step_and_of_a_path_are_one_function():
    """Anti-Hebbian learning: the outlier leaves below, Hebbian: above."""
    for kappa, dt, mu in ((2.0, 0.2, 0.0), (-1.0, 0.1, 1.0)):
        solution = sx.solve(sx.AntiHebbian(12, dt=dt, mu=mu, kappa=kappa))
        path = sx.margin_path(solution.weights(0))
        each = [sx.margin(sx.spikes(solution, 0, step)) for step in range(13)]
        np.testing.assert_allclose(each, path, rtol=1e-9)
        side = "below" if kappa > 0 else "above"
        escaped = sx.outlier_path(solution.weights(0), side=side).escaped[:, 0]
        np.testing.assert_array_equal(path > 0, escaped)
        assert escaped[-1] and not escaped[1]
        strengths = sx.strength_path(solution.weights(0))[:, 0]
        each = [sx.strengths(sx.spikes(solution, 0, step), 1)[0] for step in range(13)]
        np.testing.assert_allclose(strengths, each, rtol=1e-9, atol=1e-12)


def test_outliers_and_overlaps_of_coupled_spikes():
    """tanh of a Gaussian: C and R by quadrature, against matrices of 800."""
    spikes, K = tanh_symmetric()
    seeds, N, found, fields = 10, 800, [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        J = wigner(N, rng)
        x = tanh_fields(J, rng)
        values, vectors = np.linalg.eigh(J + x.T @ K @ x / N)
        found.append([values[0], values[-1]])
        fields.append((x @ vectors[:, 0]) ** 2 / N)
    for end, values in (("below", np.array(found)[:, 0]), ("above", np.array(found)[:, 1])):
        theory = sx.outliers(spikes, 1, side=end)
        stderr = values.std(ddof=1) / np.sqrt(seeds)
        assert theory.escaped[0] and stderr < 0.02 * abs(theory.location[0])
        assert abs(values.mean() - theory.location[0]) < 4 * stderr
    overlap = np.diag(sx.overlaps(spikes, 1, end="below")[0])
    stderr = np.std(fields, axis=0, ddof=1) / np.sqrt(seeds)
    assert np.abs((np.mean(fields, axis=0) - overlap) / stderr).max() < 4


def test_gradient_of_an_outlier():
    def location(p):
        spikes = sx.SymmetricSpikes(ONE, p[1] * ONE, p[0] * ONE, p[2])
        return sx.outliers(spikes, 1).location[0]

    p = jnp.array([2.0, 0.1, 0.9])
    slope, value = jax.grad(location)(p), jax.jit(location)
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-8)


def test_bad_requests():
    with pytest.raises(ValueError, match="`R` must be square like K of shape"):
        sx.SymmetricSpikes(ONE, jnp.zeros((2, 2)), ONE)
    with pytest.raises(ValueError, match="`sigma` must be positive, got -1.0"):
        Semicircle(-1.0)
    with pytest.raises(ValueError, match="`end` must be 'above' or 'below', got 'left'"):
        sx.overlaps(sx.SymmetricSpikes(ONE, NONE, ONE), 1, end="left")
