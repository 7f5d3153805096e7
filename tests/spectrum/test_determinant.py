import jax
import numpy as np
import pytest
from spectrum.helpers import COUPLED, one_spike, prefix, spikes_of, training

from spectrax.spectrum import (
    determinant_outliers,
    outliers,
    response_matrix,
    transfer_matrix,
)


@pytest.mark.parametrize("case", COUPLED)
def test_zeros_of_the_determinant_are_the_reference_outliers(case):
    found = determinant_outliers(spikes_of(case), 1)
    expected = case["outlier_eigenvalues"]
    assert bool(found.escaped[0]) == bool(expected)
    if expected:
        np.testing.assert_allclose(found.location, expected, rtol=1e-6)
        np.testing.assert_allclose(found.strength, case["real_strengths"][:1], rtol=1e-6)


def test_determinant_in_terms_of_the_strengths():
    """det M(z) = det(1 - x T) with x(z), for real and complex z outside the bulk."""
    spikes = spikes_of(COUPLED[1])
    eigenvalues = np.linalg.eigvals(transfer_matrix(spikes))
    for strength in (3.0, 7.0, -0.5 + 2.0j):
        z = (strength + 1) * (strength + spikes.aspect) / strength
        determinant = np.linalg.det(jax.jit(response_matrix)(spikes, z))
        np.testing.assert_allclose(determinant, np.prod(1 - eigenvalues / strength), rtol=1e-10)


def test_both_routes_agree_on_a_trained_matrix():
    spikes = prefix(training(num_steps=12, layer=0), 11)
    both = determinant_outliers(spikes, 2), outliers(spikes, 2)
    assert both[0].escaped.tolist() == both[1].escaped.tolist() == [True, False]
    np.testing.assert_allclose(both[0].location, both[1].location, rtol=1e-8)


def test_both_routes_have_the_same_derivatives():
    spikes = spikes_of(COUPLED[1])
    one, other = (
        jax.jit(jax.grad(lambda s, route=route: route(s, 1).location[0]))(spikes)
        for route in (determinant_outliers, outliers)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_without_an_outlier_the_edge_and_its_derivative():
    def edge(aspect):
        found = determinant_outliers(one_spike(0.1, aspect), 1)
        return found.location[0], found.escaped[0]

    (value, escaped), slope = jax.jit(jax.value_and_grad(edge, has_aux=True))(2.0)
    np.testing.assert_allclose([value, slope], [(1 + 2**0.5) ** 2, 1 + 2**-0.5], rtol=1e-12)
    assert not escaped
