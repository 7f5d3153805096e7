"""The physical solution, followed down from far above the axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.spectrum.laws.continuation import descend, in_batches


@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_pole_of_an_atom_is_reached_from_any_height(count):
    """Too few steps of Newton's method lose it, or not, as rounding errors fall."""
    law = sx.one_step_outputs(0.775, 0.5, 1.0)
    heights = jnp.geomspace(1e-5, 1e-11, 9) * law.bound()
    transform = jax.jit(jax.vmap(lambda z: law.transform(descend(law, z))))
    for some in jnp.split(heights, 9 // count):
        S = transform(1j * some)
        np.testing.assert_allclose(-some * S.imag, 0.225, rtol=2e-5)


def test_the_pole_of_an_atom_is_reached_in_any_setting():
    """Without extrapolated starts it is lost in half of them."""
    rng = np.random.default_rng(0)
    settings = [jnp.asarray(rng.uniform(*ends, 60)) for ends in ((0.3, 0.95), (0.2, 2), (0.3, 3))]

    @jax.jit
    def mass(setting):
        law = sx.one_step_outputs(*setting)
        heights = jnp.geomspace(1e-8, 1e-11, 4) * law.bound()
        S = jax.vmap(lambda z: law.transform(descend(law, z)))(1j * heights)
        return -heights * S.imag

    found = jax.lax.map(mass, settings)
    np.testing.assert_allclose(found, jnp.tile(1 - settings[0][:, None], 4), rtol=1e-3)


@pytest.mark.slow
def test_solutions_are_physical_everywhere():
    law = sx.product_law(1.0, 1.0)
    z = jnp.concatenate([jnp.geomspace(1e-6, 20.0, 40) + 0j, 1j * jnp.geomspace(1e-9, 1.0, 10)])
    found = sx.dyson(law, z)
    assert found.physical.all()


def test_batches_are_padded_and_cut():
    law, z = sx.one_step_outputs(1.0, 1.0, 1.0), jnp.arange(300.0)
    np.testing.assert_array_equal(in_batches(law, lambda x: (x, 2 * x), z)[1], 2 * z)
    np.testing.assert_array_equal(in_batches(law, lambda x: x, z[:5]), z[:5])
