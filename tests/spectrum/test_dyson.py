"""Compiled Dyson laws: one factorisation waits for the other."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.spectrum import dyson

NAME = r"[\w.\-]+"
on_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="LAPACK is for the CPU")


def unordered(function, *arguments):
    """All LAPACK calls of the compiled code, and pairs of which neither needs the other."""
    text = jax.jit(function).lower(*arguments).compile().as_text()
    bodies = {}
    for block in re.split(r"\n(?=\S)", text):
        head = re.match(rf"(?:ENTRY )?%({NAME}) ", block)
        if head:
            bodies[head[1]] = re.findall(rf"^\s+(?:ROOT )?%({NAME}) = (.*)$", block, re.M)

    def calls_lapack(line):
        inner = [bodies[name] for name in re.findall(rf"%({NAME})", line) if name in bodies]
        return "lapack_" in line or any(calls_lapack(rest) for body in inner for _, rest in body)

    pairs = []
    for body in bodies.values():  # values stand above what needs them
        needs, calls = {}, []
        for name, line in body:
            used = set(re.findall(rf"%({NAME})", line))
            needs[name] = used.union(*(needs.get(other, ()) for other in used))
            if calls_lapack(line):
                pairs += [(other, name) for other in calls if other not in needs[name]]
                calls.append(name)
    return text.count("lapack_"), pairs


@on_cpu
def test_two_inverses_that_need_not_wait_are_found():
    A = jnp.eye(3) * jnp.ones((5, 1, 1))
    count, pairs = unordered(lambda A: jnp.linalg.inv(A) + jnp.linalg.inv(A + 1), A)
    assert count >= 2 and pairs
    assert not unordered(lambda A: jnp.linalg.inv(jnp.linalg.inv(A) + 1), A)[1]


@on_cpu
@pytest.mark.slow
@pytest.mark.parametrize("observed", ["density", "support", "derivatives"])
def test_two_factorisations_never_run_at_once(observed):
    """On few cores they can wait for each other forever."""
    law = sx.one_step_outputs(1.5, 1.0, 0.4, 1.0, sx.ntk, gamma0=1.0)
    function = {
        "density": lambda law: law.density(jnp.linspace(0.1, 3.0, dyson.BATCH + 72)),
        "support": lambda law: dyson.support(law, 2),
        "derivatives": jax.jacfwd(lambda law: dyson.support(law, 2)),
    }[observed]
    count, pairs = unordered(function, law)
    assert count > 10 and not pairs


def test_numbers_of_points_do_not_matter():
    """Batches are filled up; what fills them up is cut off."""
    law = sx.one_step_outputs(2.0, 1.0, 1.0)
    x = jnp.linspace(1.0, 9.0, dyson.BATCH + 3)
    np.testing.assert_allclose(law.density(x)[-2:], law.density(x[-2:]), rtol=1e-12)
    assert law.density(jnp.zeros((0, 2))).shape == (0, 2)
    assert law.density(x[:6].reshape(2, 3)).shape == (2, 3)
