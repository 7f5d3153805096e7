"""Networks trained by the loop against the theory, and against its own finite networks."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.sparse.linalg import svds
from scipy.special import softmax

import spectrax as sx
from models.loss import squared_error
from models.training import train
from models.twin import Listed, loss_of_theory, twin
from spectrax.training.functions import LOSSES

CASE = json.loads((Path(__file__).parents[1] / "data" / "cases.json").read_text())["wide"][0]
GIVEN = {name: CASE[name] for name in ("inputs", "targets", "eta", "gamma0")}
RNG = np.random.default_rng(3)
WIDE = {
    "tanh": {"depth": 2, "sigma": 1.2, "momentum": 0.6, "weight_decay": 0.03},
    "schedule": {"depth": 3, "activation": "gelu", "eta": np.linspace(0.1, 0.4, 12)},
    "batches": {"depth": 2, "activation": "relu", "batches": np.array([[0, 1], [1, 2]] * 6)},
    "identity": {"depth": 2, "activation": "identity", "momentum": 0.3, "eta": 0.08},
    "classes": {
        "depth": 2,
        "inputs": RNG.normal(size=(6, 4)),
        "targets": np.eye(3)[[0, 1, 2, 0, 1, 2]],
        "loss": "cross_entropy",
        "eta": 1.0,
    },
    "logistic": {"depth": 1, "targets": [1.0, -1.0, 1.0], "loss": "logistic"},
}
RATIOS = {"alpha": 3.0, "nu": 1.5, "eta": 0.03, "gamma0": 3.0, "sigma": 0.9}
LINEAR = {
    "heavy ball": {"depth": 2, "momentum": 0.6, "weight_decay": 0.02},
    "classes of a linear network": {
        "depth": 1,
        "num_classes": 2,
        "label_noise": 0.3,
        "teacher_gram": [[1.0, 0.5], [0.5, 1.0]],
    },
    "ntk": {"depth": 3, "parameterization": sx.ntk, "eta": np.linspace(0.01, 0.03, 12)},
    "optimizer": {"depth": 2, "optimizer": optax.sgd(1.0, momentum=0.5, nesterov=True)},
}


def model_of(name):
    if name in WIDE:
        return sx.WideNetwork(num_steps=12, **(GIVEN | WIDE[name]))
    return sx.DeepLinear(num_steps=12, **(RATIOS | LINEAR[name]))


def theirs_and_ours(model, size):
    """The theory's own finite network trained, and a Flax network with its weights and data."""
    rounded, sizes = model.rounded(size)
    trainer, key = rounded.trainer(sizes), jax.random.key(5)
    theirs = trainer.start(key)
    store = {name: np.asarray(array) for name, array in theirs.store.items()}
    network, transformation, data = twin(model, size, key=key, dtype=jnp.float64)
    for layer in range(model.depth):
        if layer == 0 and isinstance(model, sx.WideNetwork):
            x = np.asarray(model.inputs)  # whose coordinates the theory takes if they are fewer
            Q = np.linalg.qr(x.T)[0] if len(x) < x.shape[1] else np.eye(x.shape[1])
            network.W[0][...] = jnp.asarray(store["W0"].T @ Q.T)
        else:
            W = store[f"W{layer}"]
            network.W[layer][...] = jnp.asarray(W * np.sqrt(W.shape[1]))
    network.w[...] = jnp.asarray(store["w"])
    if isinstance(model, sx.DeepLinear):
        targets = store["X"] @ store["teacher"].T + store["noise"].T
        everything = np.tile(np.arange(len(targets)), (model.num_steps, 1))
        data = Listed(store["X"] * np.sqrt(size), targets, everything)
    theirs = trainer.train(theirs, key, jnp.asarray(model.num_steps))
    return theirs, network, transformation, data


