"""Compiled Dyson laws: no factorisation that can wait for itself; any number of points."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.spectrum.laws.continuation import BATCH

on_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="LAPACK is for the CPU")


def batches(function, *arguments):
    """Number of matrices of every LAPACK call in the compiled code."""
    text = jax.jit(function).lower(*arguments).compile().as_text()
    calls = re.findall(r"= (.*?) custom-call\(.*custom_call_target=\"lapack_", text)
    found = []
    for result in calls:  # the largest of the results is the matrix, or the matrices
        shapes = [[int(n) for n in s.split(",")] for s in re.findall(r"\[([\d,]+)\]", result)]
        found.append(math.prod(max(shapes, key=len)[:-2]))
    return found


@on_cpu
def test_batches_of_matrices_are_found():
    A = jnp.eye(3) * jnp.ones((5, 1, 1))
    assert 5 in batches(jnp.linalg.inv, A)
    assert set(batches(lambda A: jnp.linalg.inv(A[0]), A)) == {1}


@on_cpu
@pytest.mark.slow
@pytest.mark.parametrize("observed", ["density", "edges", "derivatives"])
def test_matrices_are_factorised_one_by_one(observed):
    """Batches of them can wait for each other for ever on few cores; see `continuation`."""
    law = sx.one_step_outputs(1.5, 1.0, 0.4, 1.0, sx.ntk, gamma0=1.0)
    function = {
        "density": lambda law: law.density(jnp.linspace(0.1, 3.0, BATCH + 72)),
        "edges": lambda law: jnp.stack(law.edges()),
        "derivatives": jax.jacfwd(lambda law: jnp.stack(law.edges())),
    }[observed]
    assert set(batches(function, law)) == {1}


@pytest.mark.slow
def test_numbers_of_points_do_not_matter():
    """Batches are filled up; what fills them up is cut off."""
    law = sx.one_step_outputs(2.0, 1.0, 1.0)
    x = jnp.linspace(1.0, 9.0, BATCH + 3)
    np.testing.assert_allclose(law.density(x)[-2:], law.density(x[-2:]), rtol=1e-12)
    assert law.density(jnp.zeros((0, 2))).shape == (0, 2)
    assert law.density(x[:6].reshape(2, 3)).shape == (2, 3)
