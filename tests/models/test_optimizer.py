"""One step of the optimizer is the step of the table, in every form parameters come in."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from models.cnn import CNN
from models.gpt import GPT
from models.loss import cross_entropy
from models.optimizer import _schedule, optimizer
from models.roles import path_of, roles
from models.step import start


@pytest.fixture(scope="module")
def model():
    return GPT(32, 2, 2, vocab_size=16, base_width=8, base_layers=4, gamma0=2.0, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def gradient(model):
    """The same shapes, entries of order one."""
    state = nnx.state(model, nnx.Param)
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, drawn)


def flat(state):
    return {path: np.asarray(x.get_value()) for path, x in nnx.to_flat_state(state)}


def steps(model, gradient, count=1, **options):
    """Updates of the last of some steps along the same gradient, by path."""
    options = {"learning_rate": 0.1, "num_steps": 10} | options
    tx, params = optimizer(model, model.scaling, **options), nnx.state(model, nnx.Param)
    state = tx.init(params)
    for _ in range(count):
        updates, state = tx.update(gradient, state, params)
    return flat(updates)


def test_sgd_moves_every_parameter_at_the_rate_of_its_role(model, gradient):
    g, found = flat(gradient), steps(model, gradient)
    for path, role in roles(model).items():
        rate = 0.1 * model.scaling.rate(role.name, "sgd", branch=role.branch)
        np.testing.assert_allclose(found[path], -rate * g[path], rtol=1e-6)
        assert found[path].dtype == np.float32


def test_first_step_of_adam_has_the_size_of_the_rate(model, gradient):
    g, found = flat(gradient), steps(model, gradient, name="adam", epsilon=0.0)
    for path, role in roles(model).items():
        rate = 0.1 * model.scaling.rate(role.name, "adam", branch=role.branch)
        np.testing.assert_allclose(found[path], -rate * np.sign(g[path]), rtol=1e-5)
        assert found[path].dtype == np.float32


@pytest.mark.parametrize("betas", [None, (0.8, 0.7)])
def test_second_step_of_adam_averages_as_its_betas_say(model, gradient, betas):
    """After a gradient g the gradient 3g: first and second moments of both, without their bias."""
    options = {"learning_rate": 0.1, "num_steps": 10, "epsilon": 0.0}
    options |= {} if betas is None else {"betas": betas}
    tx = optimizer(model, model.scaling, name="adam", **options)
    params = nnx.state(model, nnx.Param)
    _, state = tx.update(gradient, tx.init(params), params)
    found = flat(tx.update(jax.tree.map(lambda g: 3 * g, gradient), state, params)[0])
    b1, b2 = betas or (0.9, 0.95)
    size = (b1 + 3) / (b1 + 1) / np.sqrt((b2 + 9) / (b2 + 1))
    g = flat(gradient)
    for path, role in roles(model).items():
        rate = 0.1 * model.scaling.rate(role.name, "adam", branch=role.branch)
        np.testing.assert_allclose(found[path], -rate * size * np.sign(g[path]), rtol=1e-5)


def test_epsilon_follows_the_gradients(model, gradient):
    """Gradients that shrink as they should make the same relative steps."""
    scale = {path: model.scaling.epsilon(branch=r.branch) for path, r in roles(model).items()}
    scaled = jax.tree_util.tree_map_with_path(lambda p, x: x * scale[path_of(p)], gradient)
    found = steps(model, scaled, name="adam", epsilon=1.0)
    g = flat(gradient)
    for path, role in roles(model).items():
        rate = 0.1 * model.scaling.rate(role.name, "adam", branch=role.branch)
        np.testing.assert_allclose(found[path], -rate * g[path] / (np.abs(g[path]) + 1), rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_only_hidden_and_output_kernels_decay_all_at_one_rate(model, gradient, name):
    zero = jax.tree.map(jnp.zeros_like, gradient)
    found = steps(model, zero, name=name, weight_decay=0.3)
    weights = flat(nnx.state(model, nnx.Param))
    for path, role in roles(model).items():
        rate = 0.1 * 0.3 if role.name in ("hidden", "output") else 0.0
        np.testing.assert_allclose(found[path], -rate * weights[path], rtol=1e-5)


def test_momentum_adds_up(model, gradient):
    one, two = (steps(model, gradient, n, momentum=0.5) for n in (1, 2))
    for path in one:
        np.testing.assert_allclose(two[path], 1.5 * one[path], rtol=1e-6)


def test_clipping_bounds_the_gradient_and_not_less(model, gradient):
    norm = float(optax.tree.norm(gradient)) * model.scaling.gamma0
    whole, loose = steps(model, gradient), steps(model, gradient, clip=1.01 * norm)
    tight = steps(model, gradient, clip=norm / 4)
    for path in whole:
        np.testing.assert_array_equal(loose[path], whole[path])
        np.testing.assert_allclose(tight[path], whole[path] / 4, rtol=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_schedules_warm_up_and_cool_down(schedule):
    tiny = GPT(4, 1, 1, vocab_size=8, rngs=nnx.Rngs(0))
    ones = jax.tree.map(jnp.ones_like, nnx.state(tiny, nnx.Param))
    options = {"num_steps": 8, "warmup": 4, "schedule": schedule}
    tx = optimizer(tiny, tiny.scaling, learning_rate=1.0, **options)
    params, path, rates = nnx.state(tiny, nnx.Param), ("blocks", 0, "mlp", "up", "kernel"), []
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(9):
        updates, state = update(ones, state, params)
        rates.append(-flat(updates)[path][0, 0] / tiny.scaling.rate("hidden", "sgd", branch=True))
    after = np.ones(5) if schedule == "constant" else 0.5 + 0.5 * np.cos(np.pi * np.arange(5) / 4)
    np.testing.assert_allclose(rates, [0, 0.25, 0.5, 0.75, *after], atol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 2])
def test_a_warm_up_of_any_length_starts_at_zero(schedule, warmup):
    rate, t = _schedule(schedule, 3.0, 10, warmup), np.arange(10)
    after = 0.5 + 0.5 * np.cos(np.pi * (t - warmup) / (10 - warmup)) if schedule == "cosine" else 1
    expected = np.where(t < warmup, t / max(warmup, 1), after)
    np.testing.assert_allclose(
        jnp.stack([rate(jnp.asarray(i)) for i in t]), 3 * expected, atol=1e-6
    )


def test_model_state_and_plain_arrays_get_the_same_updates(model, gradient):
    expected = steps(model, gradient)
    tx = optimizer(model, model.scaling, learning_rate=0.1, num_steps=10)
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    updates, _ = tx.update(nnx.to_pure_dict(gradient), tx.init(params), params)
    plain = nnx.traversals.flatten_mapping(updates)
    before = flat(nnx.state(model, nnx.Param))
    trained = nnx.clone(model)
    nnx.Optimizer(trained, tx, wrt=nnx.Param).update(trained, gradient)
    for path, value in flat(nnx.state(trained, nnx.Param)).items():
        np.testing.assert_array_equal(np.asarray(plain[path]), expected[path])
        np.testing.assert_allclose(value, before[path] + expected[path], rtol=1e-6)
        assert value.dtype == np.float32


def test_networks_that_differ_in_their_seed_share_a_compilation():
    """Equal ways to train, as the compiled step compares them; others for other numbers."""

    def way(seed, width=16, clip=None, **options):
        model = CNN(width, 2, gamma0=2.0, rngs=nnx.Rngs(seed))
        options = {"learning_rate": 0.1, "num_steps": 10, "clip": clip} | options
        return start(model, optimizer(model, model.scaling, **options), cross_entropy)[0]

    for options in ({}, {"clip": 1.0}, {"name": "adam"}, {"schedule": "cosine", "warmup": 3}):
        assert way(0, **options) == way(1, **options)
        assert hash(way(0, **options)) == hash(way(1, **options))
    changes = [{"learning_rate": 0.2}, {"clip": 2.0}, {"name": "adam"}, {"momentum": 0.5}]
    changes += [{"width": 8}, {"weight_decay": 0.1}, {"schedule": "cosine"}, {"warmup": 3}]
    changes += [{"name": "adam", "betas": (0.8, 0.9)}, {"name": "adam", "epsilon": 1e-3}]
    assert len({way(0), *(way(0, **change) for change in changes)}) == 1 + len(changes)


BAD = {
    "name": {"name": "lion"},
    "learning_rate": {"learning_rate": 0.0},
    "warmup": {"warmup": 10},
    "schedule": {"schedule": "step"},
    "clip": {"clip": -1.0},
    "weight_decay": {"weight_decay": -1.0},
}


def test_the_least_and_the_most_are_allowed(model):
    for num_steps, warmup in ((1, 0), (10, 0), (10, 9)):
        optimizer(model, model.scaling, learning_rate=0.1, num_steps=num_steps, warmup=warmup)


@pytest.mark.parametrize("argument", BAD)
def test_bad_options_are_one_sentence(model, argument):
    with pytest.raises(ValueError, match=f"Argument `{argument}` must be .*, got .*\\."):
        optimizer(model, model.scaling, **{"learning_rate": 0.1, "num_steps": 10} | BAD[argument])
