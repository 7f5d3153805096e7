import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import case_kernels, exact_strengths, training, weights_of

from spectrax.spectrum import compress, margin, outliers, strengths

tight = functools.partial(compress, tol=1e-13, rank=24)


@pytest.mark.parametrize("index, layer", [(0, 0), (1, 0), (1, 1)])
def test_compressed_spikes_have_the_same_outliers_at_every_step(index, layer):
    """Also at early steps, whose later fields are in the basis but uncoupled."""
    weights = weights_of(case_kernels(index), layer)
    compressed = tight(weights)
    assert jnp.all(compressed.residual < 1e-13) and compressed.used_e.sum() < 20
    early = [6 + 4 * layer, 17, 40]
    found = jax.jit(jax.vmap(lambda step: strengths(compressed.at(step), 1)[0]))(jnp.array(early))
    exact = [exact_strengths(weights, step)[0] for step in early]
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_spikes_without_coupling_change_nothing():
    """Fields of later steps, present in the kernels, wait with zero coupling."""
    weights = training(num_steps=12)
    for step in (1, 5, 9):
        masked = weights.at(step)
        everything = type(masked)(
            weights.Ce, weights.Cf, weights.Re, weights.Rf, masked.K, masked.aspect, masked.sigma
        )
        np.testing.assert_allclose(strengths(everything, 1), strengths(masked, 1), atol=1e-12)


def test_compressed_fields_are_orthonormal():
    weights = weights_of(case_kernels(1), 0)
    compressed = tight(weights)
    np.testing.assert_allclose(compressed.Q @ compressed.Q.T, weights.Ce, atol=1e-12 * 20)
    spikes = compressed.at(40)
    np.testing.assert_array_equal(spikes.Ce, jnp.diag(compressed.used_e.astype(float)))


def test_too_little_room_shows_in_the_residual():
    online = training(num_steps=12, layer=0, data="online")
    assert jnp.all(compress(online, rank=6).residual > 1e-3)
    assert jnp.all(compress(online).residual < 1e-12)


def test_the_scale_of_the_initial_matrix_is_carried_along():
    weights = training(num_steps=12)
    shrunk = weights.coordinates.at[:, 0].set(0.7)
    weights = type(weights)(
        weights.Ce, weights.Cf, weights.Re, weights.Rf, shrunk, weights.aspect, weights.sigma
    )
    one, other = compress(weights, 1e-14).at(10), weights.at(10)
    np.testing.assert_allclose(margin(one), margin(other), rtol=1e-6)
    np.testing.assert_allclose(outliers(one, 1).location, outliers(other, 1).location, rtol=1e-7)


def test_derivatives_are_refused_with_a_sentence():
    with pytest.raises(NotImplementedError, match="^Compressed weights cannot be differentiated"):
        jax.grad(lambda w: margin(compress(w).at(3)))(training(num_steps=12))


def test_the_rank_is_checked():
    with pytest.raises(ValueError, match="^Argument `rank` must be an integer from 1 to 12, got 0"):
        compress(training(num_steps=12), rank=0)
