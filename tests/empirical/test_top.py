"""Largest eigenvalues by singular values and by products with the matrix."""

import numpy as np
import pytest

from spectrax.empirical import levels, top_eigenvalues


@pytest.mark.parametrize(
    "shape", [(25, 37), (37, 26), (26, 39)], ids=["singular values", "products", "transposed"]
)
def test_both_methods_give_squared_singular_values(shape, monkeypatch):
    """Products where the smaller side is more than five times the five directions followed."""
    by_products = []
    iterate = levels.lobpcg_standard

    def counted(*args, **options):
        by_products.append(shape)
        return iterate(*args, **options)

    monkeypatch.setattr(levels, "SMALL", 0)
    monkeypatch.setattr(levels, "lobpcg_standard", counted)
    W = np.random.default_rng(0).normal(size=shape)
    exact = np.linalg.svd(W, compute_uv=False)[:1] ** 2
    np.testing.assert_allclose(top_eigenvalues(W), exact, rtol=1e-6)
    assert bool(by_products) == (min(shape) > 25)
