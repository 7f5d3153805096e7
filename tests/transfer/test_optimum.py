"""The optimal learning rate: a minimum, its derivative, its limits."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

import spectrax as sx
from spectrax.transfer import optimum
from spectrax.transfer.stability import with_eta


def model(p):
    return sx.DeepLinear(1, 5, eta=0.1, alpha=p[3], nu=p[2], gamma0=p[0], sigma=p[1])


HERE = jnp.array([4.0, 1.1, 1.5, 5.0])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["test", "train"])
def test_no_other_rate_has_a_lower_loss(loss):
    best = sx.optimal_lr(model(HERE), loss=loss)

    def final(eta):
        solution = sx.solve(with_eta(model(HERE), eta), throw=False)
        return getattr(solution, f"{loss}_loss")[-1]

    scan = jax.vmap(final)(best * jnp.linspace(0.05, 2.0, 79))
    assert final(best) <= scan.min() * (1 + 1e-12)  # the scan has this rate, too: rounding
    assert scan[38] < 0.9 * scan[0]  # the scan does see a valley
    near = jax.vmap(final)(best * jnp.array([1 - 1e-3, 1.0, 1 + 1e-3]))
    assert near[1] < near[0] and near[1] < near[2]


@pytest.mark.slow
def test_a_long_training_has_an_optimum_right_below_rates_that_explode():
    """The slope of the loss is 1e10 times larger beyond the optimum than before it."""
    given = sx.DeepLinear(1, 60, alpha=4.0, nu=1e10, eta=0.1, gamma0=1e-4)
    best = sx.optimal_lr(given, loss="train")

    def final(eta):
        return sx.solve(with_eta(given, eta), throw=False).train_loss[-1]

    losses = jax.vmap(final)(best * jnp.array([0.99, 1.0, 1.01, 1.2]))
    assert losses[1] < losses[0] and losses[1] < losses[2] < 1e-8 * losses[3]


@pytest.mark.slow
def test_gradient_of_the_optimal_rate():
    """Nested derivatives lose digits: 1e-4."""

    def rate(p):
        return sx.optimal_lr(model(p))

    slope, value = jax.grad(rate)(HERE), jax.jit(rate)
    np.testing.assert_allclose(slope, central_differences(value, HERE), rtol=1e-4)


@pytest.mark.parametrize(("place", "slope"), [(0.05, 2.0), (1e-9, 0.0)])
def test_an_end_of_the_range_does_not_move_with_the_optimum(place, slope, monkeypatch):
    """The loss (log η − log(place · γ₀²))²: inside the range its optimum goes with γ₀²."""

    def loss_and_slope(model, loss):
        distance = jnp.log(model.eta / (place * model.gamma0**2))
        return distance**2, 2 * distance

    monkeypatch.setattr(optimum, "_slope", loss_and_slope)
    at = {"alpha": 5.0, "nu": 1.5, "eta": 0.1}

    def rate(gamma0):
        return jnp.log(sx.optimal_lr(sx.DeepLinear(1, 2, gamma0=gamma0, **at), nodes=5))

    found, derivative = jax.value_and_grad(rate)(1.1)
    np.testing.assert_allclose(1.1 * derivative, slope, rtol=1e-7, atol=1e-12)
    assert (np.abs(found - np.log(place * 1.21)) < 1e-8) == (slope > 0)


def test_the_final_loss_is_the_last_one_of_its_kind(monkeypatch):
    curves = {"test_loss": jnp.array([4.0, 3.0, 2.0]), "train_loss": jnp.array([9.0, 5.0, jnp.inf])}
    asked = []

    def solve(model, throw):
        asked.append((model, throw))
        return SimpleNamespace(**curves)

    monkeypatch.setattr(optimum, "solve", solve)
    assert optimum.final_loss("a model", "test") == 2.0
    assert optimum.final_loss("a model", "train") == jnp.inf
    assert asked == [("a model", False)] * 2  # a divergence is an answer, not an error


def test_bad_requests():
    with pytest.raises(ValueError, match="`loss` must be 'test' or 'train', got 'mean'"):
        sx.optimal_lr(model(HERE), loss="mean")
    with pytest.raises(ValueError, match="`nodes` must be an integer of at least 3, got 2"):
        sx.optimal_lr(model(HERE), nodes=2)
