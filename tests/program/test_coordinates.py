"""Linear optimizers act on coordinates as they act on weights."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spectrax.program.coordinates import check_linear, coordinates, heavy_ball

RATES = jnp.linspace(0.3, 0.1, 6)


@pytest.mark.parametrize(
    "optimizer",
    [
        heavy_ball(0.7, 0.03),
        optax.sgd(1.0, momentum=0.6, nesterov=True),
        optax.chain(optax.ema(0.5, debias=False), optax.sgd(1.0)),
        optax.sgd(optax.exponential_decay(1.0, 3, 0.5)),
    ],
)
def test_coordinates_are_what_the_optimizer_does_to_a_matrix(optimizer):
    rng = np.random.default_rng(0)
    weight = start = jnp.asarray(rng.normal(size=(4, 3)))
    spikes = jnp.asarray(rng.normal(size=(6, 4, 3)))
    theta, state = coordinates(optimizer, RATES), optimizer.init(weight)
    for t in range(6):
        updates, state = optimizer.update(-RATES[t] * spikes[t], state, weight)
        weight = optax.apply_updates(weight, updates)
        rebuilt = theta[t + 1, 0] * start + jnp.tensordot(theta[t + 1, 1:], spikes, 1)
        np.testing.assert_allclose(rebuilt, weight, atol=1e-14)


def test_heavy_ball_is_the_recursion_of_the_theory():
    mu, decay, n = 0.8, 0.05, 6
    theta, v = np.eye(n + 1)[0], np.zeros(n + 1)
    for t in range(n):
        v = mu * v + RATES[t] * np.eye(n + 1)[t + 1] - decay * theta
        theta = theta + v
        np.testing.assert_allclose(coordinates(heavy_ball(mu, decay), RATES)[t + 1], theta, 1e-13)


def test_plain_gradient_descent_adds_one_spike_a_step():
    expected = np.hstack([np.ones((7, 1)), np.tril(np.ones((7, 6)), -1) * RATES])
    np.testing.assert_allclose(coordinates(heavy_ball(0.0, 0.0), RATES), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (optax.adam(1.0), "must be linear"),
        (optax.chain(optax.clip(0.1), optax.sgd(1.0)), "must be linear"),
        (optax.sign_sgd(1.0), "must be linear"),
        (optax.chain(optax.centralize(), optax.sgd(1.0)), "treat all entries"),
        (optax.trace(0.9), "must descend"),
    ],
)
def test_transformations_that_are_not_linear_filters_are_refused(optimizer, reason):
    with pytest.raises(ValueError, match=reason):
        check_linear(optimizer)