QUICK = ("tanh", "classes of a linear network")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[] if x in QUICK else pytest.mark.slow) for x in (*WIDE, *LINEAR)],
)
def test_the_loop_is_the_training_of_the_theory(name):
    """Two codes, the same weights to begin with: the same losses and weights at the end."""
    model = model_of(name)
    theirs, network, transformation, data = theirs_and_ours(model, 40)
    loss, size = loss_of_theory(model), data.batch_size
    options = {"num_steps": model.num_steps, "batch_size": size}
    start = np.array(network.W[model.depth - 1][...])
    record = train(network, transformation, data, loss, **options)
    error = np.trace(theirs.seen["train_error"], axis1=1, axis2=2)
    outputs = theirs.seen["train_error"].shape[-1]
    factor = {"mse": 0.5, "logistic": 1.0, "cross_entropy": 1.0}[getattr(model, "loss", "mse")]
    assert outputs == getattr(model, "num_classes", 1)
    np.testing.assert_allclose(record.losses, factor * error, rtol=1e-10)
    for layer in range(isinstance(model, sx.WideNetwork), model.depth):
        matrix, expected = network.matrix(layer), theirs.store[f"W{layer}"]
        np.testing.assert_allclose(matrix, expected, atol=1e-10 * np.abs(expected).max())
    np.testing.assert_allclose(network.w[...], theirs.store["w"], rtol=1e-10, atol=1e-12)
    assert np.abs(network.W[model.depth - 1][...] - start).max() > 1e-3  # it did learn


def test_a_plain_recursion_gives_the_same_training():
    """The equations of the model written out in NumPy, nothing shared."""
    x, y = np.array(CASE["inputs"]), np.array(CASE["targets"])
    N, etas, gamma0, (P, D) = 30, np.linspace(0.3, 0.1, 10), 2.5, x.shape
    options = {"sigma": 1.4, "momentum": 0.6, "weight_decay": 0.03}
    model = sx.WideNetwork(2, 10, inputs=x, targets=y, eta=etas, gamma0=gamma0, **options)
    network, transformation, data = twin(model, N, key=jax.random.key(0), dtype=jnp.float64)
    weights = [np.array(p[...]) for p in (*network.W, network.w)]
    assert abs(weights[1].std() - 1.4) < 0.15
    losses, speeds = [], [0.0] * 3
    for eta in etas:
        W0, W1, w = weights
        h1 = W0 @ x.T / np.sqrt(D)
        h2 = W1 @ np.tanh(h1) / np.sqrt(N)
        delta = y - w[0] @ np.tanh(h2) / (gamma0 * N)
        losses.append(np.mean(delta**2) / 2)
        g2 = (1 - np.tanh(h2) ** 2) * w.T
        g1 = (1 - np.tanh(h1) ** 2) * (W1.T @ g2) / np.sqrt(N)
        step = eta * gamma0 / P
        forces = (
            (g1 * delta) @ x / np.sqrt(D),
            (g2 * delta) @ np.tanh(h1).T / np.sqrt(N),
            delta @ np.tanh(h2).T,
        )
        speeds = [
            0.6 * v + step * force - 0.03 * p
            for v, force, p in zip(speeds, forces, weights, strict=True)
        ]
        weights = [p + v for p, v in zip(weights, speeds, strict=True)]
    record = train(network, transformation, data, squared_error, num_steps=10, batch_size=P)
    np.testing.assert_allclose(record.losses, losses, rtol=1e-10)
    for found, expected in zip((*network.W, network.w), weights, strict=True):
        np.testing.assert_allclose(found[...], expected, atol=1e-10)


@pytest.mark.parametrize("parameterization", [sx.mup, sx.ntk])
def test_rates_of_linear_networks(parameterization):
    r"""$a = 1/(\gamma\sqrt N)$, and $\eta D/N$ of what a step of the readout moves outputs by."""
    etas, ratios = np.array([0.1, 0.3]), {"alpha": 2.0, "nu": 1.5, "gamma0": 3.0}
    options = ratios | {"parameterization": parameterization, "momentum": 0.5}
    model = sx.DeepLinear(2, 2, eta=etas, weight_decay=0.2, sigma=1.3, **options)
    network, transformation, data = twin(model, 20, key=jax.random.key(0), dtype=jnp.float64)
    assert [W.shape for W in network.W] == [(30, 20), (30, 30)] and data.batch_size == 40
    assert network.multiplier == pytest.approx(1 / (float(model.gamma) * 30**0.5))
    assert abs(np.std(network.W[1][...]) - 1.3) < 0.1
    theta, speed = jnp.asarray(2.0), 0.0
    state = transformation.init(theta)
    for eta in np.asarray(model.effective_eta()):
        update, state = transformation.update(jnp.asarray(0.7), state, theta)
        speed = 0.5 * speed - 0.7 * eta * 20 / 30 / network.multiplier**2 - 0.2 * 2.0
        assert float(update) == pytest.approx(speed)


