"""µP found by gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.transfer.exponents import OBSERVABLES, relative_spread

MODEL = sx.DeepLinear(2, 16, alpha=4.0, nu=1.0, eta=0.04, gamma0=4.0)


@pytest.mark.slow
def test_three_starting_points_reach_mup():
    """Up to terms of order 1/width: (0.488, -0.006) on these widths."""
    for start in ((0.2, 0.2), (0.0, 0.0), (0.8, -0.2)):
        fit = sx.fit_parameterization(MODEL, [8.0, 16.0, 32.0, 64.0], start=start)
        found = [fit.parameterization.output_exponent, fit.parameterization.lr_exponent]
        np.testing.assert_allclose(found, [0.5, 0.0], atol=0.05)
        np.testing.assert_allclose(found, [0.4877, -0.0060], atol=2e-3)
        assert fit.spread < 1e-3 * fit.spreads[0]
        np.testing.assert_allclose(fit.path[0], start)


def test_strengths_settle_with_width_in_one_hidden_layer_too():
    """Its weight has as many rows as the network is wide: spikes and bulk grow with them."""

    def strengths(nu, eta):
        model = sx.DeepLinear(1, 3, alpha=4.0, nu=nu, eta=eta, gamma0=4.0)
        return OBSERVABLES["strengths"](model)

    widths, rates = jnp.array([1e3, 1e5, 1e3]), jnp.array([0.1, 0.1, 1e90])
    wide, wider, diverged = jax.jit(jax.vmap(strengths))(widths, rates)
    np.testing.assert_allclose(wide, wider, rtol=0.02)
    assert (wider > 0.1).all() and jnp.isfinite(wider).all()
    assert jnp.isinf(diverged).all()


@pytest.mark.slow
def test_one_hidden_layer_reaches_mup_too():
    model = sx.DeepLinear(1, 12, alpha=4.0, nu=1.0, eta=0.05, gamma0=4.0)
    fit = sx.fit_parameterization(model, [8.0, 16.0, 32.0, 64.0], start=(0.2, 0.2))
    found = [fit.parameterization.output_exponent, fit.parameterization.lr_exponent]
    np.testing.assert_allclose(found, [0.5, 0.0], atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("observable", ["escape_time", "sharpness", "optimal_lr"])
def test_other_observables_stop_depending_on_width(observable):
    """One number for each of two widths fixes a curve of exponents, not a point."""
    # Optimal rates hardly depend on width at the first start, by chance: 4e-6.
    start = (0.3, 0.2) if observable == "optimal_lr" else (0.45, 0.05)
    fit = sx.fit_parameterization(
        MODEL, [8.0, 64.0], start=start, observable=observable, num_iterations=40
    )
    assert fit.spread < 0.01 * fit.spreads[0] and fit.spreads[0] > 1e-4
    at = fit.parameterization
    values = [
        OBSERVABLES[observable](
            sx.DeepLinear(2, 16, alpha=4.0, nu=nu, eta=0.04, gamma0=4.0, parameterization=at)
        )
        for nu in (8.0, 64.0)
    ]
    np.testing.assert_allclose(relative_spread(jnp.stack(values)), fit.spread, rtol=1e-4)


@pytest.mark.slow
def test_diverged_trials_are_taken_back():
    """A step so long that widths diverge costs a trial, not the search."""
    import optax

    fit = sx.fit_parameterization(
        MODEL, [8.0, 64.0], start=(0.3, 0.3), optimizer=optax.sgd(10.0), num_iterations=12
    )
    assert np.isinf(fit.spreads).any() and np.isfinite(fit.path).all()
    assert fit.spread <= fit.spreads[0] and np.isfinite(fit.spread)


def test_a_step_descends_the_root_of_the_spread():
    """Which a central difference knows, too."""
    import optax

    def observable(model):
        parameterization = model.parameterization
        exponent = parameterization.output_exponent - 2 * parameterization.lr_exponent
        return model.nu**exponent

    def root(a, b):
        return np.sqrt(relative_spread(jnp.array([8.0, 64.0]) ** (a - 2 * b)))

    options = {"observable": observable, "optimizer": optax.sgd(1e-3), "num_iterations": 1}
    fit = sx.fit_parameterization(MODEL, [8.0, 64.0], start=(0.4, 0.1), **options)
    h = 1e-6
    slope = [root(0.4 + h, 0.1) - root(0.4 - h, 0.1), root(0.4, 0.1 + h) - root(0.4, 0.1 - h)]
    move = -1e-3 * np.array(slope) / (2 * h)
    np.testing.assert_allclose(fit.path[1] - fit.path[0], move, rtol=1e-6)


def test_bad_trials_are_taken_back_by_halves_of_the_move_that_led_there():
    """Straight back towards the last good exponents, however many trials in a row are bad."""
    import optax

    def observable(model):
        exponent = model.parameterization.output_exponent
        return jnp.where(exponent < 0.35, model.nu ** (exponent - 0.5), jnp.inf)

    fit = sx.fit_parameterization(
        MODEL,
        [8.0, 64.0],
        start=(0.3, 0.1),
        observable=observable,
        optimizer=optax.sgd(2.0),
        num_iterations=8,
    )
    bad = np.isinf(fit.spreads)
    assert bad[1:3].all() and not bad[0] and not bad[3:].all()
    good = 0
    for k in range(1, 8):
        if bad[k]:
            half = (fit.path[k] + fit.path[good]) / 2
            np.testing.assert_allclose(fit.path[k + 1], half, rtol=1e-12)
        else:
            good = k


def test_a_second_search_of_the_same_kind_traces_nothing():
    traced = []

    def observable(model):
        traced.append(model)
        return model.nu**model.parameterization.output_exponent + 1.0

    for start in ((0.3, 0.3), (0.1, 0.2)):
        sx.fit_parameterization(
            MODEL, [8.0, 64.0], observable=observable, start=start, num_iterations=3
        )
        if start == (0.3, 0.3):
            first = len(traced)
    assert first > 0 and len(traced) == first
    default = sx.fit_parameterization(
        MODEL, [8.0, 64.0], observable=observable, num_iterations=3
    )  # from NTK parameterization
    assert default.path[0].tolist() == [0.0, 0.0] and len(traced) == first


def test_relative_spread():
    values = jnp.array([[1.0, 2.0], [3.0, 2.0]])
    np.testing.assert_allclose(relative_spread(values), 1 / 8)
    assert jnp.isinf(relative_spread(values.at[0, 0].set(jnp.inf)))
    assert jnp.isinf(relative_spread(0 * values))


def test_bad_requests():
    with pytest.raises(ValueError, match="`widths` must be at least two numbers, got"):
        sx.fit_parameterization(MODEL, [8.0])
    with pytest.raises(ValueError, match="`observable` must be 'strengths' or"):
        sx.fit_parameterization(MODEL, [8.0, 16.0], observable="loss")


@pytest.mark.slow
def test_a_start_that_diverges_is_refused():
    with pytest.raises(ValueError, match="`start` must be exponents for which no width diverges"):
        sx.fit_parameterization(MODEL, [8.0, 16.0], start=(0.5, 2.5), num_iterations=1)
