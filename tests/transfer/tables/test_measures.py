"""Three measures of transfer on tables whose answers have closed forms."""

import numpy as np
import pytest

import spectrax as sx

WIDTHS = np.array([64.0, 128.0, 256.0, 512.0])
X = np.arange(-12.0, 0.01, 0.5)  # log2 of the rates


def measures(best, loss, widths=WIDTHS, x=X):
    """Of parabolas in log2 of the rate: best rates 2**best, losses there."""
    table = (x - np.asarray(best)[:, None]) ** 2 + np.asarray(loss)[:, None]
    return sx.transfer_gaps(widths, 2.0**x, table).measures


def test_an_exact_law_fits_and_extrapolates_without_error():
    found = measures(-4 - 0.5 * np.arange(4), 1 + 8 / WIDTHS)
    assert found.fit_error < 0.01 and found.extrapolation_loss < 1e-3
    assert found.asymptotic_loss == pytest.approx(1.0, abs=0.003)
    assert found.reason == ""


@pytest.mark.parametrize("sign", [-1, 1])
def test_extrapolation_costs_the_square_of_what_the_law_misses(sign):
    """The narrower optima lie on a line which the widest one leaves by 3/4."""
    best = np.array([-5.0, -5.5, -6.0, -6.5 + 0.75 * sign])
    assert measures(best, 1 + 8 / WIDTHS).extrapolation_loss == pytest.approx(0.75**2, rel=0.05)


def test_fit_error_is_the_root_mean_square_of_what_is_left():
    """Residuals d (1, -3, 3, -1) are orthogonal to constants and to slopes: all errors equal."""
    bend = 0.1 * np.array([1.0, -3.0, 3.0, -1.0])
    found = measures(-6 - 0.5 * np.arange(4) + bend, 1 + 8 / WIDTHS)
    assert found.fit_error == pytest.approx(np.log(2) * np.sqrt(np.mean(bend**2)), rel=0.1)


@pytest.mark.parametrize(("limit", "alpha"), [(0.5, 1.0), (2.0, 0.5), (0.0, 2.0)])
def test_the_limit_of_a_power_law_is_found(limit, alpha):
    found = measures(-6 - 0.5 * np.arange(4), limit + 3 * (WIDTHS / 64) ** -alpha)
    assert found.asymptotic_loss == pytest.approx(limit, abs=0.03)


def test_a_penalty_is_the_difference_of_two_limits():
    one, other = (measures(np.full(4, -6.25), c + 64 / WIDTHS) for c in (0.5, 0.6))
    assert other.asymptotic_loss - one.asymptotic_loss == pytest.approx(0.1, abs=0.01)


def test_what_a_table_does_not_support_is_none_and_said():
    three = measures(-4 - 0.5 * np.arange(3), 1 + 8 / WIDTHS[:3], WIDTHS[:3])
    assert three.fit_error is not None
    assert three.extrapolation_loss is None and three.asymptotic_loss is None
    assert "four optima" in three.reason
    outside = measures([-6.0, -6.5, -13.0, -14.0], 1 + 8 / WIDTHS)
    assert outside[:3] == (None, None, None) and "three optima" in outside.reason
    rising = measures(-4 - 0.5 * np.arange(4), 1 + WIDTHS / 512)
    assert rising.asymptotic_loss is None and "no falling power law" in rising.reason
    assert rising.extrapolation_loss < 1e-3
