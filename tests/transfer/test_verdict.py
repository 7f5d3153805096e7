"""The verdict of theory: planted rates and losses, with the infinitely wide network known."""

import numpy as np
import pytest

from spectrax.transfer.gaps import limit_gaps
from spectrax.transfer.verdict import theory_verdict

WIDTHS = np.array([1.0, 2.0, 4.0, 8.0])
FAR = np.array([8.0, 16.0, 32.0, 64.0])


def judged(rate, limit: float, widths=WIDTHS, optimum=lambda n: 1 + 1 / n):
    """Parabolas in log2 of the rate around `rate(n)`, on top of `optimum(n)`."""

    def losses(n, at):
        return optimum(n)[:, None] + (np.log2(rate(at)) - np.log2(rate(n))[:, None]) ** 2

    cost = optimum(np.inf) + np.log2(rate(FAR) / limit) ** 2
    gaps = limit_gaps(FAR, rate(FAR), optimum(FAR), cost, limit, optimum(np.inf))
    return theory_verdict(widths, rate(widths), losses(widths, widths), gaps, limit)


@pytest.mark.parametrize("drift", [-1.0, -0.5, -0.25, 0.25, 0.5])
def test_a_power_of_the_width_does_not_transfer(drift):
    found = judged(lambda n: 0.1 * n**drift, 0.1 * 1e8**drift)
    assert found.verdict == "does not transfer"
    assert found.drift.exponent == pytest.approx(drift, rel=1e-6)
    assert f"(drift {drift:.3f})" in found.reason


def test_a_rate_that_settles_fast_transfers():
    found = judged(lambda n: 0.1 * 2 ** (0.2 / n), 0.1)
    assert found.verdict == "transfers"
    assert -0.1 < found.drift.exponent < 0
    assert "settle faster" in found.reason and "beta = 1.00 > alpha/2 = 0.50" in found.reason
    assert f"changes by a factor of {2 ** (0.2 / 8 - 0.2):.3g} (" in found.reason
    assert f"to infinity by {2 ** (-0.2 / 8):.3g} more" in found.reason


def test_a_rate_that_settles_slower_than_the_loss_is_not_judged():
    """Over these widths it hardly moves, but beta = .3 < alpha/2 = .5: it may matter later."""
    found = judged(lambda n: 0.1 * 2 ** (0.3 * n**-0.3), 0.1)
    assert abs(found.drift.exponent) < 1 / 8
    assert found.verdict == "cannot judge"
    assert "do not settle faster" in found.reason and "<= alpha/2" in found.reason


@pytest.mark.parametrize(("drift", "verdict"), [(0.12, "transfers"), (0.13, "does not transfer")])
def test_an_eighth_is_what_matters(drift, verdict):
    """The drift of these widths decides; the limit is reached fast in both."""
    assert judged(lambda n: np.minimum(n, 8.0) ** drift, 8.0**drift).verdict == verdict


def test_two_widths_cannot_be_judged():
    for drift in (0.0, 1.0):
        found = judged(lambda n, p=drift: 0.1 * n**p, 0.1 * 1e8**drift, widths=WIDTHS[:2])
        assert found.verdict == "cannot judge" and found.reason.startswith("two widths")


def test_cost_is_that_of_the_widest_network_beside_what_width_gains():
    found = judged(lambda n: 0.1 * np.sqrt(n), 1e3)
    np.testing.assert_allclose(found.cost, (0.5 * np.log2(WIDTHS[:-1] / 8)) ** 2, rtol=1e-9)
    np.testing.assert_allclose(found.gain, 1 / WIDTHS[:-1] - 1 / 8, rtol=1e-9)


def test_the_error_of_the_drift_is_how_much_the_optima_bend():
    straight = judged(lambda n: 0.1 * n**0.5, 1e3)
    bent = judged(lambda n: 0.1 * n**0.5 * 2 ** (0.3 / n), 1e3)
    assert straight.drift.stderr < 1e-6 < 0.01 < bent.drift.stderr < 0.1
