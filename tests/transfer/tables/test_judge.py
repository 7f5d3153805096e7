"""Verdicts on planted evidence: every rule at both sides of its limit."""

import numpy as np
import pytest

from spectrax.transfer.tables import judge
from spectrax.transfer.tables.cost import Cost
from spectrax.transfer.tables.drift import Drift
from spectrax.transfer.tables.noise import Noise
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Optimum

X = np.linspace(-3.0, 3.0, 121)
SURE = 1e9  # degrees of freedom: normal errors, 1.960 at 95 % and 2.576 at 99 %


def planted(rho, stderr, *, excess=X**2, gain=0.0, sigma=0.0, count=4, scale=1.0, errors=(0.1, 0)):
    """Widths 64 … 64 e^(count - 1), all with the optimum 0 of the valley `excess`."""
    widths = 64.0 * np.exp(np.arange(count))
    ones, none = np.ones(len(X), int), np.zeros((len(X), 1))
    curves = [Curve(width, X, excess, ones, none, True) for width in widths]
    optima = [Optimum(0.0, *errors, 0.0, 0.0, 2.0, "inside", 0.5)] * count
    covariance = np.diag([1e-6, stderr**2])
    low, high = rho - 1.96 * stderr, rho + 1.96 * stderr
    drift = Drift(rho, stderr, low, high, 0.0, 5.0, SURE, count, 0.0, scale, 0.0, covariance)
    others = np.zeros(count - 1)
    cost = Cost(widths[:-1], others, others, gain * 0.5 ** np.arange(count - 1), others)
    noise = Noise(np.append(np.full(count - 1, 9.0), sigma), SURE, True)  # of the widest: sigma
    return judge.Evidence(curves, optima, noise, drift, cost)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("rho", "stderr", "verdict"),
    [
        (0.0, 0.063, "transfers"),  # 95 % within .124
        (0.0, 0.065, "cannot judge"),  # .127
        (0.1, 0.012, "transfers"),
        (0.1, 0.014, "cannot judge"),  # within .127, surely not 0, and less than 1/8
        (0.13, 0.05, "does not transfer"),  # 99 % from .001
        (0.13, 0.051, "cannot judge"),  # from -.001
        (1.0, 0.38, "does not transfer"),
        (1.0, 0.4, "cannot judge"),
    ],
)
def test_an_interval_decides_where_it_is_small_or_excludes_zero(sign, rho, stderr, verdict):
    assert judge.judge(planted(sign * rho, stderr)).verdict == verdict


@pytest.mark.parametrize(
    ("stderr", "options", "verdict"),
    [
        # Three e-folds of width times .001 + 1.96 * .08, squared, is a cost of .2241.
        (0.08, {"gain": 2.25}, "transfers"),
        (0.08, {"gain": 2.23}, "cannot judge"),
        (0.08, {"sigma": 0.225}, "transfers"),
        (0.08, {"sigma": 0.223}, "cannot judge"),
        (0.097, {"gain": 9.0}, "cannot judge"),  # 99 % to .251
        (0.096, {"gain": 9.0}, "transfers"),  # to .248
    ],
)
def test_little_cost_decides_where_the_drift_is_surely_below_a_quarter(stderr, options, verdict):
    for rho in (0.001, -0.001):
        found = judge.judge(planted(rho, stderr, **options))
        assert found.verdict == verdict
    if verdict == "transfers":
        assert ("what width gains" in found.reason) == ("gain" in options)


@pytest.mark.parametrize(("rho", "cost"), [(0.1, 0.3), (-0.1, 3.0)])
def test_the_narrow_rate_lies_on_the_side_that_the_drift_comes_from(rho, cost):
    """A best rate that grows with width was lower before; ten times as steep on the right."""
    steep = np.where(X > 0, 10 * X, -X)
    assert judge._cost_bound(planted(rho, 1e-9, excess=steep)) == pytest.approx(cost, rel=0.02)


