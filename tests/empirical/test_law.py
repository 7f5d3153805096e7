"""Marchenko–Pastur law and single spikes in plain numbers."""

import numpy as np
import pytest

import spectrax
from spectrax.empirical import BulkLaw, location_stderr, spike_location, spike_strength

ASPECTS = (0.25, 0.5, 1.0, 2.0, 4.0)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_density_is_that_of_the_theory_of_mass_one(aspect):
    law, theory = BulkLaw(aspect, 0.7), spectrax.MarchenkoPastur(aspect, 0.7)
    x = np.linspace(0.001, 5.0, 301)
    np.testing.assert_allclose(law.density(x), theory.density(x) / min(1, aspect), rtol=1e-10)
    np.testing.assert_allclose(law.edges(), theory.edges(), atol=1e-14)
    np.testing.assert_array_equal(law.density(law.edges()), 0.0)  # at zero too, for squares


@pytest.mark.parametrize("aspect", ASPECTS)
def test_cdf_integrates_the_density(aspect):
    law = BulkLaw(aspect, 1.3)
    low, high = law.edges()
    angles = (np.arange(200_000) + 0.5) * np.pi / 200_000
    x = (low + high) / 2 - (high - low) / 2 * np.cos(angles)
    F = np.cumsum(law.density(x) * np.sin(angles)) * (high - low) / 2 * np.pi / len(angles)
    assert F[-1] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(law.cdf(x[::500]), F[::500], atol=3e-4)
    assert law.cdf(low - 1) == 0.0 and law.cdf(high + 1) == 1.0


def test_closed_form_in_the_convention_with_q():
    """Eigenvalues of W^T W / N, Q = N/M = 2: a spike S = 1 gives (1 + S)(1 + 1/(QS)) = 3."""
    Q, S = 2.0, 1.0
    assert spike_location(Q * S, aspect=Q) / Q == 3.0
    assert spike_strength(3.0 * Q, aspect=Q) / Q == pytest.approx(S, abs=1e-14)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_strength_inverts_location(aspect):
    strength = 0.49 * np.sqrt(aspect) * np.array([1.001, 1.5, 3.0, 40.0])
    z = spike_location(strength, aspect, 0.7)
    np.testing.assert_allclose(spike_strength(z, aspect, 0.7), strength, rtol=1e-9)
    critical = 0.49 * np.sqrt(aspect)
    edge = BulkLaw(aspect, 0.7).edges()[1]
    assert spike_location(critical, aspect, 0.7) == pytest.approx(edge, rel=1e-12)
    assert spike_strength(0.5 * edge, aspect, 0.7) == pytest.approx(critical, rel=1e-12)


@pytest.mark.parametrize("aspect", [0.5, 2.0])
def test_location_is_that_of_the_transfer_matrix(aspect):
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    spikes = spectrax.CoupledSpikes(one, one, none, none, 2.0 * one, aspect=aspect, sigma=0.8)
    found = spectrax.outliers(spikes, 1)
    assert spike_location(4.0 * aspect, aspect, 0.8) == pytest.approx(float(found.location[0]))


@pytest.mark.parametrize(("aspect", "factor"), [(0.5, 1.5), (1.0, 2.0), (3.0, 6.0)])
def test_spread_of_an_outlier_is_the_stated_one(aspect, factor):
    rng, M, sigma = np.random.default_rng(4), 120, 0.8
    N = round(aspect * M)
    strength = factor * sigma**2 * np.sqrt(aspect)
    W = sigma * rng.normal(size=(600, N, M)) / np.sqrt(M)
    W[:, 0, 0] += np.sqrt(strength)
    spread = np.std(np.linalg.norm(W, 2, axis=(1, 2)) ** 2)
    # 600 draws give the spread to 2.9 %; at finite size it is off by more near the threshold.
    assert spread == pytest.approx(location_stderr(strength, aspect, sigma, M), rel=0.12)
