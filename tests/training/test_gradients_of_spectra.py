"""Derivatives of strengths, outliers and escape times through the whole chain."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx

NAMES = ("alpha", "nu", "eta", "gamma0", "sigma", "momentum", "weight_decay")
T = 14
ESCAPES = jnp.array([2.0, 1.2, 0.08, 4.0, 1.0, 0.2, 0.01])
STAYS = jnp.array([2.0, 0.5, 0.1, 2.0, 1.3, 0.1, 0.01])


def solved(point, **options):
    model = sx.DeepLinear(1, T, **dict(zip(NAMES, point, strict=True)) | options)
    return sx.solve(model)


def escape(point, **options):
    return sx.escape_time(solved(point, **options), 0)


def strength(point, step, **options):
    return sx.strengths(sx.spikes(solved(point, **options), 0, step), 1)[0]


def central_differences(f, x, step):
    """Fourth order: error of order step^4."""

    def at(i, h):
        return f(x.at[i].add(h * step * jnp.maximum(jnp.abs(x[i]), 0.1)))

    def scaled(i):
        slope = 8 * (at(i, 1) - at(i, -1)) - (at(i, 2) - at(i, -2))
        return slope / (12 * step * jnp.maximum(jnp.abs(x[i]), 0.1))

    return jnp.stack([scaled(i) for i in range(x.size)])


def check_gradients(f, x, step=1e-3):
    f = jax.jit(f)
    exact = central_differences(f, x, step)
    forward, reverse = jax.jit(jax.jacfwd(f))(x), jax.jit(jax.grad(f))(x)
    np.testing.assert_allclose(forward, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    np.testing.assert_allclose(reverse, forward, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_escape_time_in_every_hyperparameter():
    assert 2 < escape(ESCAPES) < T
    check_gradients(escape, ESCAPES)


@pytest.mark.slow
def test_escape_time_in_a_schedule():
    schedule = jnp.linspace(0.09, 0.05, T)

    def f(eta):
        return escape(ESCAPES, eta=eta)

    check_gradients(f, schedule)
    late = jnp.arange(T) > jnp.ceil(f(schedule))
    assert jnp.all(jax.jit(jax.grad(f))(schedule)[late] == 0.0)  # later rates change nothing


@pytest.mark.slow
def test_no_escape_has_infinite_time_and_zero_gradient():
    lazy = ESCAPES.at[3].set(0.1)
    value, slope = jax.jit(jax.value_and_grad(partial(escape, parameterization=sx.ntk)))(lazy)
    assert value == jnp.inf
    np.testing.assert_array_equal(slope, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 12])
def test_strength_of_a_complex_pair(step):
    f = partial(strength, step=step, parameterization=sx.ntk)
    spikes = sx.spikes(solved(STAYS, parameterization=sx.ntk), 0, step)
    values = np.linalg.eigvals(np.asarray(sx.transfer_matrix(spikes)))
    top = values[np.argmax(values.real)]
    assert abs(top.imag) > 1e-3, "the leading eigenvalue should be one of a pair"
    assert abs(top) < sx.critical_strength(spikes)  # a pair beyond threshold is impossible
    check_gradients(f, STAYS)
