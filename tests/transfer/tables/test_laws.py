"""What errors, costs and bounds of a table must obey, broken by one wrong sign or bound."""

import numpy as np
import pytest
import scipy.stats

import spectrax as sx
from experiments.benchmarks.transfer_verdicts import CURVES, OCTAVE, make_table, measure_cell
from spectrax.transfer.tables import judge
from spectrax.transfer.tables.cost import Valley
from spectrax.transfer.tables.noise import Noise
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Optimum

WIDTHS = np.array([64.0, 128.0, 256.0, 512.0])
LRS = 2.0 ** np.arange(-10.0, 1.0)


def parabolas(best, depth=1.0, gain=4.0):
    """Exact parabolas in log2 of the rate about `best`, (widths, rates)."""
    fall = gain * (WIDTHS[:, None] / 64) ** -0.5
    return depth * (np.log2(LRS) - np.asarray(best)[:, None]) ** 2 + 2 + fall


def judged(best, noise=0.0, seeds=1, seed=0, **options):
    losses = parabolas(best, **options)[..., None]
    rng = np.random.default_rng(seed)
    return sx.transfer_gaps(WIDTHS, LRS, losses + noise * rng.normal(size=(4, 11, seeds)))


def test_the_rate_to_use_allows_for_what_lies_between_the_rates():
    """All grids lie alike about their optima, so that all optima are wrong by the same amount."""
    found = measure_cell("shoulder", -0.5, 0.02, 5, 6, 12, OCTAVE / 2, "shifted", seed=21)
    assert found["coverage_at"] >= 0.8


def test_optima_in_like_places_of_their_grids_have_like_errors():
    """Errors that all optima share are no drift; those of grids that lie differently are."""
    errors = []
    for drift in (-1.0, -0.6):
        table = make_table(np.random.default_rng(0), "morse", drift, 1e-5, 1, 4)
        errors.append(sx.transfer_gaps(*table[:3]).drift.stderr)
    assert errors[1] > 2 * errors[0]


@pytest.mark.parametrize("curve", ["wall", "morse", "hyperbola", "cliff"])
def test_curves_between_rates_are_no_drift(curve):
    """Without noise what is left are grids that lie differently about each optimum."""
    rng, inside = np.random.default_rng(1), []
    for drift in -rng.random(16):
        widths, lrs, losses, _ = make_table(rng, curve, drift, 1e-5, 1, 4)
        found = sx.transfer_gaps(widths, lrs, losses).drift
        inside.append(found.low <= drift <= found.high)
    assert np.mean(inside) >= 0.9 and CURVES[curve](0.0) == pytest.approx(0.0, abs=1e-12)


def test_optima_off_the_line_widen_the_interval():
    jitter = np.array([0.6, -0.9, 0.7, -0.4])
    found = judged(-5.0 + jitter).drift
    logs = np.log(WIDTHS)
    rest = np.log(2) * (jitter - np.polyval(np.polyfit(logs, jitter, 1), logs))
    truth = np.sqrt(np.sum(rest**2) / 2 / np.sum((logs - logs.mean()) ** 2))
    assert found.stderr == pytest.approx(truth, rel=0.02) and found.freedom == 2
    assert found.scale > 1 and found.residual == pytest.approx(np.sqrt(np.mean(rest**2)), rel=0.02)
    assert judged(-5.0 + jitter).verdict == "cannot judge"


def test_three_rates_know_an_optimum_to_a_part_of_their_spacing():
    lrs = 2.0 ** np.arange(-6.0, -3.0)
    losses = (np.log2(lrs) + 4.8) ** 2 + 1 + 1 / WIDTHS[:, None]
    found = sx.transfer_gaps(WIDTHS, lrs, losses)
    errors = np.sqrt([optimum.variance for optimum in found.optima])
    np.testing.assert_allclose(errors, np.log(2) / np.sqrt(12), rtol=0.01)
    assert (found.cost.stderr > 0.05).all()  # the optima may lie elsewhere, and noise is nothing


def test_divergence_between_two_rates_leaves_the_optimum_anywhere_between():
    """A curve that falls until it diverges: the middle, and the error of an even distribution."""
    losses = np.where(LRS > 2.0**-4.5, np.inf, -np.log2(LRS))
    found = sx.transfer_gaps(WIDTHS, LRS, np.tile(losses, (4, 1)) + 1 / WIDTHS[:, None])
    np.testing.assert_allclose(np.log2(found.optimal_lr), -4.5, atol=0.02)
    errors = np.sqrt([optimum.variance for optimum in found.optima])
    np.testing.assert_allclose(errors, np.log(2) / np.sqrt(12), rtol=0.02)


