"""Outliers by inertia: reference cases, the transfer matrix, derivatives, and where they lower."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import COUPLED, assert_derivatives, one_spike, own_image, spikes_of, training

import spectrax as sx
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum import margin, outlier_path, outliers, transpose
from spectrax.spectrum.spikes.inertia import inertia_margin, inertia_outliers


@pytest.mark.parametrize("index", range(len(COUPLED)))
def test_reference_cases(index):
    case = COUPLED[index]
    expected = case["outlier_eigenvalues"]
    found = inertia_outliers(spikes_of(case))
    assert found.escaped.sum() == len(expected)
    np.testing.assert_allclose(found.location[: len(expected)], expected, rtol=1e-12)


def test_one_spike_in_closed_form():
    """Y = [[tau / (alpha (tau + 1)), -s], [-s, tau + 1]] is singular at tau = alpha s^2."""
    for size, aspect in ((2.0, 0.5), (0.9, 3.0), (0.7, 1.0)):
        found = inertia_outliers(one_spike(size, aspect), 2)
        strength = aspect * size**2
        assert found.escaped.tolist() == [strength > aspect**0.5, False]
        if found.escaped[0]:
            np.testing.assert_allclose(found.strength[0], strength, rtol=1e-13)
        critical = aspect**0.5
        Y = np.array([[critical / (aspect * (critical + 1)), -size], [-size, critical + 1]])
        smallest = np.linalg.eigvalsh(Y)[0]
        np.testing.assert_allclose(inertia_margin(one_spike(size, aspect)), -smallest, rtol=1e-12)


@pytest.mark.parametrize("layer", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_training_has_the_same_outliers_at_every_step(layer):
    """Gram matrices of a training lose their rank: directions of no variance count for nothing."""
    weights = training(num_steps=16, layer=layer, eta=0.05)
    steps = jnp.arange(weights.num_steps + 1)
    found, margins = jax.jit(
        jax.vmap(lambda t: (inertia_outliers(weights.at(t), 2), inertia_margin(weights.at(t))))
    )(steps)
    known = outlier_path(weights, 2)
    np.testing.assert_array_equal(found.escaped, known.escaped)
    assert 0 < known.escaped.sum() < known.escaped.size
    np.testing.assert_allclose(found.location, known.location, rtol=1e-7)
    old = jax.vmap(lambda t: margin(weights.at(t)))(steps)
    np.testing.assert_array_equal(margins > 0, old > 0)


@pytest.mark.slow
def test_derivatives_through_a_training_are_those_of_the_transfer_matrix():
    """Two routes through Gram matrices of almost no rank."""

    def top(function):
        def value(p):
            model = sx.DeepLinear(1, 12, alpha=3.0, nu=1.5, eta=0.1, gamma0=p[0], sigma=p[1])
            return function(sx.spikes(sx.solve(model), 0, 12), 1).location[0]

        return jax.jit(jax.value_and_grad(value))(jnp.array([4.0, 1.0]))

    (value, slope), (known, expected) = top(inertia_outliers), top(outliers)
    np.testing.assert_allclose(value, known, rtol=1e-9)
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


@pytest.mark.parametrize("a, eigenvalue", [(-0.9, 0.01990), (-0.6, 0.28952), (-0.2, None)])
def test_outliers_below_the_bulk(a, eigenvalue):
    spikes = own_image(a)
    found, known = (f(spikes, 2, side="below") for f in (inertia_outliers, outliers))
    np.testing.assert_array_equal(found.escaped, known.escaped)
    np.testing.assert_allclose(found.location, known.location, rtol=1e-12)
    if eigenvalue is not None:
        np.testing.assert_allclose(found.location[0], eigenvalue, atol=6e-6)
    wide = inertia_outliers(own_image(a, aspect=1 / 3), 2, side="below")
    again = outliers(own_image(a, aspect=1 / 3), 2, side="below")
    np.testing.assert_array_equal(wide.escaped, again.escaped)
    np.testing.assert_allclose(wide.location, again.location, rtol=1e-12)


def random_spikes(seed, p=3, q=4, size=1.6):
    """Fields of random correlations; weak responses, so that they exist."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(q, 9)) / 3, rng.normal(size=(p, 9)) / 3
    Re, Rf = 0.2 * rng.normal(size=(q, p)), 0.2 * rng.normal(size=(p, q))
    return CoupledSpikes(X @ X.T, Y @ Y.T, Re, Rf, size * rng.normal(size=(p, q)), 1.7, 0.8)