# --- ensembles of networks in single precision against the limit


MODELS = {
    "tanh": (lambda **more: sx.WideNetwork(2, 8, **(GIVEN | more))),
    "identity": (
        lambda **more: sx.DeepLinear(2, 8, alpha=4.0, nu=1.0, eta=0.03, gamma0=8.0, **more)
    ),
}


def mean_and_error(values):
    values = np.array(values)
    return values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5


def largest(W):
    """Eigenvalue of W^T W."""
    return svds(W, 1, v0=np.ones(len(W)), return_singular_vectors=False)[0] ** 2


def ensemble(model, size, seeds, first=0):
    """Mean and standard error of twice the losses, and of the largest eigenvalues of layer 1."""
    losses, tops = [], []
    for seed in range(first, first + seeds):
        network, transformation, data = twin(model, size, key=jax.random.key(seed))
        options = {"num_steps": model.num_steps, "batch_size": data.batch_size}
        record = train(network, transformation, data, squared_error, **options)
        losses.append(2 * record.losses)
        tops.append(largest(np.asarray(network.matrix(1), np.float64)))
        assert network.w.dtype == jnp.float32
    return mean_and_error(losses), mean_and_error(tops)


def theory(model, num_neurons=4096):
    """Losses and the outlier of layer 1 at the end, far above the edge."""
    limit = sx.SampledLimit(num_neurons, key=jax.random.key(0))
    solution = sx.solve(model, interpreter=limit if isinstance(model, sx.WideNetwork) else None)
    found = sx.outliers(sx.spikes(solution, 1, model.num_steps), 1)
    assert found.strength[0] > 1.5 * model.sigma**2
    return np.asarray(solution.train_loss), float(found.location[0])


def agree(model, size, seeds, num_neurons=4096):
    """Whether networks agree with the theory where they say enough."""
    (expected, location), found = theory(model, num_neurons), ensemble(model, size, seeds)
    (loss, error), (top, top_error) = found
    sharp = error < 0.02 * expected
    assert sharp[:4].all() and top_error < 0.01 * location
    print("deviations in standard errors:", (loss - expected)[sharp] / error[sharp])
    print("of the outlier:", (top - location) / top_error, "relative error", top_error / location)
    assert np.abs((loss - expected) / error)[sharp].max() < 4
    assert abs(top - location) < 4 * top_error


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "seeds"), [("tanh", 200, 32), ("identity", 80, 120)])
def test_trained_networks_agree_with_the_theory(name, size, seeds):
    agree(MODELS[name](), size, seeds)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "options", "size", "seeds"),
    [
        ("tanh", {}, 1000, 20),
        ("tanh", {"momentum": 0.5, "weight_decay": 0.02, "eta": 0.2}, 500, 40),
        ("identity", {}, 400, 60),
        ("identity", {"momentum": 0.4, "weight_decay": 0.01}, 400, 80),
        ("identity", {"data": "online"}, 300, 60),
    ],
)
def test_large_ensembles_agree_with_the_theory(name, options, size, seeds):
    agree(MODELS[name](**options), size, seeds, 16384)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "size", "seeds"), [("tanh", 20, 600), ("identity", 40, 400)])
def test_the_difference_halves_when_the_size_doubles(name, size, seeds):
    """Of the last loss: the deviation of finite networks is of order 1/N.

    At four times the size it is smaller than half of the first by two standard errors, which a
    deviation of order 1/√N would be once in forty times.
    """
    model = MODELS[name]()
    (expected, _), gaps, errors = theory(model, 16384), [], []
    for factor in (1, 2, 4):
        (loss, error), _ = ensemble(model, size * factor, seeds)
        gaps.append((loss - expected)[-1])
        errors.append(error[-1])
        print(name, size * factor, gaps[-1] / expected[-1], error[-1] / expected[-1])
    assert gaps[0] > 6 * errors[2]
    assert abs(gaps[1]) < 0.7 * gaps[0] and abs(gaps[2]) < 0.7 * abs(gaps[1]) + 2 * errors[2]
    assert gaps[0] / 2 - abs(gaps[2]) > 2 * np.hypot(errors[0] / 2, errors[2])


