"""The line through optima that are planted."""

import numpy as np
import pytest

from spectrax.transfer.tables.drift import _phases, drift_of, fit_line
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Minima, Optimum

X = np.linspace(-3.0, 3.0, 13)


def planted(places, kinds, models=1):
    """Curves, optima, and minima; of several models all but the first are impossible."""
    curves, optima, minima = [], [], []
    for k, (place, kind) in enumerate(zip(places, kinds, strict=True)):
        width, ones = 64.0 * np.exp(k), np.ones(len(X), int)
        curves.append(Curve(width, X, (X - place) ** 2, ones, np.zeros((len(X), 1)), True))
        error = 0.1 if kind == "inside" else np.inf
        optima.append(Optimum(place, error, 0.01, 0.0, 0.0, 2.0, kind, 0.5))
        first = np.arange(models) == 0
        no = np.zeros(models)
        minima.append(
            Minima(
                np.where(first, place, 7.0),
                np.where(first, 0.01, np.inf),
                no,
                no,
                np.where(first, 1.0, np.inf),
                np.where(first, kind, ""),
                *(no, no, no),
                first,
            )
        )
    return curves, minima, optima


def test_models_that_are_impossible_say_nothing():
    places, kinds = (0.0, 0.5, 1.0, 1.5), ["inside"] * 4
    alone, beside = (drift_of(*planted(places, kinds, n), 1e9) for n in (1, 3))
    np.testing.assert_allclose(alone.exponent, 0.5)
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one, other)


def line(x, p=(1.0,), variance=0.01, own=0.01, together=0.0):
    """At four widths, an e-fold apart; normal errors."""
    logs, ones = np.arange(4.0), np.ones(4)
    x = np.asarray(x).reshape(4, -1)
    return fit_line(logs, x, np.asarray(p), variance * ones, own * ones, 1e9, together)


def test_errors_of_a_line_are_those_of_least_squares():
    """Of five in the sum of squared distances; models that disagree add their variance."""
    found = line([0.0, 0.5, 1.0, 1.5], together=0.3)
    np.testing.assert_allclose(found.covariance, np.diag([0.01 / 4 + 0.3, 0.01 / 5]), atol=1e-15)
    assert found.exponent == pytest.approx(0.5) and found.level == pytest.approx(0.75)
    two = line(np.outer(np.arange(4.0), [0.5, 0.9]), p=(0.75, 0.25))
    assert two.exponent == pytest.approx(0.6)
    expected = 0.01 / 5 + 0.75 * 0.25 * 0.4**2
    assert two.stderr**2 == pytest.approx(expected)


def test_an_error_that_is_small_by_chance_does_not_rule():
    """Half of each weight is that of all widths: at most as if its variance were half the mean."""
    own = np.array([1e-12, 1.0, 1.0, 1.0])
    w = 1 / (own + own.mean())
    logs, x = np.arange(4.0), np.array([1.0, 0.0, 1.0, 1.0])
    found = fit_line(logs, x[:, None], np.ones(1), own, own, 1e9)
    slope, level = np.polyfit(logs - w @ logs / w.sum(), x, 1, w=np.sqrt(w))
    assert (found.exponent, found.level) == pytest.approx((slope, level))


def test_places_between_rates_are_alike_or_even():
    """Places of a uniform distribution over a spacing have a variance of 1/12."""
    for places, expected in (((0.1,) * 4, 0.0), ((-0.375, -0.125, 0.125, 0.375), 15 / 16)):
        curves, _, optima = planted([0.5 * place for place in places], ["inside"] * 4)
        found = _phases(curves, optima, np.arange(4))
        assert found == pytest.approx(expected)


def test_fewer_than_two_optima_leave_the_drift_open():
    for kinds, level in ((("inside", "high"), 0.5), (("high", "high"), 1.0)):
        found = drift_of(*planted((0.5, 1.5), kinds), 10.0)
        assert (found.exponent, found.stderr, found.low, found.high) == (0, np.inf, -np.inf, np.inf)
        assert found.count == kinds.count("inside") and found.level == level
        assert found.scale == 1.0  # they scatter as their errors say, for all that is known
