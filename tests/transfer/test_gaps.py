"""Gaps of learning-rate transfer: planted exponents, bad tables."""

import numpy as np
import pytest

import spectrax as sx

WIDTHS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 4096.0])
LRS = 2.0 ** np.arange(-8.0, 3.0)


def table(alpha, beta, curvature=0.3):
    """Parabolas whose depth and place approach their limits as powers of the width."""
    n = WIDTHS[:, None]
    return curvature * (np.log2(LRS) + 3 - n**-beta) ** 2 + 2 + 1.5 * n**-alpha


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.0, 0.8), (1.0, 0.3), (0.5, 0.4)])
def test_planted_exponents_and_verdict(alpha, beta):
    found = sx.transfer_gaps(WIDTHS, LRS, table(alpha, beta))
    # the widest network is not infinite: fits are a little too steep
    np.testing.assert_allclose([found.alpha, found.beta], [alpha, beta], atol=0.06)
    np.testing.assert_allclose(found.gamma, 2 * found.beta, rtol=1e-6)
    np.testing.assert_allclose(found.optimal_lr, 2 ** (-3 + WIDTHS**-beta), rtol=1e-10)
    assert found.fast == (beta > alpha / 2)
    assert ("no fast" not in found.verdict) == found.fast


def test_suboptimality_is_what_the_narrow_optimum_costs_on_the_widest():
    found = sx.transfer_gaps(WIDTHS, LRS, table(1.0, 1.0))
    b = WIDTHS[:-1] ** -1.0 - WIDTHS[-1] ** -1.0
    np.testing.assert_allclose(found.lr_gap, b, rtol=1e-9)
    np.testing.assert_allclose(found.suboptimality, 0.3 * b**2, rtol=1e-8)


def test_divergent_trials_and_optima_at_the_end_of_the_table():
    losses = table(1.0, 1.0)
    losses[:, 8:] = np.inf
    whole, cut = sx.transfer_gaps(WIDTHS, LRS, table(1.0, 1.0)), None
    cut = sx.transfer_gaps(WIDTHS, LRS, losses)
    np.testing.assert_allclose(cut.optimal_lr, whole.optimal_lr)
    short = sx.transfer_gaps(WIDTHS, LRS[:4], losses[:, :4])
    assert short.at_end.all() and "end of the table" in short.verdict


def test_bad_tables():
    losses = table(1.0, 1.0)
    with pytest.raises(ValueError, match=r"`widths` must be a list of at least 2 numbers, got \[1"):
        sx.transfer_gaps(WIDTHS[:1], LRS, losses[:1])
    with pytest.raises(ValueError, match="`lrs` must be positive and strictly ascending"):
        sx.transfer_gaps(WIDTHS, LRS[::-1], losses)
    with pytest.raises(ValueError, match=r"`losses` must have shape \(6, 11\), got \(11, 6\)"):
        sx.transfer_gaps(WIDTHS, LRS, losses.T)
    holes = losses.copy()
    holes[2, 3] = np.nan
    with pytest.raises(ValueError, match="no holes .* got NaN at width 4 and learning rate 0.03"):
        sx.transfer_gaps(WIDTHS, LRS, holes)
    losses[1] = np.inf
    with pytest.raises(ValueError, match="only divergent trials at width 2"):
        sx.transfer_gaps(WIDTHS, LRS, losses)