# --- losses, data and requests


@pytest.mark.parametrize("loss", ["mse", "logistic", "cross_entropy"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_theory_descends_the_loss(loss, outputs):
    """Its error signal is minus the number of samples times the derivative in each output."""
    rng = np.random.default_rng(4)
    f, y = rng.normal(size=(4, outputs)), np.sign(rng.normal(size=(4, outputs)))
    model = sx.WideNetwork(1, 1, inputs=f, targets=y, eta=0.1, gamma0=1.0, loss=loss)
    slope = jax.grad(lambda f: loss_of_theory(model)(lambda x: x, f, y))(jnp.asarray(f))
    errors = {
        "mse": y - f,
        "logistic": y / (1 + np.exp(y * f)),
        "cross_entropy": y - y.sum(1, keepdims=True) * softmax(f, axis=1),
    }
    np.testing.assert_allclose(-4 * slope, errors[loss], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(LOSSES[loss].error(y, f), errors[loss], rtol=1e-12, atol=1e-14)


def test_population_error_of_linear_networks_is_exact():
    """The basis is all there is to know about a linear map."""
    model = sx.DeepLinear(2, 3, alpha=2.0, nu=1.0, eta=0.02, gamma0=2.0, label_noise=0.5)
    network, transformation, data = twin(model, 40, key=jax.random.key(1), dtype=jnp.float64)
    options = {"num_steps": 3, "batch_size": data.batch_size, "evaluate_every": 1}
    record = train(network, transformation, data, squared_error, evaluation_size=40, **options)
    product = network.w[...] @ network.matrix(1) @ network.matrix(0)
    beta = product * network.multiplier * np.sqrt(40)
    error = np.mean((data.teachers - beta) ** 2)
    np.testing.assert_allclose(2 * record.evaluation_losses[-1], error, rtol=1e-12)
    assert record.evaluation_steps.tolist() == [0, 1, 2, 3]


def test_data_of_the_twin():
    """White inputs, teachers of the given Gram matrix, noise of the given variance."""
    gram = [[1.0, 0.6], [0.6, 1.0]]
    ratios = {"alpha": 2.0, "nu": 0.5, "eta": 0.1, "gamma0": 1.0}
    model = sx.DeepLinear(1, 2, num_classes=2, teacher_gram=gram, label_noise=0.25, **ratios)
    data = twin(model, 400, key=jax.random.key(0))[2]
    x, y = data.batch(0, 800)
    assert x.shape == (800, 400) and y.shape == (800, 2)
    np.testing.assert_allclose(data.teachers @ data.teachers.T / 400, gram, atol=0.2)
    np.testing.assert_allclose([x.mean(), x.var()], [0, 1], atol=0.02)
    noise = y - x @ data.teachers.T / 20
    np.testing.assert_allclose(np.cov(noise.T), 0.25 * np.eye(2), atol=0.05)
    assert data.batch(1, 800)[0] is x
    online = twin(sx.DeepLinear(1, 2, data="online", **ratios), 400, key=jax.random.key(0))[2]
    first, second = online.batch(0, 800)[0], online.batch(1, 800)[0]
    assert abs(np.mean(first * second)) < 0.01 and (online.batch(1, 800)[0] == second).all()
    other = twin(model, 400, key=jax.random.key(1))[2]
    assert abs(np.mean(other.teachers * data.teachers)) < 0.2


def test_bad_requests():
    model = MODELS["tanh"]()
    with pytest.raises(ValueError, match="`size` must be 3, as in the theory, got 2"):
        twin(model, 8, key=jax.random.key(0))[2].batch(0, 2)
    with pytest.raises(ValueError, match="`model` must be a WideNetwork or a DeepLinear"):
        twin(3, 8, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`model` must have a loss that is known by name"):
        loss_of_theory(MODELS["tanh"](loss=lambda y, f: y - f))
