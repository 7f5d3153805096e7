"""Standard laws against closed forms, moments, equations of their own and finite matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.expressions.test_pencil import distance_from, residual_network

import spectrax as sx
from spectrax.spectrum.expressions.pencil import Pencil


def semicircle(sigma=1.0):
    spaces = sx.Spaces(N=1.0)
    X, v = spaces.gaussian("N", "N", sigma**2 / 2), spaces.vector("N")
    return Pencil.symmetric(v, X @ v + X.T @ v)


@pytest.mark.slow
@pytest.mark.parametrize("aspect", [0.4, 2.5])
def test_one_matrix_is_marchenko_pastur(aspect):
    law, known = sx.product_law(aspect, sigma=1.3), sx.MarchenkoPastur(aspect, 1.3)
    z = jnp.array([0.3 + 0.2j, -1.0 + 0j, 4.0 - 0.5j])
    np.testing.assert_allclose(law.stieltjes(z), known.stieltjes(z), rtol=1e-10)
    np.testing.assert_allclose(law.edges(), known.edges(), rtol=1e-9)
    x = jnp.linspace(*known.edges(), 20)[1:-1]
    np.testing.assert_allclose(law.density(x), known.density(x), rtol=1e-8)
    np.testing.assert_allclose(law.atom(), max(0.0, 1 - aspect), atol=1e-6)
    twice = law.scaled(4.0).scaled(0.5)
    np.testing.assert_allclose(twice.edges(), 2 * jnp.stack(known.edges()), rtol=1e-9)
    np.testing.assert_allclose(twice.density(2 * x), law.density(x) / 2, rtol=1e-9)
    np.testing.assert_allclose(twice.moment(1), 2 * law.moment(1), rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "known"), [(2, (1, 3, 12)), (3, (1, 4, 22))])
def test_products_of_square_matrices_have_fuss_catalan_moments(p, known):
    law = sx.product_law(*[1.0] * p)
    np.testing.assert_allclose(law.edges()[1], (p + 1) ** (p + 1) / p**p, rtol=1e-10)
    np.testing.assert_allclose([law.moment(k) for k in (1, 2, 3)], known, rtol=1e-9)


@pytest.mark.slow
def test_sum_with_a_semicircle_shifts_the_variable_of_the_other_law():
    """S(z) = m(z - sigma^2 S(z)): an equation of its own."""
    other = sx.MarchenkoPastur(0.5)
    law = sx.free_sum(semicircle(1.6).scaled(0.5), sx.product_law(0.5, sigma=2.0).scaled(0.25))
    z = jnp.array([0.3 + 0.4j, 2.0 + 0.1j, -3.0 + 0j])
    S = law.stieltjes(z)
    np.testing.assert_allclose(S, other.stieltjes(z - 0.64 * S), rtol=1e-9)
    np.testing.assert_allclose(semicircle(0.8).edges(), (-1.6, 1.6), rtol=1e-9)


@pytest.mark.nightly
def test_two_populations_make_two_intervals():
    law = sx.population_law([1.0, 20.0], [0.8, 0.2], 8.0)
    z = jnp.array([5.0 + 1.0j, 60.0 + 0j])
    m = law.stieltjes(z)
    # Silverstein and Bai: m = sum_k w_k / (z - t_k s), s = alpha / (1 - sum_k w_k t_k m_k)
    G = sx.dyson(law, z).G
    parts = [G[:, k, k] for k in law.probes]
    s = 8.0 / (1 - 0.8 * 1.0 * parts[0] - 0.2 * 20.0 * parts[1])
    np.testing.assert_allclose(m, 0.8 / (z - s) + 0.2 / (z - 20.0 * s), rtol=1e-9)
    intervals = law.support(3)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3200, 400)) / 20 * np.repeat([1, 20**0.5], [320, 80])
    values = np.linalg.eigvalsh(X.T @ X)
    ends = values[[0, 319, 320, 399]]
    np.testing.assert_allclose(intervals[:2].ravel(), ends, rtol=0.04)
    np.testing.assert_allclose(intervals[2], intervals[1, 1])  # no third one


@pytest.mark.nightly
def test_outermost_edges_of_many_intervals():
    values = [1.0, 8.0, 60.0, 400.0]
    law = sx.population_law(values, [1.0] * 4, 60.0)
    low, high = law.edges()
    np.testing.assert_allclose(law.support(5)[:, 1], [*law.support(4)[:, 1], high], rtol=1e-10)
    np.testing.assert_allclose(law.support(1)[0, 0], low, rtol=1e-10)
    assert (law.support(2)[1, 1] < 0.1 * high) and (law.support(4)[3, 0] > 0.5 * high)


@pytest.mark.slow
def test_free_product_of_two_square_matrices_is_fuss_catalan():
    one, two = sx.product_law(1.0), sx.product_law(1.0, 1.0)
    z = jnp.array([0.3 + 0.2j, -1.0 + 0j, 4.0 - 0.5j])
    known = sx.product_law(1.0, 1.0, 1.0).stieltjes(z)
    for first, second in ((one, two), (two, one)):
        found = sx.free_product(first.scaled(2.0), second.scaled(0.5)).stieltjes(z)
        np.testing.assert_allclose(found, known, rtol=1e-9)


@pytest.mark.nightly
def test_free_product_is_the_law_of_independent_factors():
    """Rectangular first factor; the second is declared in units of its own."""
    first = sx.product_law(0.7, 1.3).scaled(1.5)
    second = residual_network()
    law, distances = sx.free_product(first, second), []
    distance = distance_from(law, 0.7)
    for size in (100, 800):
        found = []
        for seed in range(4):
            one, two = jax.random.split(jax.random.key(seed))
            W1 = first.sample(size, key=one)
            W2 = second.sample(len(W1), key=two)
            values = np.linalg.svd(W2 @ W1, compute_uv=False) ** 2
            found.append(np.sort(values)[::-1][: round(0.7 * size)])  # the others are zero
        distances.append(distance(found))
    # the samples' own scatter is 3 to 4 over N: the product of three matrices is not that rigid
    assert distances[1] < 0.2 * distances[0] and distances[1] < 5e-3, distances
    np.testing.assert_allclose(law.atom(), 0.3, atol=1e-6)


@pytest.mark.slow
def test_bad_requests():
    symmetric, several = semicircle(), sx.population_law([1.0, 2.0], [0.5, 0.5], 1.0)
    for ask, message in (
        (lambda: sx.population_law([1.0], [1.0, 2.0], 1.0), "`weights` must have one entry"),
        (lambda: sx.product_law(), "`aspects` must name at least one matrix"),
        (lambda: sx.free_sum(several, symmetric), "`first` must be a law about one vector, got"),
        (lambda: sx.free_sum(symmetric, several), "`second` must be a law about one vector, got"),
        (lambda: sx.free_product(symmetric, several), "`first` must be made by Pencil.gram"),
        (lambda: sx.free_product(several, several), "`second` must be a law about one vector"),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


def test_samples_of_sums_and_products_are_those_of_both_laws():
    """Means and variances of eigenvalues add, means multiply; scales stay with their law."""
    marchenko_pastur = sx.product_law(0.5, sigma=2.0).scaled(0.25)
    A = sx.free_sum(semicircle(1.6).scaled(0.5), marchenko_pastur).sample(
        300, key=jax.random.key(0)
    )
    np.testing.assert_allclose(A, A.T, atol=1e-12)
    mean = jnp.trace(A) / 300
    np.testing.assert_allclose(mean, 0.5, rtol=0.03)
    np.testing.assert_allclose(jnp.sum(A**2) / 300 - mean**2, 0.64 + 0.5, rtol=0.03)
    first, second = sx.product_law(0.5, sigma=1.2).scaled(2.0), marchenko_pastur.scaled(3.0)
    W = sx.free_product(first, second).sample(300, key=jax.random.key(1))
    np.testing.assert_allclose(jnp.sum(W**2) / 300, 0.5 * 1.44 * 2.0 * 0.5 * 3.0, rtol=0.1)
