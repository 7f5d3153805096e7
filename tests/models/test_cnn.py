"""The residual CNN: sizes, the role of γ₀, initial outputs in µP."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_networks as plain
import pytest
from flax import nnx

from models.cnn import CNN
from models.optimizer import optimizer

IMAGES = jax.random.normal(jax.random.key(0), (4, 8, 8, 3), jnp.float32)
SIGNS = jax.random.normal(jax.random.key(1), (4, 10), jnp.float32)


def test_sizes():
    model = CNN(16, 3, rngs=nnx.Rngs(0))
    params = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert sum(x.size for x in params) == 27 * 16 + 6 * 9 * 16**2 + 16 * 10
    assert {x.dtype for x in params} == {jnp.dtype(jnp.float32)}
    outputs = model(IMAGES)
    assert outputs.shape == (4, 10) and outputs.dtype == jnp.float32
    assert len(jax.tree.leaves(nnx.state(model))) == len(params)  # nothing but parameters


def test_outputs_are_those_of_the_formula():
    """Two blocks where one is the base, twice the base width, in plain NumPy."""
    options = {"base_width": 2, "base_blocks": 1, "gamma0": 3.0, "stride": 2}
    model = CNN(4, 2, **options, rngs=nnx.Rngs(0))
    x = plain.conv(np.asarray(IMAGES, float), np.asarray(model.input.kernel[...]), 2)
    for block in model.blocks:
        y = plain.conv(plain.relu(x), np.asarray(block.conv1.kernel[...]))
        x = x + plain.conv(plain.relu(y), np.asarray(block.conv2.kernel[...])) / 2
    features = plain.relu(x).mean((1, 2)) / (2 * 3.0)
    expected = features @ np.asarray(model.readout.kernel[...])
    np.testing.assert_allclose(model(IMAGES), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("argument", ["width", "num_blocks", "base_width"])
def test_bad_sizes_are_one_sentence(argument):
    with pytest.raises(ValueError, match=f"Argument `{argument}` must be an integer .* got 0."):
        CNN(**{"width": 8, "rngs": nnx.Rngs(0)} | {argument: 0})


def initial(parameterization, width):
    """Root mean square of the outputs of 24 networks."""

    @jax.jit
    def outputs(key):
        options = {"base_width": 16, "base_blocks": 1, "parameterization": parameterization}
        return CNN(width, 1, **options, rngs=nnx.Rngs(key))(IMAGES)

    found = [outputs(key) for key in jax.random.split(jax.random.key(1), 24)]
    return float(jnp.sqrt(jnp.mean(jnp.stack(found) ** 2)))


def test_initial_outputs_shrink_as_the_root_of_the_width_in_mup_only():
    sizes = {width: (initial("mup", width), initial("standard", width)) for width in (16, 64)}
    assert sizes[16][0] == pytest.approx(sizes[16][1], rel=1e-6)
    assert sizes[64][0] / sizes[16][0] == pytest.approx(4**-0.5, rel=0.2)
    assert sizes[64][1] / sizes[16][1] == pytest.approx(1.0, rel=0.2)


def changes(gamma0, name):
    """One small step down a linear loss: changes of outputs and of the features before readout."""
    model = CNN(16, 1, gamma0=gamma0, stride=2, rngs=nnx.Rngs(2))
    rate = 1e-4 if name == "sgd" else 1e-6  # small: first order is what is compared
    options = {"name": name, "learning_rate": rate, "num_steps": 1}
    tx = optimizer(model, model.scaling, **options, epsilon=1e-12)

    @jax.jit
    def step(model):
        graph, params = nnx.split(model, nnx.Param)
        gradient = jax.grad(lambda p: jnp.mean(nnx.merge(graph, p)(IMAGES) * SIGNS))(params)
        updates, _ = tx.update(gradient, tx.init(params), params)
        return nnx.merge(graph, jax.tree.map(jnp.add, params, updates))

    features = jax.jit(lambda model: model.blocks[0](model.input(IMAGES)))
    after = step(model)
    return np.asarray(after(IMAGES) - model(IMAGES)), np.asarray(features(after) - features(model))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_gamma0_moves_features_and_leaves_the_step_of_the_outputs(name):
    (f1, h1), (f4, h4) = changes(1.0, name), changes(4.0, name)
    assert np.abs(f1).max() > 1e-6
    np.testing.assert_allclose(f4, f1, atol=0.03 * np.abs(f1).max())
    np.testing.assert_allclose(h4, 4 * h1, atol=0.05 * np.abs(h4).max())
