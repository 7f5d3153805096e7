"""The line through optima that are planted."""

import numpy as np

from spectrax.transfer.tables.drift import drift_of
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


def test_fewer_than_two_optima_leave_the_drift_open():
    for kinds, level in ((("inside", "high"), 0.5), (("high", "high"), 1.0)):
        found = drift_of(*planted((0.5, 1.5), kinds), 10.0)
        assert (found.exponent, found.stderr, found.low, found.high) == (0, np.inf, -np.inf, np.inf)
        assert found.count == kinds.count("inside") and found.level == level
        assert found.scale == 1.0  # they scatter as their errors say, for all that is known
