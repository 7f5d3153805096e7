"""Verdicts on tables whose drift is known: exact, noisy, and what they must not depend on."""

import sys
from pathlib import Path

import numpy as np
import pytest

import spectrax as sx
from spectrax.transfer.tables.answer import transfer_runs

sys.path.insert(0, str(Path(__file__).parents[3] / "experiments" / "benchmarks"))
import transfer_verdicts as bench

WIDTHS = np.array([64.0, 128.0, 256.0, 512.0])
LRS = 2.0 ** np.arange(-11.0, 0.0)


def table(drift, noise=0.0, seeds=1, seed=0, widths=WIDTHS):
    """Parabolas in log2 of the rate, with what width gains, (widths, rates, seeds)."""
    best = -4 + drift * np.log2(widths / 64)
    losses = (np.log2(LRS) - best[:, None]) ** 2 + 2 + 4 * (widths[:, None] / 64) ** -0.5
    rng = np.random.default_rng(seed)
    return losses[..., None] + noise * rng.normal(size=(*losses.shape, seeds))


@pytest.mark.parametrize("drift", [-1.0, -0.5, -0.25, 0.25])
def test_an_exact_power_drift_does_not_transfer(drift):
    found = sx.transfer_gaps(WIDTHS, LRS, table(drift))
    assert found.verdict == "does not transfer"
    assert found.drift.exponent == pytest.approx(drift, abs=1e-3)
    rate = found.recommend(4096)
    assert rate.low <= 2**-4 * 64**drift <= rate.high
    assert rate.lr == pytest.approx(2**-4 * 64**drift, rel=0.02)


def test_an_exactly_constant_best_rate_transfers():
    found = sx.transfer_gaps(WIDTHS, LRS, table(0.0))
    assert found.verdict == "transfers" and found.drift.stderr > 0
    assert found.recommend(4096).lr == pytest.approx(2**-4, rel=0.02)
    assert found.recommend(4096).lost < 0.01


def test_noise_alone_cannot_be_judged():
    rng = np.random.default_rng(3)
    for _ in range(10):
        found = sx.transfer_gaps(WIDTHS, LRS, 2 + 0.1 * rng.normal(size=(4, 11, 3)))
        assert found.verdict == "cannot judge" and found.reason and found.advice


def test_two_widths_suggest_and_do_not_decide():
    for drift in (0.0, -1.0):
        found = sx.transfer_gaps(WIDTHS[:2], LRS, table(drift)[:2])
        assert found.verdict == "cannot judge" and "width" in found.advice
        assert found.drift.exponent == pytest.approx(drift, abs=0.02)


def test_optima_at_the_end_are_bounds_and_say_where_to_look():
    for rates, word in ((slice(0, 6), "higher"), (slice(8, 11), "lower")):
        found = sx.transfer_gaps(WIDTHS, LRS[rates], table(0.0)[:, rates])
        assert found.verdict == "cannot judge" and found.at_end.all()
        assert f"Measure {word} rates" in found.advice


def test_the_unit_of_rates_and_losses_does_not_matter():
    losses = table(-0.5, noise=0.1, seeds=3)
    first = sx.transfer_gaps(WIDTHS, LRS, losses)
    second = sx.transfer_gaps(WIDTHS, 7.3 * LRS, 5.0 * losses + 11.0)
    assert first.verdict == second.verdict
    for name in ("exponent", "stderr", "low", "high"):
        one, other = getattr(first.drift, name), getattr(second.drift, name)
        assert other == pytest.approx(one, rel=1e-6)
    np.testing.assert_allclose(second.optimal_lr, 7.3 * first.optimal_lr, rtol=1e-9)


def test_the_order_of_runs_does_not_matter():
    losses = table(-0.5, noise=0.1, seeds=2)
    each = np.broadcast_arrays(WIDTHS[:, None, None], LRS[:, None], losses)
    runs = np.array([x.ravel() for x in each])
    mixed = runs[:, np.random.default_rng(0).permutation(runs.shape[1])]
    one, other = transfer_runs(*runs), transfer_runs(*mixed)
    assert one.verdict == other.verdict
    np.testing.assert_allclose(one.optimal_lr, other.optimal_lr, rtol=1e-12)
    assert one.drift.exponent == pytest.approx(other.drift.exponent, rel=1e-9)


@pytest.mark.parametrize("curve", ["parabola", "wall", "morse", "broken"])
def test_noisy_tables_are_rarely_judged_wrongly(curve):
    """A sample of the cells of `experiments/benchmarks/transfer_verdicts.py`."""
    cells = [
        bench.measure_cell(curve, drift, noise, 3, 4, 10)
        for drift in (0.0, -0.25, -1.0)
        for noise in (0.005, 0.05)
    ]
    assert np.mean([cell["wrong"] for cell in cells]) <= 0.05
    assert np.mean([cell["coverage"] for cell in cells]) >= 0.85
    assert np.mean([cell["coverage_at"] for cell in cells]) >= 0.85


def test_parabolas_are_judged_more_often_than_not():
    cells = [bench.measure_cell("parabola", drift, 0.02, 3, 4, 10) for drift in (0.0, -0.5)]
    assert np.mean([cell["cannot_judge"] for cell in cells]) < 0.5


def test_divergences_of_wide_networks_at_high_rates_leave_the_optima():
    losses = table(-0.5)
    cut = np.where(LRS[:, None] > 0.3, np.inf, losses)
    found = sx.transfer_gaps(WIDTHS, LRS, cut)
    assert found.verdict == "does not transfer"
    np.testing.assert_allclose(
        found.optimal_lr, sx.transfer_gaps(WIDTHS, LRS, losses).optimal_lr, rtol=0.02
    )


def test_bad_tables():
    losses = table(0.0)[..., 0]
    with pytest.raises(ValueError, match="`lrs` must be positive and strictly ascending"):
        sx.transfer_gaps(WIDTHS, LRS[::-1], losses)
    with pytest.raises(ValueError, match=r"`losses` must have shape \(4, 11\), got \(11, 4\)"):
        sx.transfer_gaps(WIDTHS, LRS, losses.T)
    holes = losses.copy()
    holes[2, 3] = np.nan
    with pytest.raises(ValueError, match="no holes .* got NaN at width 256 and learning rate"):
        sx.transfer_gaps(WIDTHS, LRS, holes)
    losses[1] = np.inf
    with pytest.raises(ValueError, match="only divergent trials at width 128"):
        sx.transfer_gaps(WIDTHS, LRS, losses)
    with pytest.raises(ValueError, match="`width` must be positive, got -1.0"):
        sx.transfer_gaps(WIDTHS, LRS, table(0.0)).recommend(-1.0)


def test_a_loss_beyond_every_measure_is_a_divergence():
    """Before its square overflows: the same answer as for an infinite one."""
    losses = table(-0.5, noise=0.05, seeds=2)
    found = []
    for value in (np.inf, -np.inf, 1.1e100, -1e200, 1.7e308):
        losses[:, -2:] = value
        answer = sx.transfer_gaps(WIDTHS, LRS, losses)
        found.append((answer.drift.exponent, answer.drift.stderr, *answer.optimal_lr))
    assert all(row == found[0] for row in found) and np.isfinite(found[0]).all()
    losses[:, -2:] = 0.9e100
    assert sx.transfer_gaps(WIDTHS, LRS, losses).drift.stderr > 0