def test_an_optimum_or_a_divergence_before_it_whichever_comes_first():
    """A parabola whose minimum lies 0.4 of a step beyond the last rate, the next one diverges."""
    losses = np.where(LRS > 2.0**-4.5, np.inf, (np.log2(LRS) + 4.6) ** 2)
    found = sx.transfer_gaps(WIDTHS, LRS, np.tile(losses, (4, 1)) + 1 / WIDTHS[:, None])
    u = np.linspace(0.0, 1.0, 100_001)  # where divergence begins
    np.testing.assert_allclose(
        np.log2(found.optimal_lr), -5 + np.mean(np.minimum(u, 0.4)), atol=0.01
    )
    errors = np.log(2) * np.std(np.minimum(u, 0.4))
    np.testing.assert_allclose([np.sqrt(x.variance) for x in found.optima], errors, rtol=0.05)


def test_errors_of_optima_hold_what_the_shape_leaves_open():
    rng, z = np.random.default_rng(2), []
    for _ in range(10):
        widths, lrs, losses, first = make_table(rng, "morse", 0.0, 1e-4, 1, 4)
        found = sx.transfer_gaps(widths, lrs, losses)
        z.append((np.log(found.optimal_lr) - first) / np.sqrt([x.variance for x in found.optima]))
    assert 0.1 < np.sqrt(np.mean(np.square(z))) < 2


def test_costs_and_gains_scatter_as_their_errors_say():
    best, z_gain, z_cost = -5.0 - 0.5 * np.arange(4), [], []
    for seed in range(24):
        found = judged(best, noise=0.2, seeds=2, seed=seed).cost
        gain = 4 * ((WIDTHS[:-1] / 64) ** -0.5 - (512 / 64) ** -0.5)
        z_gain.append((found.gain - gain) / found.gain_stderr)
        z_cost.append(((found.loss - (best[:-1] - best[-1]) ** 2) / found.stderr)[0])
    assert 0.75 < np.std(z_gain) < 1.25
    assert 0.3 < np.sqrt(np.mean(np.square(z_cost))) < 1.3
    exact = judged([-5.0, -5.0, -5.0, -5.0], noise=0.2, seeds=2).cost
    assert (exact.stderr > 0.02).all()


def test_keeping_the_narrow_rate_loses_what_the_widest_network_says():
    found = judged([-3.0, -3.5, -4.0, -4.5])
    assert found.recommend(512).lost == pytest.approx(found.cost.loss[0], abs=0.02)
    asymmetric = np.where(np.log2(LRS) > -4.5, 3.0, 1.0)  # steeper above the optimum
    losses = parabolas([-3.0, -3.5, -4.0, -4.5]) * 1.0
    losses[-1] = 2 + asymmetric * (np.log2(LRS) + 4.5) ** 2
    assert sx.transfer_gaps(WIDTHS, LRS, losses).recommend(512).lost == pytest.approx(
        6.75, rel=0.15
    )


def test_little_cost_beside_the_gain_transfers():
    """A drift that may be more than 1/8, but is less than 1/4: what it costs decides."""
    best = -5.0 + 0.123 * np.arange(4)
    for gain, verdict in ((8.0, "transfers"), (1.0, "cannot judge"), (1e-6, "cannot judge")):
        found = judged(best, 0.05, gain=gain)
        assert 1 / 8 < found.drift.high < 1 / 4 and found.verdict == verdict
    assert judged(best + 0.13 * np.arange(4), 0.05, gain=8.0).verdict == "does not transfer"


def test_little_cost_excuses_no_drift_of_a_quarter():
    """Shallow valleys cost nothing within these widths; that says nothing on wider ones."""
    found = [judged([-5.0] * 4, 0.2, 1, seed, depth=0.1, gain=20.0) for seed in range(8)]
    open_ = [x for x in found if max(map(abs, x.drift.interval(0.99))) > 1 / 4]
    assert len(open_) >= 3 and all(x.verdict != "transfers" for x in open_)


def test_noise_rarely_makes_a_drift():
    verdicts = [judged([-5.0] * 4, 0.5, 1, seed, depth=0.5).verdict for seed in range(24)]
    assert verdicts.count("does not transfer") <= 1
    assert verdicts.count("cannot judge") >= 3


