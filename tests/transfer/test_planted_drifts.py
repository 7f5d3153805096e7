"""Verdicts on tables whose drift is known."""

import numpy as np
import pytest

import spectrax as sx
from experiments.benchmarks.transfer_verdicts import measure_cell

WIDTHS = np.array([64.0, 128.0, 256.0, 512.0])
LRS = 2.0 ** np.arange(-12.0, 0.0)


def table(drift, widths=WIDTHS):
    best = -5.3 + drift * np.log2(widths[:, None] / 64)
    return 0.3 * (np.log2(LRS) - best) ** 2 + 2 + 40 / widths[:, None]


@pytest.mark.parametrize("drift", [0.0, -0.25, -0.5, -1.0])
def test_exact_power_drifts_are_found_and_extrapolated(drift):
    found = sx.transfer_gaps(WIDTHS, LRS, table(drift))
    assert found.verdict == ("does not transfer" if drift else "transfers")
    assert abs(found.drift.exponent - drift) < 1e-6 and 0 < found.drift.stderr < 0.02
    rate = found.recommend(4096)
    truth = 2 ** (-5.3 + drift * 6)
    np.testing.assert_allclose(rate.lr, truth, rtol=1e-5)
    assert rate.low < truth < rate.high


def test_cost_is_what_the_narrow_optimum_costs_on_the_widest():
    found = sx.transfer_gaps(WIDTHS, LRS, table(-0.5))
    octaves = 0.5 * np.array([3.0, 2.0, 1.0])
    # read between rates an octave apart by monotone cubics
    np.testing.assert_allclose(found.cost.loss, 0.3 * octaves**2, atol=0.02)
    np.testing.assert_allclose(found.cost.gain, 40 / WIDTHS[:-1] - 40 / 512, rtol=1e-6)


def test_noise_alone_and_two_widths_cannot_be_judged():
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(20):
        found = sx.transfer_gaps(WIDTHS, LRS, 2 + rng.normal(size=(4, 12, 3)))
        assert found.reason and found.advice
        verdicts.append(found.verdict)
    assert verdicts.count("cannot judge") >= 19
    two = sx.transfer_gaps(WIDTHS[:2], LRS, table(-1.0)[:2])
    assert two.verdict == "cannot judge" and "suggest that it does not" in two.reason


def test_optima_at_an_end_are_bounds():
    all_beyond = sx.transfer_gaps(WIDTHS, LRS[-4:], table(-0.5)[:, -4:])
    assert all_beyond.verdict == "cannot judge" and "lowest rate tried" in all_beyond.reason
    assert all_beyond.at_end.all() and "lower rates" in all_beyond.advice
    losses = table(-2.0)  # two optima inside, two that lie far below the lowest rate
    some = sx.transfer_gaps(WIDTHS, LRS[4:], losses[:, 4:])
    assert some.at_end.any() and some.verdict == "does not transfer"


@pytest.mark.parametrize(
    "cell",
    [
        ("parabola", 0.0, 0.02, 3, 4),
        ("parabola", -0.25, 0.05, 3, 4),
        ("wall", 0.0, 0.05, 1, 4),
        ("broken", -0.5, 0.02, 1, 3),
        ("morse", -0.25, 0.02, 3, 4),
        ("cliff", 0.0, 0.02, 3, 6),
    ],
)
def test_verdicts_are_not_wrong_and_intervals_cover(cell):
    found = measure_cell(*cell, 25)
    assert found["wrong"] <= 0.04
    assert min(found["coverage"], found["coverage_at"]) >= 0.88


def test_rates_of_their_own_for_each_width_and_any_order():
    rng, runs = np.random.default_rng(1), []
    for width, row in zip(WIDTHS, table(-0.5), strict=True):
        low = int(np.argmin(row)) - 3
        runs += [(width, LRS[k], row[k]) for k in range(low, low + 7)]
    runs = np.array(runs)[rng.permutation(len(runs))]
    found = sx.transfer_runs(*runs.T)
    assert found.verdict == "does not transfer" and abs(found.drift.exponent + 0.5) < 1e-6