def test_random_couplings_of_unequal_numbers_of_fields():
    number = 0
    for seed in range(4):
        spikes = random_spikes(seed, size=3.0)
        found, known = inertia_outliers(spikes), outliers(spikes)
        number += known.escaped.sum()
        np.testing.assert_array_equal(found.escaped, known.escaped)
        np.testing.assert_allclose(found.location, known.location, rtol=1e-10)
    assert number >= 6


@pytest.mark.parametrize("p, q", [(3, 4), (4, 3)])
def test_below_the_bulk_with_unequal_numbers_of_fields(p, q):
    """Spikes f = W0 e that take off what W0 has along some directions, and their transposes."""
    number = 0
    for seed in range(6):
        plain = random_spikes(seed, p, q, size=0.3)
        k = min(p, q)
        image = 0.8**2 * plain.Ce[:k, :k]  # correlations of W0 e
        Cf = plain.Cf.at[:k, :k].set(image).at[:k, k:].set(0.0).at[k:, :k].set(0.0)
        Rf = jnp.eye(p, q)
        K = plain.K - 0.85 * jnp.eye(p, q)
        spikes = CoupledSpikes(plain.Ce, Cf, 0 * plain.Re, Rf, K, 1.7, 0.8)
        known = outliers(spikes, side="below")
        number += known.escaped.sum()
        for either in (spikes, transpose(spikes)):  # more and fewer rows than columns
            found = inertia_outliers(either, side="below")
            np.testing.assert_array_equal(found.escaped, known.escaped)
            np.testing.assert_allclose(found.location, known.location, rtol=1e-9)
    assert number >= 4


def test_derivatives_of_locations_and_margin():
    rng = np.random.default_rng(5)

    def both(spikes):
        return jnp.append(inertia_outliers(spikes, 2).location, inertia_margin(spikes))

    spikes = random_spikes(0)
    move = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape)), spikes)
    move = CoupledSpikes(
        move.Ce + move.Ce.T, move.Cf + move.Cf.T, move.Re, move.Rf, move.K, move.aspect, move.sigma
    )
    assert_derivatives(both, (spikes, move))
    weak = CoupledSpikes(
        spikes.Ce, spikes.Cf, spikes.Re, spikes.Rf, 0.1 * spikes.K, spikes.aspect, spikes.sigma
    )
    assert not inertia_outliers(weak, 1).escaped[0]
    assert_derivatives(both, (weak, move))


def test_a_spike_in_two_halves_is_the_spike():
    """Equal fields: the Gram matrix is singular, and the derivative is that of the whole."""

    def halves(size):
        two, none = jnp.ones((2, 2)), jnp.zeros((2, 2))
        K = size / 2 * jnp.eye(2)
        return inertia_outliers(CoupledSpikes(two, two, none, none, K, 2.0, 1.0), 1).location[0]

    def whole(size):
        return outliers(one_spike(size, 2.0), 1).location[0]

    for function in (lambda f: f, jax.grad):
        np.testing.assert_allclose(function(halves)(1.7), function(whole)(1.7), rtol=1e-12)


