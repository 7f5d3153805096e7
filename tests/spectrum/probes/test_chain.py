"""The bulk as a chain: Gauss nodes and the trace response."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import iv
from spectrum.helpers import laplace, quadrature

import spectrax as sx
from spectrax.spectrum.probes.chain import nodes_needed

LAWS = [sx.MarchenkoPastur(0.3), sx.MarchenkoPastur(1.0, 1.3), sx.MarchenkoPastur(2.5, 0.7)]
SIGNS = pytest.mark.parametrize("sign", [-1, 1])


def narayana(k, j):
    return math.comb(k, j) * math.comb(k, j - 1) // k


@pytest.mark.parametrize("law", LAWS)
def test_few_nodes_have_the_moments_of_marchenko_and_pastur(law):
    r"""$\sigma^{2k}\sum_j N_{kj}\alpha^j$, mass at zero included; exact below power 2 num."""
    num, alpha = 5, float(law.aspect)
    nodes, weights = sx.gauss_nodes(law, num)
    assert np.all(np.diff(nodes) > 0) and np.all(weights > 0) and nodes.shape == (num,)
    moments = [
        float(law.sigma) ** (2 * k) * sum(narayana(k, j) * alpha**j for j in range(1, k + 1))
        for k in range(1, 2 * num + 1)
    ]
    found = [weights @ nodes**k for k in range(1, 2 * num + 1)]
    np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found[:-1], moments[:-1], rtol=1e-10)
    assert abs(found[-1] / moments[-1] - 1) > 1e-6  # and no further


def test_few_nodes_have_the_moments_of_a_semicircle():
    """Catalan numbers."""
    nodes, weights = sx.gauss_nodes(sx.Semicircle(0.7), 4)
    for k in range(8):
        catalan = math.comb(k, k // 2) / (k // 2 + 1) if k % 2 == 0 else 0.0
        np.testing.assert_allclose(weights @ nodes**k, 0.7**k * catalan, atol=1e-12)


def test_response_of_a_semicircle_is_a_bessel_function():
    times = jnp.array([0.1, 1.0, 5.0, 20.0])
    for sigma in (0.7, 1.0):
        x = sigma * np.asarray(times)
        for sign in (-1, 1):
            found = sx.trace_response(sx.Semicircle(sigma), times, sign=sign)
            np.testing.assert_allclose(found, iv(1, 2 * x) / x, rtol=1e-8)


@SIGNS
@pytest.mark.parametrize("law", LAWS)
def test_trace_response_is_the_integral_over_the_bulk_and_its_atom(law, sign):
    times = jnp.array([0.0, 0.5, 3.0, 12.0])
    expected = [quadrature(law, lambda x, t=t: np.exp(sign * t * x), 40000) for t in times]
    rtol = 1e-8 if law.aspect != 1 else 1e-4  # there the quadrature loses mass at zero
    found = sx.trace_response(law, times, sign=sign)
    np.testing.assert_allclose(found, np.array(expected) + law.atom(), rtol=rtol)


def test_late_trace_response_is_the_mass_at_zero():
    found = sx.trace_response(sx.MarchenkoPastur(0.3), 100.0)
    np.testing.assert_allclose(found, 0.7, rtol=1e-8)


def test_trace_response_is_that_of_sampled_matrices():
    times, law = np.array([0.3, 1.0, 4.0]), sx.MarchenkoPastur(0.5)
    traces = []
    for seed in range(6):
        W = np.random.default_rng(seed).normal(size=(150, 300)) / np.sqrt(300)
        values = np.linalg.eigvalsh(W @ W.T)
        traces.append((np.exp(-np.outer(times, values)).sum(axis=1) + 150) / 300)
    error = np.std(traces, axis=0, ddof=1) / np.sqrt(6)
    deviation = np.mean(traces, axis=0) - sx.trace_response(law, times)
    assert np.all(error < 2e-3) and np.all(np.abs(deviation) < 4 * error)


@pytest.mark.parametrize("law", [*LAWS, sx.Semicircle(1.2)])
def test_laplace_transform_of_the_trace_response_is_the_resolvent(law):
    upper = float(law.edges()[1])
    for sign, p in ((-1, 3.0), (1, upper + 2.0)):
        found = laplace(lambda times, s=sign: sx.trace_response(law, times, sign=s), p, 40.0)
        np.testing.assert_allclose(found, sign * law.stieltjes(sign * p), rtol=1e-9)


@pytest.mark.parametrize("law", [LAWS[0], sx.Semicircle(1.2)])
@pytest.mark.parametrize("time", [0.3, pytest.param(40.0, marks=pytest.mark.slow)])
def test_number_of_nodes_needed_is_enough_and_not_much_more(law, time):
    num, lowest = sx.nodes_needed(law, time), float(law.edges()[0])

    def error(num):
        exact, found = (sx.trace_response(law, time, num_nodes=n) for n in (3 * num + 20, num))
        return abs(found - exact) * np.exp(lowest * time)  # relative to the largest exponential

    assert error(num) < 1e-10
    assert num <= 4 or error(int(0.7 * num)) > 1e-10


def test_trace_response_differentiates_and_maps():
    def response(aspect, sigma):
        return sx.trace_response(sx.MarchenkoPastur(aspect, sigma), 2.0)

    point = 0.8, 1.1
    slopes = jax.grad(response, (0, 1))(*point)
    mapped, h = jax.jit(jax.vmap(response)), 1e-5
    values = mapped(*jnp.array([[0.8 + h, 0.8 - h, 0.8, 0.8], [1.1, 1.1, 1.1 + h, 1.1 - h]]))
    np.testing.assert_allclose(slopes, (values[::2] - values[1::2]) / (2 * h), rtol=1e-7)


@pytest.mark.parametrize("tolerance", np.geomspace(1e-2, 1e-6, 9))
def test_number_of_nodes_is_the_smallest_below_the_bound(tolerance):
    """The tail by the whole, e^x = I_0 + 2 sum of I_d, minus the head; half width 2."""
    for time in (0.5, 3.0):
        x = 2 * time
        n = nodes_needed(sx.MarchenkoPastur(1.0), time, tolerance=tolerance)
        bound = [
            2 * (1 - np.exp(-x) * (iv(0, x) + 2 * iv(np.arange(1, 2 * k), x).sum()))
            for k in (n - 1, n)
        ]
        assert bound[1] <= tolerance < bound[0]