@pytest.mark.parametrize(
    ("options", "reason", "advice"),
    [
        ({"errors": (0.1, 0.09)}, "noise leaves open", "about 18 times as many seeds"),
        ({"errors": (0.1, 0.12)}, "too coarse", "in steps of 1.3"),
        ({"scale": 2.5}, "the optima scatter 2.5 times", "more widths"),
    ],
)
def test_what_cannot_be_judged_says_why_and_what_to_measure(options, reason, advice):
    """95 % from -3/8 to 3/8 are three times what matters, in variance nine, and twice that."""
    found = judge.judge(planted(0.0, 0.375 / 1.95997, **options))
    assert found.verdict == "cannot judge"
    assert reason in found.reason and advice in found.advice


def test_an_interval_that_is_short_enough_asks_for_twice_the_seeds():
    """95 % over less than a quarter: as short as an interval need be that decides."""
    for rho in (0.12, 0.13):
        found = judge.judge(planted(rho, 0.051))
        assert found.verdict == "cannot judge" and "about 2 times as many seeds" in found.advice


def test_a_drift_too_small_to_matter_is_no_noise():
    assert "perhaps too little to matter" in judge.judge(planted(0.12, 0.04)).reason


@pytest.mark.parametrize(
    ("rho", "stderr", "hint"),
    [
        (0.0, 0.05, "suggest that it transfers"),
        (0.3, 0.1, "suggest that it does not transfer"),
        (0.0, 0.1, "suggest nothing"),
    ],
)
def test_two_widths_say_what_they_suggest(rho, stderr, hint):
    found = judge.judge(planted(rho, stderr, count=2))
    assert found.verdict == "cannot judge" and found.reason.startswith("two widths cannot tell")
    assert hint in found.reason


@pytest.mark.parametrize(
    ("kind", "rho", "stderr", "against"),
    [
        ("low", 0.05, 0.001, True),
        ("low", 0.05, 0.05, False),  # within its errors
        ("low", -0.2, 0.001, False),
        ("high", -0.05, 0.001, True),
        ("high", -0.05, 0.05, False),
        ("high", 0.2, 0.001, False),
    ],
)
def test_a_bound_against_the_line_through_the_others(kind, rho, stderr, against):
    """The line is 0 at exp(5); the bound is 0 at the widest network, two e-folds from there."""
    seen = planted(rho, stderr, gain=9.0)
    seen.optima[-1] = seen.optima[-1]._replace(kind=kind)
    found = judge.judge(seen)
    assert ("do not expect it" in found.reason) == against
    if against:
        assert found.advice == f"Measure {kind}er rates at these widths."


def test_a_rate_that_is_no_optimum_at_the_widest_network_may_cost_anything():
    seen = planted(0.0, 0.01)
    seen.optima[-1] = seen.optima[-1]._replace(kind="flat")
    assert judge._cost_bound(seen) == np.inf
    seen.optima[-1], seen.optima[-2] = seen.optima[0], seen.optima[-1]
    assert judge._cost_bound(seen) < 0.01


@pytest.mark.parametrize(
    ("kinds", "low", "high"),
    [
        (("inside", "high"), 0.7424, np.inf),
        (("inside", "low"), -np.inf, 1.2576),
        (("high", "inside"), -np.inf, 1.2576),
        (("low", "inside"), 0.7424, np.inf),
        (("inside", "flat"), -np.inf, np.inf),
    ],
)
def test_what_a_bound_and_an_optimum_say_of_the_drift(kinds, low, high):
    """Best rates of 0 and 1 in logarithms, an e-fold of width apart; 99 % are 2.576 errors."""
    seen = planted(0.0, 0.1, count=2)
    for k, kind in enumerate(kinds):
        error = 0.1 if kind == "inside" else np.inf
        seen.optima[k] = seen.optima[k]._replace(kind=kind, x=float(k), noise=error)
    np.testing.assert_allclose(judge._pair_bounds(seen), (low, high), atol=1e-4)
