"""Products with a matrix against its decomposition."""

import sys

import numpy as np
import pytest
from empirical.helpers import spiked

from spectrax.empirical import lanczos_density, measure_spectrum, top_eigenvalues
from spectrax.empirical.levels import levels_of


@pytest.fixture(scope="module")
def large():
    return spiked(np.random.default_rng(0), 900, 600, [9.0, 5.0, 3.0], sigma=1.0)


@pytest.mark.parametrize("shape", [(300, 300), (90, 400), (400, 90)])
def test_dense_levels_are_squared_singular_values(shape):
    W = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = levels_of(W, "dense")
    exact = np.linalg.svd(W.astype(float), compute_uv=False) ** 2 / shape[1]
    np.testing.assert_allclose(found.nodes[0], exact, atol=1e-12)
    assert found.trace == pytest.approx(exact.sum())


def test_lanczos_density_matches_the_full_decomposition(large):
    W = large / np.sqrt(large.shape[1])
    exact = np.linalg.svd(W, compute_uv=False) ** 2
    nodes, weights = lanczos_density(W, num_probes=16, depth=100)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
    for a in range(16):  # outliers: every probe finds all of them
        np.testing.assert_allclose(nodes[a, :3], exact[:3], rtol=1e-5)
    for f in (lambda x: x, lambda x: 1 / (1 + x), np.sqrt, lambda x: np.exp(-x)):
        by_probe = np.sum(weights * f(nodes), axis=1)
        error = np.std(by_probe, ddof=1) / 4
        assert abs(by_probe.mean() - f(exact).mean()) < 4 * error
    middle = np.cumsum(weights[:, ::-1], 1) - weights[:, ::-1] / 2
    for x in (0.5, 1.0, 2.0, 3.0):
        F = np.mean([np.interp(x, n, m) for n, m in zip(nodes[:, ::-1], middle, strict=True)])
        assert F == pytest.approx(np.mean(exact < x), abs=0.03)  # √(2F(1−F)/(16 p)) = 0.007


def test_top_values_match_the_full_decomposition(large):
    exact = np.linalg.svd(large, compute_uv=False)[:3] ** 2
    np.testing.assert_allclose(top_eigenvalues(large, 3), exact, rtol=1e-6)


def test_lanczos_measures_what_the_decomposition_measures(large):
    dense, products = (measure_spectrum(0.02 * large, method=m) for m in ("dense", "lanczos"))
    assert products.method == "lanczos" and dense.regime == products.regime == "bulk + outliers"
    np.testing.assert_allclose(products.location, dense.location, rtol=1e-5)
    assert abs(products.sigma - dense.sigma) < 4 * products.sigma_stderr
    assert dense.sigma_stderr < products.sigma_stderr < 0.02 * dense.sigma
    assert products.threshold > dense.threshold * 0.98
    np.testing.assert_allclose(products.strength, dense.strength, rtol=0.02)
    assert products.weights.sum() == pytest.approx(1.0, rel=1e-5)


def test_restructured_bulk_is_one_by_products_too():
    rng = np.random.default_rng(3)
    W = rng.normal(size=(800, 800)) * np.exp(0.5 * rng.normal(size=800))[:, None]
    dense, products = (measure_spectrum(W, method=m) for m in ("dense", "lanczos"))
    assert dense.regime == products.regime == "restructured bulk"
    assert abs(products.sigma - dense.sigma) < 4 * products.sigma_stderr
    assert products.ks == pytest.approx(dense.ks, abs=0.03)
    assert dense.beyond == np.sum(dense.eigenvalues > dense.threshold) > 60
    # The threshold, too, is that of another σ: both numbers fluctuate by a few.
    assert products.beyond == pytest.approx(dense.beyond, rel=0.15)
    assert products.top == pytest.approx(dense.top, rel=1e-5)


def test_random_vectors_do_not_know_the_weights():
    """Weights drawn from the seed of the probes: they must not be the same numbers."""
    W = np.random.default_rng(0).normal(size=(400, 400))
    found = measure_spectrum(W, method="lanczos")
    assert abs(found.sigma - 1.0) < 4 * found.sigma_stderr


def test_tiny_weights_survive_single_precision():
    W = np.random.default_rng(1).normal(size=(300, 200))
    one, tiny = (measure_spectrum(s * W, method="lanczos") for s in (1.0, 1e-25))
    assert tiny.sigma == pytest.approx(1e-25 * one.sigma, rel=1e-4)


def test_missing_matfree_is_one_sentence_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matfree", None)
    with pytest.raises(ImportError, match=r"need matfree: pip install 'spectrax-dmft\[checkp"):
        lanczos_density(np.eye(37), depth=5)
