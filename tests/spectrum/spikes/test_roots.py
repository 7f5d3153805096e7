"""Real strengths from symmetric matrices: what GPUs and TPUs report."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import one_spike, own_image, padded, training

from spectrax.seam import SymmetricSpikes
from spectrax.spectrum import critical_strength, margin, outliers, strengths
from spectrax.spectrum.spikes._roots import real_strengths

module = importlib.import_module("spectrax.spectrum.spikes.outliers")


def on_accelerators(function, spikes, **options):
    """The result of the branch for GPUs and TPUs, compiled anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "on_cpu", lambda nonsymmetric, symmetric, *args: symmetric(*args))
        return jax.jit(lambda spikes: function.__wrapped__(spikes, **options))(spikes)


SPIKES = jax.tree.map(
    lambda *x: jnp.stack(x),
    *(padded(spikes, 2) for spikes in (one_spike(1.5, 0.5), own_image(-0.9), one_spike(0.1, 3.0))),
)


@pytest.mark.parametrize("side", ["above", pytest.param("below", marks=pytest.mark.slow)])
def test_outliers_are_those_of_the_transfer_matrix(side):
    found = on_accelerators(outliers, SPIKES, count=2, side=side)
    expected = outliers(SPIKES, 2, side=side)
    np.testing.assert_array_equal(found.escaped, expected.escaped)
    assert jnp.sum(found.escaped) == 1
    np.testing.assert_allclose(found.location, expected.location, rtol=1e-9)
    one, other = (jnp.where(x.escaped, x.strength, 0.0) for x in (found, expected))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_symmetric_matrices_have_outliers_on_both_sides():
    """Twice as many strengths as fields can be asked for: half of them are none."""
    none, K = jnp.zeros((2, 2)), jnp.diag(jnp.array([1.5, -2.0]))
    spikes = SymmetricSpikes(jnp.eye(2), none, K, 1.0)
    above = on_accelerators(outliers, spikes)
    np.testing.assert_allclose(above.location, [1.5 + 1 / 1.5, 2.0, 2.0, 2.0], rtol=1e-12)
    np.testing.assert_allclose(on_accelerators(margin, spikes), 1.0, rtol=1e-12)


def test_a_real_strength_is_found_below_the_threshold_too():
    """A quarter of the critical one; inertia itself counts nothing there."""

    @jax.jit
    def both(spikes):
        return real_strengths(spikes, 1, 1.0)[0], real_strengths(spikes, 1, 1.0, beyond=True)[1]

    strength, beyond = both(one_spike(0.5, 1.0))
    np.testing.assert_allclose(strength, [0.25], rtol=1e-12)
    assert not beyond[0]


@pytest.mark.slow
def test_a_complex_pair_is_no_outlier_and_its_margin_negative():
    spikes = training(num_steps=12, layer=0).at(2)
    assert strengths(spikes, 1)[0] > 0  # the real part of a pair
    np.testing.assert_allclose(
        on_accelerators(margin, spikes), -critical_strength(spikes), rtol=1e-12
    )
