"""The fully connected network: its formula, sizes, and what moves at which width."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.dense import Dense
from models.loss import cross_entropy
from models.optimizer import optimizer
from models.roles import hidden_kernels, roles

INPUTS = jax.random.normal(jax.random.key(0), (5, 4, 3), jnp.float32)
LABELS = jnp.arange(5)


def network(width, parameterization="mup", depth=3, gamma0=1.0):
    options = {"base_width": 16, "parameterization": parameterization, "gamma0": gamma0}
    return Dense(width, depth, inputs=12, outputs=6, rngs=nnx.Rngs(1), **options)


def test_outputs_are_those_of_the_formula():
    model = network(32, gamma0=2.0)
    kernels = {".".join(map(str, path)): np.asarray(x.get_value()) for path, x in paths(model)}
    h = np.maximum(np.asarray(INPUTS).reshape(5, 12) @ kernels["input.kernel"], 0)
    for l in range(2):
        h = np.maximum(h @ kernels[f"hidden.{l}.kernel"], 0)
    expected = h @ kernels["readout.kernel"] / (2 * 2.0)  # twice the base width, gamma0 = 2
    np.testing.assert_allclose(model(INPUTS), expected, rtol=2e-5, atol=1e-6)


def paths(model):
    return nnx.to_flat_state(nnx.state(model, nnx.Param))


def test_sizes_and_roles():
    model = network(32)
    shapes = [x.get_value().shape for _, x in paths(model)]
    assert sorted(shapes) == sorted([(12, 32), (32, 32), (32, 32), (32, 6)])
    assert sorted(role.name for role in roles(model).values()) == sorted(
        ["input", "hidden", "hidden", "output"]
    )
    assert len(hidden_kernels(model)) == 2
    assert not hidden_kernels(network(32, depth=1))


@pytest.mark.parametrize("argument", ["width", "depth", "inputs", "outputs", "base_width"])
def test_bad_sizes_are_one_sentence(argument):
    options = {"width": 8, "inputs": 3, "outputs": 2, "rngs": nnx.Rngs(0)} | {argument: 0}
    with pytest.raises(ValueError, match=f"Argument `{argument}` must be an integer .* got 0."):
        Dense(**options)


def movement(width, parameterization):
    """Root mean square change of the outputs by five steps of Adam."""
    model = network(width, parameterization)
    options = {"name": "adam", "learning_rate": 3e-3, "num_steps": 5}
    transformation = optimizer(model, model.scaling, **options)
    graph, params = nnx.split(model, nnx.Param)

    @jax.jit
    def step(params, state):
        def loss(params):
            return cross_entropy(nnx.merge(graph, params), INPUTS, LABELS)

        updates, state = transformation.update(jax.grad(loss)(params), state, params)
        return jax.tree.map(jnp.add, params, updates), state

    before, state = model(INPUTS), transformation.init(params)
    for _ in range(5):
        params, state = step(params, state)
    return float(jnp.sqrt(jnp.mean((nnx.merge(graph, params)(INPUTS) - before) ** 2)))


def test_outputs_move_alike_at_every_width_in_mup_only():
    mup = movement(512, "mup") / movement(32, "mup")
    standard = movement(512, "standard") / movement(32, "standard")
    assert 0.7 < mup < 1.4
    assert standard > 4
