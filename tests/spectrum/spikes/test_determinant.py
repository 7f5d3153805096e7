import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import COUPLED, case_kernels, one_spike, padded, prefix, spikes_of, weights_of

from spectrax.spectrum import determinant_outliers, outliers, response_matrix, transfer_matrix

SIZE = 3  # all spikes are padded to it: one compilation


@pytest.mark.parametrize("case", COUPLED)
def test_zeros_of_the_determinant_are_the_reference_outliers(case):
    found = determinant_outliers(padded(spikes_of(case), SIZE), 1)
    expected = case["outlier_eigenvalues"]
    assert bool(found.escaped[0]) == bool(expected)
    if expected:
        np.testing.assert_allclose(found.location, expected, rtol=1e-6)
        np.testing.assert_allclose(found.strength, case["real_strengths"][:1], rtol=1e-6)


def test_determinant_in_terms_of_the_strengths():
    """det M(z) = det(1 - x T) with x(z), for real and complex z outside the bulk."""
    spikes = spikes_of(COUPLED[1])
    eigenvalues = np.linalg.eigvals(transfer_matrix(spikes))
    for strength in (7.0, -0.5 + 2.0j):
        z = (strength + 1) * (strength + spikes.aspect) / strength
        determinant = np.linalg.det(jax.jit(response_matrix)(spikes, z))
        np.testing.assert_allclose(determinant, np.prod(1 - eigenvalues / strength), rtol=1e-10)


def test_both_routes_agree_on_a_trained_matrix():
    spikes = prefix(weights_of(case_kernels(0), 0), 3)
    one, other = determinant_outliers(spikes, 1), outliers(spikes, 1)
    assert one.escaped[0] and other.escaped[0]
    np.testing.assert_allclose(one.location, other.location, rtol=1e-10)
    np.testing.assert_allclose(one.strength, other.strength, rtol=1e-6)  # close to the threshold


@pytest.mark.parametrize("spikes", [spikes_of(COUPLED[1]), one_spike(0.1, 2.0)])
def test_both_routes_have_the_same_derivatives(spikes):
    """With an outlier, and without one, where the edge moves."""
    one, other = (slope(padded(spikes, SIZE)) for slope in SLOPES)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert jnp.all(jnp.isfinite(a))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


SLOPES = [
    jax.jit(jax.grad(lambda spikes, route=route: route(spikes, 1).location[0]))
    for route in (determinant_outliers, outliers)
]
