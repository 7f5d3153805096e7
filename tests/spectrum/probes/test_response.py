"""What a probe returns: its sentence and its growth rates."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from spectrax.spectrum.probes._response import Response


def test_the_sentence_names_the_time_of_a_probe_that_failed():
    """Not that of one which succeeded earlier."""
    results = [diffrax.RESULTS.successful, diffrax.RESULTS.event_occurred]
    result = jax.vmap(lambda fine: diffrax.RESULTS.where(fine, *results))(jnp.array([True, False]))
    times = jnp.array([[0.0, 1.0], [0.0, 5.0]])
    response = Response(times, jnp.ones((2, 2)), jnp.array([1.0, 3.0]), result)
    assert response.message == "The probe blew up at time 3."


def test_growth_rates_are_infinite_next_to_zeros_and_missing_values():
    times = jnp.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    values = jnp.array([1.0, jnp.e, 0.0, 1.0, jnp.e, jnp.inf])
    rates = Response(times, values, times[-1], diffrax.RESULTS.successful).growth_rates()
    np.testing.assert_allclose(rates, [2.0, jnp.inf, jnp.inf, 1.0, jnp.inf], rtol=1e-12)
