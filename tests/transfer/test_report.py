"""The report on one network: what it concludes of known numbers, and theory itself."""

from types import SimpleNamespace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from planted_transfer import LIMIT, RATES, WORSE, optimum, planted

import spectrax as sx
from spectrax.transfer import report
from spectrax.transfer.stability import with_eta

WIDTHS = np.array([1.0, 2.0, 4.0])


def test_each_number_is_that_of_its_width():
    found = planted(at=16.0)
    for name, rate in RATES.items():
        table = found.tables[name]
        np.testing.assert_allclose(table.optimal_lr, rate(WIDTHS), rtol=1e-12)
        np.testing.assert_allclose(table.loss, optimum(WIDTHS), rtol=1e-12)
        np.testing.assert_allclose(table.max_stable_lr, 0.9 * rate(WIDTHS))
        assert table.escape_step.tolist() == [np.inf, 2.5, 2.5]
        assert table.escaped.tolist() == [False, True, True]
        assert table.sharpness[:, 0].tolist() == [10.0, 11.0, 12.0]
        curve = optimum(WIDTHS)[:, None] + np.log2(found.lrs / rate(WIDTHS)[:, None]) ** 2
        np.testing.assert_allclose(found.losses[name], curve, rtol=1e-12)
        assert found.recommended[name] == pytest.approx((16.0, rate(16.0)))


def test_gaps_are_those_to_infinity_at_widths_where_powers_hold():
    for name, rate in RATES.items():
        gaps, far = planted().gaps[name], np.array(report.ASYMPTOTIC)
        np.testing.assert_array_equal(gaps.widths, far)
        np.testing.assert_allclose(gaps.loss_gap, WORSE / far, rtol=1e-6)
        shift = np.abs(np.log2(rate(far) / rate(np.inf)))
        np.testing.assert_allclose(gaps.lr_gap, shift, rtol=1e-6)
        np.testing.assert_allclose(gaps.suboptimality, shift**2, rtol=1e-5)
        assert (gaps.alpha, gaps.beta, gaps.gamma) == pytest.approx((1.0, 1.0, 2.0), rel=1e-4)
        assert gaps.fast


def test_verdicts_and_costs_are_those_of_the_widths_asked_for():
    found = planted().verdicts
    assert found["mup"].verdict == "transfers"
    assert found["ntk"].verdict == "does not transfer"
    shift = np.log2(RATES["ntk"](WIDTHS[:-1]) / RATES["ntk"](4.0))
    np.testing.assert_allclose(found["ntk"].cost, shift**2, rtol=1e-9)
    np.testing.assert_allclose(found["ntk"].gain, optimum(WIDTHS[:-1]) - LIMIT - WORSE / 4)


def stand_in(function, models, *args):
    """What theory says of networks whose loss is a parabola in the logarithm of the rate."""
    n = np.asarray(models.nu)
    rich = np.asarray(models.parameterization.output_exponent) == 0.5
    best = np.where(rich, RATES["mup"](n), RATES["ntk"](n))
    if function is report._spectra:
        escaped = n > 1.0
        sharpness = 10.0 + np.arange(4) + n[:, None]
        return np.where(escaped, n, np.inf), 4.0 + n, escaped, sharpness
    if function == "losses":
        return optimum(n)[:, None] + np.log2(args[0] / best[:, None]) ** 2
    return {sx.max_stable_lr: 0.9, sx.optimal_lr: 1.0}[function] * best


