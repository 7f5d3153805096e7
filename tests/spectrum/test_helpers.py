import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from spectrum.helpers import COUPLED, assert_derivatives, assert_physical, moved, spikes_of


def test_unphysical_kernels_are_noticed():
    spikes = spikes_of(COUPLED[3])
    assert_physical(spikes)
    with pytest.raises(AssertionError, match="complex strength"):
        assert_physical(eqx.tree_at(lambda s: s.Re, spikes, jnp.array([[0.0, 5.0], [-5.0, 0.0]])))


def test_wrong_derivatives_are_noticed():
    point = jnp.array([0.3, 0.7]), jnp.array([1.0, -2.0])
    assert_derivatives(jnp.sin, point)

    @jax.custom_jvp
    def wrong(x):
        return jnp.sin(x)

    wrong.defjvp(lambda primals, tangents: (wrong(*primals), 1.0001 * tangents[0]))
    with pytest.raises(AssertionError):
        assert_derivatives(wrong, point)


def test_the_slope_of_moved_parameters():
    low, high, slope = moved(lambda p: jnp.array([p, p**2]), "p", 3.0, 0.1)
    assert jnp.allclose(slope, jnp.array([1.0, 6.0])) and jnp.all(low < high)
