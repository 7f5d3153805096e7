import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import COUPLED, one_spike, random_direction, spikes_of, training

from spectrax.spectrum import determinant_outliers, outliers, response_matrix, strengths


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
    aspect, strength = spikes.aspect, jnp.array([3.0, 7.0, -0.5 + 2.0j])
    z = (strength + 1) * (strength + aspect) / strength
    for point, theta2 in zip(z, strength, strict=True):
        point = point if point.imag else point.real
        full = strengths(spikes).astype(complex)
        full = full.at[2:].add(1j * jnp.array([0.6136, -0.6136]))
        eigenvalues = np.linalg.eigvals(np.asarray(transfer(spikes)))
        expected = np.prod(1 - eigenvalues / theta2)
        np.testing.assert_allclose(
            jnp.linalg.det(response_matrix(spikes, point)), expected, rtol=1e-10
        )


def transfer(spikes):
    from spectrax.spectrum import transfer_matrix

    return transfer_matrix(spikes)


def test_both_routes_agree_on_a_trained_matrix():
    spikes = training(num_steps=12, layer=0).at(11)
    both = determinant_outliers(spikes, 2), outliers(spikes, 2)
    assert both[0].escaped.tolist() == both[1].escaped.tolist() == [True, False]
    np.testing.assert_allclose(both[0].location, both[1].location, rtol=1e-8)


def test_both_routes_have_the_same_derivatives():
    spikes = spikes_of(COUPLED[1])
    direction = random_direction(spikes)

    def slope(route):
        return jax.jvp(lambda s: route(s, 1).location, (spikes,), (direction,))[1]

    np.testing.assert_allclose(slope(determinant_outliers), slope(outliers), rtol=1e-9)
    gradient = jax.grad(lambda s: determinant_outliers(s, 1).location[0])(spikes)
    backward = sum(
        jnp.vdot(g, d)
        for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    np.testing.assert_allclose(backward, slope(outliers)[0], rtol=1e-9)


def test_without_an_outlier_the_edge_and_its_derivative():
    def edge(aspect):
        found = determinant_outliers(one_spike(0.1, aspect), 1)
        return found.location[0], found.escaped[0]

    (value, escaped), slope = jax.value_and_grad(edge, has_aux=True)(2.0)
    np.testing.assert_allclose([value, slope], [(1 + 2**0.5) ** 2, 1 + 2**-0.5], rtol=1e-12)
    assert not escaped
