"""Gaps to the infinitely wide network: planted exponents; a table in its place is no limit."""

import numpy as np
import pytest

import spectrax as sx
from spectrax.transfer.gaps import limit_gaps

WIDTHS = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.0, 0.8), (1.0, 0.3), (0.5, 0.4)])
def test_planted_exponents_are_found(alpha, beta):
    """Parabolas whose depth and place approach those of the limit as powers of the width."""
    b = WIDTHS**-beta
    found = limit_gaps(
        WIDTHS, 2 ** (-3 + b), 2 + 1.5 * WIDTHS**-alpha, 2 + 0.3 * b**2, 2.0**-3, 2.0
    )
    exponents = [found.alpha, found.beta, found.gamma]
    np.testing.assert_allclose(exponents, [alpha, beta, 2 * beta], rtol=1e-6)
    np.testing.assert_allclose(found.lr_gap, b, rtol=1e-9)
    np.testing.assert_allclose(found.suboptimality, 0.3 * b**2, rtol=1e-8)
    assert found.fast == (beta > alpha / 2)


def test_a_rate_that_does_not_move_is_fast_and_costs_nothing():
    found = limit_gaps(WIDTHS, np.full(5, 0.1), 1 + 1 / WIDTHS, np.ones(5), 0.1, 1.0)
    assert found.beta == found.gamma == np.inf and found.fast


def test_a_power_drift_is_not_fast_transfer_on_a_table():
    """The widest network in the place of the limit makes any power drift look fast."""
    lrs = 2.0 ** np.arange(-11, 1)
    for drift in (-0.25, -0.5, -1.0):
        best = np.log2(0.2 * WIDTHS**drift)
        losses = (np.log2(lrs) - best[:, None]) ** 2 + 1 + 1 / WIDTHS[:, None]
        assert sx.transfer_gaps(WIDTHS, lrs, losses).verdict == "does not transfer"