def test_a_bound_where_the_others_do_not_expect_it_cannot_be_judged():
    losses = parabolas([-4.0, -4.0, -4.0, -12.0])
    found = sx.transfer_gaps(WIDTHS, LRS, losses)
    assert found.verdict == "cannot judge" and "do not expect it" in found.reason


def test_bounds_that_allow_no_drift_at_all_decide_nothing():
    """Two optima known, two at least as high as the highest rate: a drift, but how large?"""
    found = judged([-2.0, -0.6, 0.8, 2.0])
    assert found.at_end.tolist() == [False, False, True, True]
    assert found.verdict == "does not transfer" and "at least" in found.reason
    cells = [line.split()[2:4] for line in str(found).splitlines()[1:5]]
    assert [row[1] for row in cells[:2]] == ["%", "%"]  # errors of optima, and words for bounds
    assert cells[2:] == [["or", "more"]] * 2
    noisy = judged([-0.4, -0.2, 0.8, 2.0], noise=0.6, depth=0.3)
    assert noisy.at_end.any() and noisy.verdict == "cannot judge"


def test_losses_that_do_not_fall_have_no_limit():
    flat = judged([-5.0] * 4, noise=0.05, gain=1e-3).measures
    assert flat.asymptotic_loss is None and "falling power law" in flat.reason
    falling = judged([-5.0] * 4).measures
    assert falling.asymptotic_loss == pytest.approx(2.0, abs=0.05)
    assert falling.fit_error < 1e-6 and falling.extrapolation_loss < 1e-3


def test_the_interval_of_a_rate_is_students():
    """Its logarithm extends as many errors as 95 % of Student's distribution need."""
    found = judged(-5.0 - 0.5 * np.arange(4), noise=0.05, seeds=3)
    rate, (_, error) = found.recommend(4096), found.drift.at(4096)
    reach = scipy.stats.t.ppf(0.975, found.drift.freedom) * error
    np.testing.assert_allclose(np.log([rate.high / rate.lr, rate.lr / rate.low]), reach, rtol=1e-6)


def seen(*optima, freedom=4.0):
    """Evidence of widths 64, 128, …: optima (kind, x, error)."""
    curves, found = [], []
    for k, (kind, x, error) in enumerate(optima):
        rates = np.linspace(-3.0, 0.0, 4)
        ones = np.ones(4, int)
        curves.append(Curve(WIDTHS[k], rates, (rates - x) ** 2, ones, np.zeros((4, 1)), True))
        found.append(Optimum(x, error, 0.0, 0.0, 0.0, 2.0, kind, 1.0))
    noise = Noise(np.zeros(len(optima)), freedom, True)
    return judge.Evidence(curves, found, noise, None, None)


def test_bounds_between_two_widths_allow_for_the_error_of_the_optimum():
    """An optimum at -1 +- .1 and one beyond 0, an octave of width apart."""
    low, high = judge._pair_bounds(seen(("inside", -1.0, 0.1), ("high", 0.0, np.inf)))
    reach = scipy.stats.t.ppf(0.995, 4.0) * 0.1
    assert low == pytest.approx((1 - reach) / np.log(2), rel=1e-6) and high == np.inf


@pytest.mark.parametrize(
    ("distance", "verdict"), [(0.05, "cannot judge"), (0.12, "does not transfer")]
)
def test_bounds_decide_only_on_a_drift_that_matters(distance, verdict):
    """The drift is at least distance / log 2, .07 or .17; one of 1/8 matters."""
    beyond = ("high", 0.0, np.inf)
    assert judge._bounds(seen(("inside", -distance, 0.0), beyond)).verdict == verdict


def test_a_rate_beside_the_optimum_is_replaced_by_it():
    """Noise lifts the loss of the nearest rate by 0.3: that is no wall beside the optimum."""
    x = np.arange(-3.0, 4.0)
    loss = np.where(x == 0, 0.3, x**2)
    curve = Curve(64.0, x, loss, np.ones(7, int), np.zeros((7, 1)), True)
    valley = Valley(curve, Optimum(0.1, 0.1, 0.0, 0.0, 0.0, 2.0, "inside", 1.0))
    assert valley.excess(0.1) == 0.0 and valley.excess(0.0) < 0.05
    assert valley.excess(1.0) == pytest.approx(1.0)
