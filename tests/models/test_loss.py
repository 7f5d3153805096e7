"""Losses are their formulas, and do not depend on how samples are arranged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.loss import cross_entropy, squared_error, token_cross_entropy


def identity(x):
    return x


def test_cross_entropy_is_its_formula():
    f = np.random.default_rng(0).normal(size=(4, 3, 7)).astype(np.float32)
    y = np.random.default_rng(1).integers(0, 7, size=(4, 3)).astype(np.int32)
    log_z = np.log(np.exp(f).sum(-1))
    chosen = np.take_along_axis(f, y[..., None], -1)[..., 0]
    plain = cross_entropy(identity, jnp.asarray(f), jnp.asarray(y))
    assert plain.dtype == jnp.float32 and plain.shape == ()
    assert float(plain) == pytest.approx(np.mean(log_z - chosen), rel=1e-5)
    found = float(token_cross_entropy(identity, jnp.asarray(f), jnp.asarray(y)))
    assert found - float(plain) == pytest.approx(1e-5 * np.mean(log_z**2), rel=0.05)
    large = float(cross_entropy(identity, jnp.asarray(f), jnp.asarray(y), z_loss=0.5))
    assert large == pytest.approx(np.mean(log_z - chosen + 0.5 * log_z**2), rel=1e-5)


def test_gradient_of_the_squared_error_is_the_error():
    f, y = (jnp.asarray(np.random.default_rng(k).normal(size=(5, 3)), jnp.float32) for k in (0, 1))
    gradient = jax.grad(lambda f: squared_error(identity, f, y))(f)
    np.testing.assert_allclose(gradient, (f - y) / 5, rtol=1e-6)
