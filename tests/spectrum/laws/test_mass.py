"""The mass of laws: one at random settings, and a result code where it is not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.spectrum.laws import mass
from spectrax.spectrum.laws.cumulative import cumulative
from spectrax.spectrum.laws.mass import RESULTS, result_of


def settings(num, seed):
    """(nu, omega, kappa0, sigma) over decades; a third of them nearly square."""
    rng = np.random.default_rng(seed)
    low, high = [-1, -1.5, -2.5, -2], [1, 1, 1, 1.5]
    found = 10 ** rng.uniform(low, high, (num, 4))
    found[::3, 0] = np.resize([0.99, 0.999, 1.0001, 1.0], len(found[::3]))
    return found


@pytest.mark.slow
def test_mass_of_random_one_step_laws_is_one():
    mass = jax.jit(lambda x: jax.lax.map(lambda x: sx.one_step_outputs(*x).mass(), x))
    np.testing.assert_allclose(mass(settings(60, seed=1)), 1.0, atol=1e-3)


@pytest.mark.slow
def test_two_scales_at_zero_are_resolved():
    """Small weights and a strong step: the density rises as a power over ten decades."""
    law = sx.one_step_outputs(1.0001, 0.9656294533879264, 2.944552004847897, 0.0322966430530375)
    np.testing.assert_allclose(law.mass(), 1.0, atol=1e-3)
    found = cumulative(law)
    np.testing.assert_allclose(found.mass, 1.0, atol=1e-3)
    assert found.result == RESULTS.resolved


@pytest.mark.slow
def test_an_atom_elsewhere_is_a_result_code():
    """1 + X X^T of rank N/2: half of the eigenvalues are one, which no density shows."""
    spaces = sx.Spaces(N=1.0, K=0.5)
    X, v = spaces.gaussian("N", "K", 1.0), spaces.vector("N")
    law = sx.Pencil.symmetric(v, v + X @ (X.T @ v))
    result = jax.jit(lambda law: law.result())(law)
    assert result == RESULTS.unresolved and "atom that is not at zero" in RESULTS[result]
    found = cumulative(law, 64)
    np.testing.assert_allclose(found.mass, 0.5, atol=1e-6)
    assert found.result == RESULTS.unresolved
    whole = dataclasses.replace(found, density=2 * found.density)
    assert whole.result == RESULTS.resolved


@pytest.mark.parametrize(("exponent", "power"), [(0, 1), (1 / 2, 1), (2 / 3, 3 / 2), (4 / 5, 2)])
def test_the_root_takes_a_divergence_away(exponent, power, monkeypatch):
    """At a small angle a the point is a^(2 power): x^(-exponent) dx is regular in it."""
    monkeypatch.setattr(mass, "_solved", lambda law, x: (3.0 * x**-exponent, None))
    found = mass._power_at_zero.__wrapped__(None, jnp.array([0.7, 20.0]))
    np.testing.assert_allclose(found, power, rtol=1e-9)


def test_the_limit_of_the_code():
    result = result_of(jnp.array([1.0, 1.0009, 0.9991, 1.0011, 0.9989, jnp.nan, jnp.inf]))
    np.testing.assert_array_equal(result == RESULTS.resolved, [True] * 3 + [False] * 4)
    assert sx.MarchenkoPastur(0.5).result() == sx.Semicircle().result() == RESULTS.resolved
    assert sx.MarchenkoPastur(jnp.ones(3)).mass().shape == (3,)


@pytest.mark.slow
def test_a_diverged_training_has_no_resolved_law():
    model = sx.DeepLinear(2, 4, alpha=1.0, nu=1.0, eta=60.0, gamma0=1.0)
    solution = sx.solve(model, throw=False)
    assert int(solution.stats["diverged_at"]) < 4
    law = sx.ntk_law(solution, 3)
    assert law.result() == RESULTS.unresolved and law.edges()[1] == jnp.inf
    assert sx.ntk_law(solution, 0).result() == RESULTS.resolved


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["population", "train"])
def test_mass_of_the_kernel_of_random_deep_networks_is_one(kernel):
    rng = np.random.default_rng(5)
    for depth in (2, 5):

        def mass(sigma, alpha, nu, depth=depth):
            model = sx.DeepLinear(depth, 3, alpha=alpha, nu=nu, eta=0.1, gamma0=1.0, sigma=sigma)
            solution = sx.solve(model)
            law = sx.ntk_law(solution, 2, kernel=kernel)
            mass = law.mass()
            return mass, result_of(mass), solution.stats["diverged_at"] > 2

        found, result, alive = jax.vmap(mass)(
            *10 ** rng.uniform([-2, -2, -2], [0.3, 2, 2], (8, 3)).T
        )
        assert alive.sum() > 5
        np.testing.assert_allclose(found[alive], 1.0, atol=1e-3)
        np.testing.assert_array_equal(result == RESULTS.resolved, alive)
