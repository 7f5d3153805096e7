"""Nothing is compiled or planned twice for models that differ in numbers only."""

import jax
import numpy as np
import pytest
from compilations import compilations

import spectrax as sx
from spectrax.program import causal
from spectrax.training.functions import ACTIVATIONS, is_smooth

INPUTS = np.random.default_rng(0).normal(size=(3, 5))


def linear(eta=0.02, alpha=3.0, **options):
    return sx.DeepLinear(2, 6, alpha=alpha, nu=1.5, eta=eta, gamma0=2.0, **options)


def wide(gamma0=1.0, samples=3, activation="gelu"):
    data = {"inputs": INPUTS[:samples], "targets": [1.0, -1.0, 0.5][:samples]}
    return sx.WideNetwork(2, 3, **data, eta=0.2, gamma0=gamma0, activation=activation)


@pytest.fixture
def plans(monkeypatch):
    """Counts how often a program is looked through."""
    made, make = [], causal.make_plan

    def counted(programs, dims):
        made.append(programs)
        return make(programs, dims)

    monkeypatch.setattr(causal, "make_plan", counted)
    return made


def test_a_model_is_compiled_and_planned_once(plans):
    float(sx.solve(linear()).test_loss[-1])
    before, losses = len(plans), []
    with compilations() as found:
        for eta, alpha in ((0.03, 3.0), (0.02, 5.0)):
            losses.append(sx.solve(linear(eta, alpha)).test_loss[-1])
    assert found.number == 0 and len(plans) == before
    assert abs(losses[0] - losses[1]) > 1e-3  # the new numbers were used


@pytest.mark.slow
def test_a_wide_network_is_made_and_solved_without_compiling_again(plans):
    limit = sx.SampledLimit(64, key=jax.random.key(0))
    first = float(sx.solve(wide(), interpreter=limit).train_loss[-1])
    before = len(plans)
    with compilations() as found:
        second = float(sx.solve(wide(2.0), interpreter=limit).train_loss[-1])
    assert found.number == 0 and len(plans) == before
    assert first != second


@pytest.mark.slow
def test_other_structures_have_other_plans():
    """What is static, and the shapes of arrays; not what they hold."""
    same = [linear(), linear(0.5), linear(np.linspace(0.1, 0.2, 6))]
    assert len({m.plan() for m in same}) == 1
    different = [linear(), linear(num_classes=2), linear(data="online"), wide(), wide(samples=2)]
    assert len({m.plan() for m in different}) == len(different)
    for model in (*same, *different, wide(activation="identity")):
        assert model.plan() == model.task().plan
    assert wide(activation="identity").plan().linear and not wide().plan().linear


def test_a_plan_made_while_tracing_holds_nothing_traced():
    def loss(label_noise):
        return sx.solve(linear(0.01, label_noise=label_noise)).train_loss[-1]

    inside = jax.jit(jax.vmap(loss))(np.array([0.1, 0.2]))
    np.testing.assert_allclose(inside, [loss(0.1), loss(0.2)], rtol=1e-12)


def test_smoothness_is_found_once_for_each_function():
    kinks = {name: is_smooth(function) for name, function in ACTIVATIONS.items()}
    assert [name for name, smooth in kinks.items() if not smooth] == ["relu"]
    wide(3.0)  # arrays of its own
    with compilations() as found:
        assert all(is_smooth(f) == kinks[name] for name, f in ACTIVATIONS.items())
        assert not is_smooth(ACTIVATIONS["relu"]) and wide(3.0).smooth
    assert found.number == 0
