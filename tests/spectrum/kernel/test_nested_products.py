"""Nested random products: closed forms, sampled matrices, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrax.spectrum import MarchenkoPastur
from spectrax.spectrum.kernel.nested_products import NestedProducts

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


def random_laws(products, number, seed):
    """Small and large variances, extreme ratios; with and without shifts, some of several bulks."""
    rng = np.random.default_rng(seed)
    shape = (number, products)
    variance = 10 ** rng.uniform(-4, 1, (number, 1)) * np.ones(shape)
    aspect = 10 ** rng.uniform(-1.3, 1.3, shape)
    scale = 10 ** rng.uniform(-1, 1, shape)
    size = np.prod(variance, 1, keepdims=True) ** rng.uniform(0, 1, (number, 1))
    shift = 10 ** rng.uniform(-2, 1, shape) * size
    shift[::4, -1] = 0
    shift[1::4] = 0
    return jnp.stack([variance, aspect, scale, shift], 1)  # (number, 4, products)


@pytest.mark.slow
@pytest.mark.parametrize("products", [2, 4])
def test_mass_of_random_laws_is_one(products):
    laws = random_laws(products, 24, 1)
    mass = jax.jit(lambda laws: jax.lax.map(lambda x: NestedProducts(*x).mass(), laws))(laws)
    np.testing.assert_allclose(mass, 1.0, atol=1e-3)


def test_a_narrow_bulk_far_from_zero_has_both_edges():
    """Marchenko-Pastur: (sqrt(c) -+ 1)^2, whatever the ratio and the variance."""
    edges = jax.jit(lambda c: NestedProducts(1e-4 * ONE, c * ONE, ONE, 0 * ONE).edges())
    for aspect in (100.0, 1e4, 1e7):  # the last: narrower than the grid
        low, high = edges(aspect)
        np.testing.assert_allclose(low, 1e-4 * (np.sqrt(aspect) - 1) ** 2, rtol=1e-9)
        np.testing.assert_allclose(high, 1e-4 * (np.sqrt(aspect) + 1) ** 2, rtol=1e-9)


def test_the_bound_is_that_of_the_norms():
    """Norms multiply, shifts add: B_1 = G_1 + n_1 and B_0 = G_2 + n_2 B_1, by hand."""
    variance, aspect, scale = jnp.array([1.0, 2.0]), jnp.array([4.0, 9.0]), jnp.array([2.0, 3.0])
    law = NestedProducts(variance, aspect, scale, jnp.array([0.5, 0.25]))
    norms = 1.0 / 2 * (1 + 2) ** 2, 2.0 / 3 * (1 + 3) ** 2
    np.testing.assert_allclose(law.bound(), 0.25 + norms[1] * (0.5 + norms[0]), rtol=1e-12)
    assert law.top() < law.bound()


def test_eigenvalues_are_counted_layer_by_layer():
    """The atom is the kernel of the outer factor: a shift between them fills the inner one's."""
    aspect = jnp.array([0.5, 0.8])
    for inner_shift, atom in ((0.0, 1 - 0.8 * 0.5), (0.3, 1 - 0.8)):
        law = NestedProducts(jnp.ones(2), aspect, jnp.ones(2), jnp.array([inner_shift, 0.0]))
        np.testing.assert_allclose(law.atom(), atom, rtol=1e-12)


@pytest.mark.slow
def test_a_hard_edge_moves_with_its_shift():
    """Square: the density diverges at the shift itself, where no fold of the curve is."""
    edge, slope = jax.value_and_grad(
        lambda shift: NestedProducts(jnp.ones(2), jnp.ones(2), jnp.ones(2), shift).bottom()
    )(jnp.array([0.0, 0.4]))
    np.testing.assert_allclose(edge, 0.4, atol=1e-6)
    np.testing.assert_allclose(slope[1], 1.0, rtol=1e-6)
