"""Nested random products: closed forms, sampled matrices, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrax.spectrum import MarchenkoPastur
from spectrax.spectrum.nested_products import NestedProducts

ONE = jnp.ones(1)


@pytest.mark.slow
@pytest.mark.parametrize("aspect", [0.4, 3.0])
def test_one_product_is_marchenko_pastur(aspect):
    """Shifted and scaled: B = 0.7 + YᵀY / 2."""
    law = NestedProducts(1.3 * ONE, aspect * ONE, 2.0 * ONE, 0.7 * ONE)
    known = MarchenkoPastur(aspect, np.sqrt(1.3)).scaled(0.5)
    np.testing.assert_allclose(law.edges(), np.add(known.edges(), 0.7), rtol=1e-10)
    x = jnp.linspace(0.1, 4.0, 9)
    np.testing.assert_allclose(law.density(x + 0.7), known.density(x), atol=1e-9)
    z = jnp.array([5.0 + 0.3j, 1.0 - 0.2j, -1.0 + 0j, 9.0 + 0j])
    np.testing.assert_allclose(law.stieltjes(z + 0.7), known.stieltjes(z), rtol=1e-9)
    np.testing.assert_allclose(law.atom(), known.atom())
    np.testing.assert_allclose(law.scaled(3.0).edges(), 3 * np.array(law.edges()), rtol=1e-10)


@pytest.mark.parametrize("p", [2, 3])
def test_products_of_square_gaussian_matrices(p):
    """Upper edge (p + 1)^(p + 1) / p^p."""
    one = jnp.ones(p)
    law = NestedProducts(one, one, one, 0 * one)
    np.testing.assert_allclose(law.top(), (p + 1) ** (p + 1) / p**p, rtol=1e-10)


def nested(G1, G2):
    """A kernel core on samples: two layers of width 2 D, 4 D samples."""
    return NestedProducts(
        jnp.array([1.0, 1.0, 4.0]),
        jnp.array([1.0, 2.0, 0.25]),
        jnp.array([1.0, 2.0, 4.0]),
        jnp.array([G2, G1, 0.0]),
    )


def test_density_is_that_of_sampled_matrices():
    """Finite-size: distribution functions, at two sizes."""
    law, rng, distances = nested(0.5, 0.7), np.random.default_rng(0), []
    x = np.linspace(0.0, 8.3, 3001)
    cumulative = np.cumsum(law.density(x)) * (x[1] - x[0])
    np.testing.assert_allclose(cumulative[-1] + law.atom(), 1.0, atol=1e-3)
    for D in (60, 240):
        Y1, Y0 = rng.normal(size=(2 * D, 2 * D)), rng.normal(size=(2 * D, D))
        X = rng.normal(size=(4 * D, D)) / np.sqrt(D)
        inner = 0.7 * np.eye(2 * D) + Y1.T @ Y1 / (2 * D)
        theta = 0.5 * np.eye(D) + Y0.T @ inner @ Y0 / D / 2
        values = np.linalg.eigvalsh(
            np.linalg.cholesky(theta).T @ X.T @ X @ np.linalg.cholesky(theta)
        )
        sampled = np.searchsorted(values / 4, x) / D
        distances.append(np.abs(sampled - 4 * cumulative).max())
    assert distances[1] < 0.015 and distances[1] < 0.6 * distances[0], distances


@pytest.mark.slow
def test_edges_and_density_differentiate():
    for function in (
        lambda G: nested(G, 0.7).top(),
        lambda G: nested(G, 0.7).bottom(),
        lambda G: nested(0.5, G).density(2.0),
    ):
        h, here = 1e-4, 0.6
        expected = (function(here + h) - function(here - h)) / (2 * h)
        np.testing.assert_allclose(jax.grad(function)(here), expected, rtol=1e-5)
