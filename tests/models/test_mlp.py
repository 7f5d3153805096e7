"""Networks in the parameterization of the theory."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.loss import squared_error
from models.mlp import MLP, gradient_descent, wide_mlp


def test_outputs_are_those_of_the_formula():
    options = {"inputs": 3, "outputs": 2, "multiplier": 0.7, "activation": "tanh"}
    network = MLP(3, 10, **options, key=jax.random.key(0), dtype=jnp.float64)
    x = np.random.default_rng(0).normal(size=(4, 3))
    h = x.T
    for layer, fan_in in enumerate((3, 10, 10)):
        W = np.asarray(network.W[layer][...]) / np.sqrt(fan_in)
        np.testing.assert_allclose(network.matrix(layer), W, rtol=1e-12)
        h = np.tanh(W @ h)
    expected = 0.7 * np.asarray(network.w[...]) @ h
    np.testing.assert_allclose(network(jnp.asarray(x)), expected.T, rtol=1e-12)
    y = np.ones((4, 2))
    error = np.sum((y - expected.T) ** 2) / 8
    np.testing.assert_allclose(squared_error(network, jnp.asarray(x), y), error, rtol=1e-12)


def test_initial_entries():
    options = {"inputs": 200, "multiplier": 1.0, "sigma": 1.5}
    network = MLP(2, 200, **options, key=jax.random.key(0))
    for array in (network.W[0][...], network.W[1][...]):
        assert array.shape == (200, 200) and array.dtype == jnp.float32
        assert abs(array.std() - 1.5) < 0.02 and abs(array.mean()) < 0.03
    correlation = np.mean(np.asarray(network.W[0][...]) * np.asarray(network.W[1][...]))
    assert abs(correlation) < 0.04
    other = MLP(2, 200, **options, key=jax.random.key(1))
    assert (other.W[0][...] != network.W[0][...]).all()


@pytest.mark.parametrize("rates", [0.3, [0.3, 0.1, 0.2, 0.5]])
def test_gradient_descent_is_the_heavy_ball_of_the_theory(rates):
    """v <- mu v - rate gradient - lambda theta."""
    transformation = gradient_descent(rates, 0.6, 0.05)
    assert gradient_descent(np.array(rates), 0.6, 0.05) is transformation
    theta, velocity = np.array([1.0, -2.0], np.float32), np.zeros(2)
    params = jnp.asarray(theta)
    state = transformation.init(params)
    for step, rate in enumerate(np.broadcast_to(rates, 4)):
        gradient = np.array([0.5, step], np.float32)
        velocity = 0.6 * velocity - rate * gradient - 0.05 * theta
        theta = theta + velocity
        updates, state = transformation.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        assert params.dtype == jnp.float32
        np.testing.assert_allclose(params, theta, rtol=1e-6)


@pytest.mark.parametrize("gamma0", [0.25, 1.0, 3.0])
def test_the_raw_rate_and_the_multiplier_are_those_of_the_formula(gamma0):
    r"""$\eta\gamma_0^2 N$ and $1/(\gamma_0 N)$, so that $\Delta f$ at first order has no γ₀."""
    etas = np.array([0.1, 0.4])
    options = {"inputs": 2, "gamma0": gamma0, "key": jax.random.key(0)}
    network, transformation = wide_mlp(1, 8, eta=etas, **options)
    theta = jnp.ones(3)
    state = transformation.init(theta)
    for eta in etas:
        update, state = transformation.update(theta, state, theta)
        np.testing.assert_allclose(update, -eta * gamma0**2 * 8, rtol=1e-6)
    assert network.multiplier == pytest.approx(1 / (gamma0 * 8))


def test_bad_requests():
    good = {"inputs": 2, "eta": 0.1, "gamma0": 1.0, "key": jax.random.key(0)}
    for options, message in (
        ({"width": 0}, "`width` must be an integer of at least 1, got 0"),
        ({"depth": 0}, "`depth` must be an integer of at least 1, got 0"),
        ({"gamma0": -1.0}, "`gamma0` must be positive, got -1.0"),
        ({"sigma": 0.0}, "`sigma` must be positive, got 0.0"),
        ({"eta": -0.1}, "`eta` must be non-negative, got -0.1"),
        ({"momentum": 1.0}, "`momentum` must be at least 0 and below 1, got 1.0"),
        ({"activation": "swish"}, "`activation` must be 'tanh' or"),
    ):
        with pytest.raises(ValueError, match=message):
            wide_mlp(**({"depth": 1, "width": 4} | good | options))