def test_symmetric_spikes_on_both_sides():
    """J + K x x^T has theta + sigma^2/theta for |theta| = |K| > sigma, on the side of its sign."""
    for size in (1.7, -1.7, 0.6):
        spikes = SymmetricSpikes([[1.0]], [[0.0]], [[size]], 0.8)
        for side in ("above", "below"):
            found, known = (f(spikes, 1, side=side) for f in (inertia_outliers, outliers))
            assert bool(found.escaped[0]) == (abs(size) > 0.8 and (size > 0) == (side == "above"))
            np.testing.assert_allclose(found.location, known.location, rtol=1e-13)
        np.testing.assert_allclose(inertia_margin(spikes), abs(size) - 0.8, rtol=1e-12)


def symmetric_spikes(seed, q=4):
    rng = np.random.default_rng(seed)
    X, K = rng.normal(size=(q, 9)) / 3, rng.normal(size=(q, q))
    return SymmetricSpikes(X @ X.T, 0.2 * rng.normal(size=(q, q)), K + K.T, 0.7)


@pytest.mark.parametrize("side", ["above", "below"])
def test_random_symmetric_couplings(side):
    number = 0
    for seed in range(4):
        spikes = symmetric_spikes(seed)
        found, known = (f(spikes, 4, side=side) for f in (inertia_outliers, outliers))
        number += known.escaped.sum()
        np.testing.assert_array_equal(found.escaped, known.escaped)
        np.testing.assert_allclose(found.location, known.location, rtol=1e-10)
        assert (inertia_margin(spikes) > 0) == (margin(spikes) > 0)
    assert number >= 3


def test_symmetric_derivatives():
    spikes, moves = symmetric_spikes(0), symmetric_spikes(7)

    def everything(spikes):
        sides = [inertia_outliers(spikes, 1, side=side).location for side in ("above", "below")]
        return jnp.concatenate([*sides, inertia_margin(spikes)[None]])

    assert_derivatives(everything, (spikes, moves))


@pytest.mark.slow
def test_anti_hebbian_training_has_the_same_outliers():
    model = sx.AntiHebbian(12, dt=0.1, mu=1.0, kappa=2.0, sigma=1.0)
    weights = sx.solve(model).weights(0)
    steps = jnp.arange(weights.num_steps + 1)
    for side in ("above", "below"):
        found = jax.vmap(lambda t, side=side: inertia_outliers(weights.at(t), 1, side=side))(steps)
        known = outlier_path(weights, 1, side=side)
        np.testing.assert_array_equal(found.escaped, known.escaped)
        np.testing.assert_allclose(found.location, known.location, rtol=1e-7)


def test_spikes_without_noise_and_kernels_that_are_not_finite():
    silent = CoupledSpikes([[1.0]], [[1.0]], [[0.0]], [[0.0]], [[2.0]], 1.5, 0.0)
    np.testing.assert_allclose(inertia_outliers(silent, 1).location, 1.5 * 4, rtol=1e-12)
    assert inertia_margin(silent) > 0
    for bad in (jnp.nan, jnp.inf):
        spikes = CoupledSpikes([[bad]], [[1.0]], [[0.0]], [[0.0]], [[2.0]], 1.5, 0.8)
        location, slope = jax.value_and_grad(lambda s: inertia_outliers(s, 1).location[0])(spikes)
        np.testing.assert_allclose(location, 0.8**2 * (1 + 1.5**0.5) ** 2)
        everything = jax.tree.leaves((slope, jax.value_and_grad(inertia_margin)(spikes)))
        assert all(np.isfinite(x).all() for x in everything)


def test_bad_requests():
    with pytest.raises(ValueError, match="`side` must be 'above' or 'below', got 'left'"):
        inertia_outliers(one_spike(1.0, 1.0), side="left")
    with pytest.raises(ValueError, match="`count` must be an integer from 1 to 2, got 3"):
        inertia_outliers(one_spike(1.0, 1.0), 3)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_everything_lowers_everywhere(platform):
    spikes = random_spikes(0)
    for function in (inertia_margin, lambda s: inertia_outliers(s, 1).location[0]):
        for f in (function, jax.grad(function)):
            traced = jax.jit(f).trace(spikes)
            assert traced.lower(lowering_platforms=(platform,)).as_text()