def test_numbers_of_the_whole_report_are_those_of_their_widths(monkeypatch):
    """Whatever the order of the widths; curves reach from below all optima to beyond all edges."""
    monkeypatch.setattr(report, "_over", stand_in)
    monkeypatch.setattr(report, "_losses_over", lambda *x: stand_in("losses", *x))
    monkeypatch.setattr(report, "fit_parameterization", lambda *x, **more: planted().fit)
    model = sx.DeepLinear(1, 4, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
    stages = []
    found = sx.transfer_report(model, [4.0, 1.0, 2.0], progress=stages.append, at=16.0)
    assert stages == list(report.STAGES)
    np.testing.assert_array_equal(found.widths, WIDTHS)
    for name, rate in RATES.items():
        table = found.tables[name]
        np.testing.assert_array_equal(table.escape_step, [np.inf, 2.0, 4.0])
        np.testing.assert_array_equal(table.top_outlier, 4.0 + WIDTHS)
        np.testing.assert_array_equal(table.escaped, [False, True, True])
        np.testing.assert_array_equal(table.sharpness, 10.0 + np.arange(4) + WIDTHS[:, None])
        np.testing.assert_allclose(table.max_stable_lr, 0.9 * rate(WIDTHS))
        np.testing.assert_allclose(table.optimal_lr, rate(WIDTHS))
        np.testing.assert_allclose(table.loss, optimum(WIDTHS))
        curve = optimum(WIDTHS)[:, None] + np.log2(found.lrs / rate(WIDTHS)[:, None]) ** 2
        np.testing.assert_allclose(found.losses[name], curve, rtol=1e-12)
        assert found.recommended[name] == pytest.approx((16.0, rate(16.0)))
    best = np.array([rate(WIDTHS) for rate in RATES.values()])
    ends = best.min() / 4, 1.2 * 0.9 * best.max()
    np.testing.assert_allclose(found.lrs[[0, -1]], ends, rtol=1e-12)
    assert found.verdicts["mup"].verdict == "transfers"
    assert found.verdicts["ntk"].verdict == "does not transfer"


def test_a_loss_is_that_of_its_network_at_its_rate(monkeypatch):
    def solve(model, throw):
        assert not throw
        return SimpleNamespace(test_loss=model.nu * model.eta ** jnp.array([3.0, 2.0]))

    monkeypatch.setattr(report, "solve", solve)
    model = sx.DeepLinear(1, 2, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
    models = report._at_widths(model, jnp.asarray(WIDTHS), sx.mup)
    rates = np.array([0.1, 0.2, 0.3, 0.4])
    losses = report._losses_over.__wrapped__(models, rates)  # nothing compiled is kept
    np.testing.assert_allclose(losses, WIDTHS[:, None] * rates**2)


def test_spectra_of_the_report_are_those_of_the_last_matrix(monkeypatch):
    """Its outlier at the last step, and its escape."""

    def path(matrix):
        places = np.arange(2.0)[:, None] + 10 * matrix
        return SimpleNamespace(location=places, escaped=places == 21)

    solution = SimpleNamespace(weights=lambda layer: layer % 3)
    monkeypatch.setattr(report, "solve", lambda model, throw: solution)
    monkeypatch.setattr(report, "outlier_path", path)
    monkeypatch.setattr(report, "ntk_path", lambda solution, kernel: kernel)
    monkeypatch.setattr(report, "escape_time", lambda solution, layer: layer % 3)
    model = sx.DeepLinear(3, 2, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
    expected = (2, 21.0, True, model.governing_kernel)
    assert report._spectra(model, 0.1) == expected


@pytest.fixture(scope="module")
def real():
    """Theory of one hidden layer; most of the time is compilation."""
    model = sx.DeepLinear(1, 4, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
    stages = []
    found = sx.transfer_report(model, [4.0, 1.0, 2.0], progress=stages.append, at=16.0)
    return model, found, stages


@pytest.mark.slow
def test_theory_transfers_in_mup_and_not_in_ntk_parameterization(real):
    model, found, stages = real
    assert stages == list(report.STAGES)
    np.testing.assert_array_equal(found.widths, WIDTHS)
    assert found.verdicts["mup"].verdict == "transfers"
    assert found.verdicts["ntk"].verdict == "does not transfer"
    assert abs(found.verdicts["mup"].drift.exponent) < 0.07 < 0.2
    assert found.verdicts["ntk"].drift.exponent > 0.2
    exponents = found.fit.parameterization
    np.testing.assert_allclose(
        [exponents.output_exponent, exponents.lr_exponent], [0.5, 0.0], atol=0.03
    )
    for gaps in found.gaps.values():  # everything differs from its limit by order 1/width
        np.testing.assert_allclose([gaps.alpha, gaps.beta, gaps.gamma], [1, 1, 2], atol=0.2)


@eqx.filter_jit
def alone(model):
    """The numbers of one network: of the spectrum, the rates, and the loss at the best one."""
    solution = sx.solve(model, throw=False)
    outlier = sx.outliers(sx.spikes(solution, 0, 4), 1)
    best = sx.optimal_lr(model)
    loss = sx.solve(with_eta(model, best), throw=False).test_loss[-1]
    spectrum = sx.escape_time(solution, 0), outlier.location[0]
    return *spectrum, sx.max_stable_lr(model), best, loss, outlier.escaped[0]


@pytest.mark.slow
def test_every_number_of_the_report_is_that_of_a_network_alone(real):
    _, found, _ = real
    settings = dict(alpha=4.0, eta=0.1, gamma0=4.0)
    for name, exponents in {"mup": (0.5, 0.0), "ntk": (0.0, 0.0)}.items():
        exponents = sx.Parameterization(*(jnp.asarray(x, float) for x in exponents))
        table = found.tables[name]
        for k, nu in enumerate(WIDTHS):
            *numbers, escaped = alone(
                sx.DeepLinear(1, 4, nu=nu, parameterization=exponents, **settings)
            )
            row = (table.escape_step, table.top_outlier, table.max_stable_lr)
            row = [x[k] for x in (*row, table.optimal_lr, table.loss)]
            np.testing.assert_allclose(row, numbers, rtol=1e-7)
            assert bool(table.escaped[k]) == bool(escaped)
        width, rate = found.recommended[name]
        wide = alone(sx.DeepLinear(1, 4, nu=16.0, parameterization=exponents, **settings))
        assert width == 16.0 and rate == pytest.approx(float(wide[3]), rel=1e-7)


def test_bad_requests():
    model = sx.DeepLinear(1, 4, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
    with pytest.raises(ValueError, match="`widths` must be at least two numbers, got \\[1.0\\]"):
        sx.transfer_report(model, [1.0])
    with pytest.raises(ValueError, match="`widths` must be positive, got -2.0"):
        sx.transfer_report(model, jnp.array([1.0, -2.0]))
    with pytest.raises(ValueError, match="`at` must be positive, got 0.0"):
        sx.transfer_report(model, [1.0, 2.0], at=0.0)
