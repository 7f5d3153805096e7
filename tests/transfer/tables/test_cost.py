"""Costs and gains on curves that are known exactly."""

import numpy as np

from spectrax.transfer.tables.cost import Valley, cost_of
from spectrax.transfer.tables.noise import Noise
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Optimum

X = np.linspace(-3.0, 3.0, 61)
WIDTHS = (64.0, 128.0, 256.0, 512.0)


def costs(places, error=0.1, loss_errors=(0.02,) * 4, sigma=0.4, seeds=4):
    """Parabolas of the logarithm of the rate; losses fall by one from width to width."""
    curves, optima = [], []
    for k, (width, place) in enumerate(zip(WIDTHS, places, strict=True)):
        loss, count = (X - place) ** 2 - k, np.full(len(X), seeds)
        curves.append(Curve(width, X, loss, count, np.zeros((len(X), seeds)), True))
        optima.append(Optimum(place, error, 0.0, -k, loss_errors[k], 2.0, "inside", 0.1))
    return cost_of(curves, optima, Noise(np.array([9.0, 9.0, 9.0, sigma]), 10.0, True))


def test_costs_and_gains_are_those_of_every_width_but_the_widest():
    found = costs([0.9, 0.6, 0.3, 0.0], loss_errors=(0.12, 0.09, 0.05, 0.12))
    assert found.widths.tolist() == [64.0, 128.0, 256.0]
    np.testing.assert_allclose(found.loss, [0.81, 0.36, 0.09], rtol=1e-3)
    np.testing.assert_allclose(found.gain, [3.0, 2.0, 1.0])
    np.testing.assert_allclose(found.gain_stderr, [0.12 * np.sqrt(2), 0.15, 0.13])


def test_a_rate_that_is_the_optimum_of_the_widest_network_costs_nothing_whatever_its_noise():
    """Its cost is the difference of one loss and itself: only the optima's errors remain."""
    found = costs([0.3, 0.3, 0.3, 0.3])
    assert (found.loss == 0).all()
    moved = 2 * 0.1**2  # of two optima with errors of .1, on a parabola
    np.testing.assert_allclose(found.stderr, np.hypot(moved, 0.02), rtol=0.05)
    beside = costs([0.31, 0.3, 0.3, 0.3]).stderr[0]  # the scatter of another rate's four runs
    assert beside > 0.4 / np.sqrt(4)


def test_the_valley_passes_through_every_rate_but_one_right_beside_the_optimum():
    """A rate less than .3 of the spacing away says nothing that the optimum does not."""
    x, rest = np.arange(-3.0, 4.0), np.zeros((7, 1))
    curve = Curve(64.0, x, x**2 + 1, np.ones(7, int), rest, True)
    for place in (-0.35, -0.25, 0.25, 0.35):
        valley = Valley(curve, Optimum(place, 0.1, 0.0, 0.0, 0.02, 2.0, "inside", 1.0))
        assert valley.excess(place) == 0
        far = np.abs(x - place) > 0.5
        np.testing.assert_allclose(valley.excess(x[far]), curve.loss[far], rtol=1e-12)
        nearest = valley.excess(0.0)
        assert nearest == 1 if abs(place) > 0.3 else nearest < 0.8
