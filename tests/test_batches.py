"""A batch of solutions, as `jax.vmap(solve)` returns it, is its elements one by one."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.spectrum.spikes.determinant import determinant_outliers, response_matrix
from spectrax.spectrum.trajectory.compress import compress

T, RATES = 4, (0.1, 0.15, 0.4)


def model(eta, classes=1):
    return sx.DeepLinear(1, T, alpha=4.0, nu=1.0, eta=eta, gamma0=4.0, num_classes=classes)


@cache
def solutions(classes=1):
    """A batch, and its elements."""
    models = eqx.filter_vmap(lambda eta: model(eta, classes))(jnp.array(RATES))
    batch = jax.jit(jax.vmap(sx.solve))(models)
    arrays, rest = eqx.partition(batch, eqx.is_array)
    ones = [jax.tree.map(lambda x, i=i: x[i], arrays) for i in range(len(RATES))]
    return batch, [eqx.combine(one, rest) for one in ones]


def last(solution):
    return sx.spikes(solution, 0, T)


SLOW = pytest.mark.slow
ASKED = {
    "ntk_path": lambda s: sx.ntk_path(s),
    "stability": lambda s: sx.stability(s, kernel="population"),
    "compress": lambda s: compress(s.weights(0), rank=3),
    "compressed weights": lambda s: compress(s.weights(0), rank=3).at(2),
    "response_matrix": lambda s: response_matrix(last(s), 9.0 + 1.0j),
    "resolvent_overlaps": lambda s: sx.resolvent_overlaps(last(s), jnp.array([20.0, -1.0])),
    "determinant_outliers": lambda s: determinant_outliers(last(s), 1, grid=64),
    "krylov": lambda s: sx.krylov(s, 0, T, num=6),
    "ritz_values": lambda s: sx.ritz_values(s, -1, 2, num=6),
    "ntk_path on samples": lambda s: sx.ntk_path(s, kernel="train", num=4),
    "ntk_top": lambda s: sx.ntk_top(s, T),
}
OFTEN = ("ntk_path",)


CASES = [pytest.param(name, 1, marks=[SLOW] * (name not in OFTEN)) for name in ASKED]
CASES += [pytest.param(name, 2, marks=SLOW) for name in ("compress", "krylov")]


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_answers_for_a_batch_are_those_of_its_elements(name, classes):
    batch, ones = solutions(classes)
    many, each = ASKED[name](batch), [ASKED[name](one) for one in ones]
    assert not same(many, each[::-1])
    assert same(many, each)


def same(many, each) -> bool:
    """Whether every leaf of a batch holds those of its elements, in their order."""
    for i, one in enumerate(each):
        pairs = zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True)
        if not all(np.allclose(x[i], y, rtol=1e-9, atol=1e-12) for x, y in pairs):
            return False
    return True


def test_messages_of_a_batch_are_counted():
    batch, ones = solutions()
    found = sx.stability(batch, kernel="population")
    crossed = [int(sx.stability(one, kernel="population").crossed_at) for one in ones]
    assert crossed == [T, T, 1]
    assert found.message == (
        "2 of 3: The training was solved. 1 of 3: The training is unstable from step 1 on."
    )
    assert batch.message == "3 of 3: The training was solved."
