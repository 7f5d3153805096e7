"""Derivatives where Gram matrices are degenerate: equal variances, none at all, equal inputs."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

import spectrax as sx

LIMIT = sx.SampledLimit(256, key=jax.random.key(0))


def losses(p, interpreter):
    gram = jnp.array([[1.0, p[2]], [p[2], 1.0]])
    options = {"num_classes": 2, "teacher_gram": gram, "label_noise": p[1]}
    model = sx.DeepLinear(1, 3, alpha=3.0, nu=1.5, eta=p[0], gamma0=2.5, **options)
    solution = sx.solve(model, interpreter=interpreter)
    between = solution.observed["test_error"][:, 0, 1]  # of the two classes
    return jnp.sum(solution.train_loss + 2 * solution.test_loss + between)


@cache
def slope(mode, interpreter):
    """One compilation for all points."""
    return jax.jit(
        mode(partial(losses, interpreter={"exact": None, "sampled": LIMIT}[interpreter]))
    )


@pytest.mark.slow
@pytest.mark.parametrize("label_noise", [0.1, 0.0])
@pytest.mark.parametrize("mode", [jax.grad, pytest.param(jax.jacfwd, marks=pytest.mark.slow)])
def test_two_classes_of_equal_noise(mode, label_noise):
    """The sampled limit of a linear network is exact, derivatives included, without noise too."""
    p = jnp.array([0.05, label_noise, 0.0])
    exact = slope(jax.grad, "exact")(p)
    np.testing.assert_allclose(slope(mode, "sampled")(p), exact, rtol=1e-6)
    assert np.abs(exact).min() > 0.1


ORTHOGONAL = np.sqrt(5) * np.eye(3, 5)
TWICE = np.array([[1.2, -0.3, 0.5, 0.7, -1.1], *[[0.4, 0.9, -0.8, 0.2, 0.6]] * 2])


@jax.jit
def loss(x):
    model = sx.WideNetwork(2, 3, inputs=x, targets=[1.0, -0.5, 0.3], eta=0.3, gamma0=2.0)
    return sx.solve(model, interpreter=LIMIT).train_loss[-1]


SLOPE = jax.jit(jax.grad(loss))


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [ORTHOGONAL, ORTHOGONAL[[0, 1, 1]], TWICE])
def test_inputs_of_equal_norm_and_inputs_given_twice(inputs):
    """Every derivative in the inputs, against central differences along some directions.

    Their error is of first order in the step: populations of two equal inputs part like |step|.
    """
    along = np.random.default_rng(0).normal(size=(3, 3, 5))
    x, moves = jnp.asarray(inputs), jnp.asarray(along)
    exact = central_differences(
        lambda p: loss(x + jnp.tensordot(p - 1, moves, 1)), np.ones(3), step=1e-5
    )
    found = np.tensordot(along, SLOPE(x), 2)
    np.testing.assert_allclose(found, exact, atol=1e-5 * np.abs(exact).max())
