"""Law of the largest eigenvalue of noise."""

import numpy as np
import pytest

from spectrax.empirical import noise_scales, tracy_widom_cdf, tracy_widom_quantile

# Upper points of the Tracy–Widom law, β = 1 (tables of Bejan 2005).
PUBLISHED = {0.10: 0.4501, 0.05: 0.9793, 0.01: 2.0234, 0.005: 2.4224, 0.001: 3.2724}


@pytest.mark.parametrize("rate", PUBLISHED)
def test_quantiles_are_the_published_ones(rate):
    assert tracy_widom_quantile(rate) == pytest.approx(PUBLISHED[rate], abs=3e-4)


@pytest.mark.slow
def test_mean_and_variance_are_the_published_ones():
    s = np.linspace(-8.0, 8.0, 801)
    F = np.array([tracy_widom_cdf(x) for x in s])
    density, middle = np.diff(F), (s[1:] + s[:-1]) / 2
    mean = np.sum(density * middle)
    assert mean == pytest.approx(-1.2065336, abs=1e-4)
    assert np.sum(density * (middle - mean) ** 2) == pytest.approx(1.6077810, abs=1e-3)


def test_scales_do_not_depend_on_which_side_is_longer():
    (mu, s), (nu, t) = noise_scales(300, 100), noise_scales(100, 300)
    np.testing.assert_allclose([mu * 100, s * 100], [nu * 300, t * 300])


def test_largest_eigenvalue_of_noise_follows_the_law():
    rng, shape = np.random.default_rng(2), (60, 30)
    mu, s = noise_scales(*shape)
    W = rng.normal(size=(2000, *shape)) / shape[1] ** 0.5
    top = (np.linalg.svd(W, compute_uv=False)[:, 0] ** 2 - mu) / s
    for level in (-3.0, -1.2, 0.0, 1.0, 2.0):
        expected = tracy_widom_cdf(level)
        spread = np.sqrt(expected * (1 - expected) / len(top))
        assert abs(np.mean(top <= level) - expected) < 4 * spread + 0.01  # 30^(-2/3) is 0.1


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, np.nan])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ValueError, match="Argument `rate` must be"):
        tracy_widom_quantile(rate)
