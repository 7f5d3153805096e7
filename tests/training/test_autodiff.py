"""Training by the program against derivatives of the loss of a plain network, and NumPy.

Both start from the same weights and see the same data; the network, its loss and the optimizer are
written out here from the docstrings of the models, and nothing of the package is used but its
initial arrays. Every optimizer, number of classes, loss and way of taking batches occurs once.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import spectrax as sx
from spectrax.program.finite import FiniteOps

T, SIZE, KEY = 3, 8, jax.random.key(5)
RNG = np.random.default_rng(3)
GRAM = [[1.0, 0.5], [0.5, 2.0]]
RATIOS = {"alpha": 1.5, "nu": 0.75, "eta": 0.02, "gamma0": 2.0}
LINEAR = {
    "momentum, decay, schedule, noise": {
        "depth": 2, "momentum": 0.6, "weight_decay": 0.03, "eta": [0.03, 0.01, 0.02],
        "label_noise": 0.5, "sigma": 1.3,
    },
    "nesterov, classes, ntk": {
        "depth": 1, "optimizer": optax.sgd(1.0, momentum=0.5, nesterov=True), "num_classes": 2,
        "teacher_gram": GRAM, "parameterization": sx.ntk,
    },
    "online, depth, own exponents": {
        "depth": 3, "data": "online", "label_noise": 0.3, "num_classes": 2, "eta": 0.01,
        "parameterization": sx.Parameterization(0.3, 0.2),
    },
}  # fmt: skip
SAMPLES = {"inputs": RNG.normal(size=(5, 3)), "targets": RNG.normal(size=(5, 2))}
WIDE = {
    "batches, momentum, decay, one output, tests": {
        "depth": 2, "targets": RNG.normal(size=5), "batches": [[0, 1, 4], [3, 1, 2], [4, 0, 0]],
        "momentum": 0.4, "weight_decay": 0.05, "test_inputs": RNG.normal(size=(2, 3)),
    },
    "cross entropy, schedule": {
        "depth": 2, "loss": "cross_entropy", "activation": "gelu", "eta": [0.5, 0.2, 0.3],
        "targets": [[1.0, 0, 0], [0, 0, 2.0], [0, 1, 0], [0.5, 0.5, 0], [0, 1, 0]],
    },
    "logistic, kink, coordinates": {
        "depth": 2, "loss": "logistic", "activation": "relu", "inputs": RNG.normal(size=(2, 4)),
        "targets": [[1.0, -1.0], [1.0, 1.0]],
    },
    "own error, one layer": {"depth": 1, "loss": lambda y, f: y - jnp.sin(f), "sigma": 0.8},
    "squared error, identity, depth": {"depth": 3, "activation": "identity"},
}  # fmt: skip
LOSS = {
    "mse": lambda y, f: jnp.sum((y - f) ** 2) / 2,
    "logistic": lambda y, f: jnp.sum(jnp.logaddexp(0.0, -y * f)),
    "cross_entropy": lambda y, f: -jnp.sum(y * jax.nn.log_softmax(f, axis=-1)),
    "own": lambda y, f: -jnp.sum(y * f + jnp.cos(f)),  # whose error signal is y - sin(f)
}
ACTIVATIONS = {
    "tanh": jnp.tanh,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "relu": jax.nn.relu,
}


@eqx.filter_jit
def start_and_end(trainer):
    start = trainer.start(KEY)
    return start, trainer.train(start, KEY, jnp.asarray(T))


def trained(model):
    """Weights before and after the training, and what was seen, by the program."""
    model, sizes = model.rounded(SIZE)
    trainer = model.trainer(sizes)
    start, end = start_and_end(trainer)
    store = {name: np.asarray(x) for name, x in start.store.items()}
    return model, sizes, store, {name: np.asarray(x) for name, x in end.store.items()}, end.seen


def descend(weights, objective, batches, rates, model):
    """Objectives before each update and weights after the last one, by a plain optimizer."""
    value_and_gradient = jax.jit(jax.value_and_grad(objective))
    velocity, values = [0.0 * W for W in weights], []
    nesterov = getattr(model, "optimizer", None) is not None
    mu = 0.5 if nesterov else float(model.momentum)
    for batch, rate in zip(batches, rates, strict=True):
        value, gradient = value_and_gradient(weights, *batch)
        values.append(float(value))
        decay = float(model.weight_decay)
        push = [-rate * g - decay * W for g, W in zip(gradient, weights, strict=True)]
        velocity = [mu * v + p for v, p in zip(velocity, push, strict=True)]
        move = [p + mu * v for v, p in zip(velocity, push, strict=True)] if nesterov else velocity
        weights = [W + x for W, x in zip(weights, move, strict=True)]
    return np.array(values), [np.asarray(W) for W in weights]


@pytest.mark.parametrize("name", LINEAR)
def test_deep_linear_training_descends_the_loss(name):
    """f = w·W…W x / (γ √N), every weight over the root of its fan-in, step η γ² D."""
    model = sx.DeepLinear(num_steps=T, **(RATIOS | LINEAR[name]))
    model, sizes, store, end, seen = trained(model)
    D, N, P = sizes["input"], sizes["hidden1"], sizes["samples"]
    nu, parameterization = N / D, model.parameterization
    gamma = 2.0 * nu**parameterization.output_exponent
    eta = np.broadcast_to(model.eta, T) * nu**parameterization.lr_exponent
    online = model.data == "online"

    def data(t):
        """Raw inputs, and labels with noise."""
        ops = FiniteOps({}, sizes, KEY, jnp.asarray(t), {})
        given = store
        if online:
            X = ops._sample("X", (P, D), fresh=True) / np.sqrt(D)
            noise = ops._sample("noise", (model.num_classes, P), fresh=True)
            given = {"X": X, "noise": noise * np.sqrt(0.3)}
        labels = given["X"] @ store["teacher"].T + given["noise"].T
        return given["X"] * np.sqrt(D), labels

    def outputs(weights, x):
        *W, w = weights
        for matrix in W:
            x = x @ matrix.T / np.sqrt(matrix.shape[1])
        return x @ w.T / (gamma * np.sqrt(N))

    def objective(weights, x, y):
        return jnp.sum((y - outputs(weights, x)) ** 2) / (2 * P)

    names = [f"W{k}" for k in range(model.depth)]
    raw = [store[k] * np.sqrt(store[k].shape[1]) for k in names] + [store["w"]]
    values, found = descend(raw, objective, map(data, range(T)), eta * gamma**2 * D, model)
    for k, W in zip(names, found, strict=False):
        np.testing.assert_allclose(end[k], W / np.sqrt(W.shape[1]), rtol=1e-9, atol=1e-12)
        assert np.abs(end[k] - store[k]).max() > 1e-3
    np.testing.assert_allclose(end["w"], found[-1], rtol=1e-9, atol=1e-12)
    error = np.trace(seen["train_error"], axis1=1, axis2=2)
    np.testing.assert_allclose(error / 2, values, rtol=1e-9)
    unit = np.sqrt(D) * np.eye(D)  # the population: every direction once
    test = np.mean((unit @ store["teacher"].T / np.sqrt(D) - outputs(raw, unit)) ** 2, axis=0)
    np.testing.assert_allclose(np.diag(seen["test_error"][0]), test, rtol=1e-9)


@pytest.mark.parametrize("name", WIDE)
def test_wide_training_descends_the_loss(name):
    """f = w·φ(h) / (γ₀ N), step η γ₀² N; the mean over the samples of each step."""
    options = {"eta": 0.3, "gamma0": 1.5} | SAMPLES | WIDE[name]
    model, _, store, end, seen = trained(sx.WideNetwork(num_steps=T, **options))
    x, y = np.array(options["inputs"]), np.array(options["targets"])
    y = y[:, None] if y.ndim == 1 else y
    P, D = x.shape
    phi = ACTIVATIONS.get(model.activation, lambda h: h)
    Q = np.linalg.qr(x.T)[0] if P < D else np.eye(D)  # coordinates, where inputs are few

    def outputs(weights, x):
        first, *W, w = weights
        h = phi(x @ first.T / np.sqrt(D))
        for matrix in W:
            h = phi(h @ matrix.T / np.sqrt(SIZE))
        return h @ w.T / (1.5 * SIZE)

    ell = LOSS[model.loss if isinstance(model.loss, str) else "own"]

    def objective(weights, x, y):
        return ell(y, outputs(weights, x)) / len(x)

    batches = [(x[k], y[k]) for k in np.array(options.get("batches", [np.arange(P)] * T))]
    names = [f"W{k}" for k in range(1, model.depth)]
    raw = [store["W0"].T @ Q.T, *(store[k] * np.sqrt(SIZE) for k in names), store["w"]]
    rates = np.broadcast_to(options["eta"], T) * 1.5**2 * SIZE
    values, found = descend(raw, objective, batches, rates, model)
    np.testing.assert_allclose(end["W0"].T, found[0] @ Q, rtol=1e-9, atol=1e-12)
    for k, W in zip(names, found[1:-1], strict=True):
        np.testing.assert_allclose(end[k], W / np.sqrt(SIZE), rtol=1e-9, atol=1e-12)
        assert np.abs(end[k] - store[k]).max() > 1e-3
    np.testing.assert_allclose(end["w"], found[-1], rtol=1e-9, atol=1e-12)
    first = outputs(raw, batches[0][0])
    np.testing.assert_allclose(seen["predictions"][0].reshape(first.shape), first, rtol=1e-9)
    if model.test_inputs is not None:
        test = outputs(raw, options["test_inputs"])[:, 0]
        np.testing.assert_allclose(seen["test_predictions"][0], test, rtol=1e-9)
    if isinstance(model.loss, str):  # reported: means over outputs, of squares without the ½
        per = {"mse": 2 / y.shape[1], "logistic": 1 / y.shape[1], "cross_entropy": 1.0}[model.loss]
        np.testing.assert_allclose(seen["train_error"][:, 0, 0], per * values, rtol=1e-9)


def test_hebbian_matrices_follow_their_equations():
    """Spikes of all steps fade, the newest one too; what was there before them does not."""
    options = {"dt": 0.3, "mu": 0.4, "kappa": 2.0, "decay": 0.5, "sigma": 1.2, "x0_variance": 2.0}
    model, _, store, end, seen = trained(sx.AntiHebbian(T, activation="tanh", **options))
    x, J0, S, activity = store["x0"][0], store["J0"], 0.0, []
    np.testing.assert_allclose(J0, J0.T)
    for _ in range(T):
        activity.append(np.mean(np.tanh(x) ** 2))
        phi = np.tanh(x)
        move = (J0 + S) @ phi - 0.4 * x
        S = np.exp(-0.5 * 0.3) * (S - 0.3 * 2.0 * np.outer(phi, phi) / SIZE)
        x = x + 0.3 * move
    np.testing.assert_allclose(seen["activity"], activity, rtol=1e-10)
    np.testing.assert_allclose(end["J0"], J0 + S, rtol=1e-10, atol=1e-14)


def test_spikes_are_coupled_by_the_given_matrix():
    """f_k K_kl e_l, and not its transpose: no training, only fields of the bare matrix."""
    K = jnp.array([[1.0, 2.0, 0.0], [-1.0, 0.5, 3.0], [0.0, 0.0, 2.0]])
    fields = {
        "H": lambda k, xi, x: jnp.tanh(x[0] + xi.sum(0)),
        "G": lambda k, chi, y: chi[k] ** 2 + y[0],
    }
    model, sizes = sx.CoupledSpikeModel(T, K=K, aspect=1.5, **fields).rounded(SIZE)
    trainer = model.trainer(sizes)
    start, end = start_and_end(trainer)
    W0, x, y = (np.asarray(start.store[name]) for name in ("W0", "x", "y"))
    e, f = [], []
    for _ in range(T):
        e.append(np.tanh(x[0] + sum(W0.T @ g for g in f)))
        f.append((W0 @ e[-1]) ** 2 + y[0])
    W = W0 + sum(K[k, l] * np.outer(f[k], e[l]) for k in range(T) for l in range(T)) / SIZE
    np.testing.assert_allclose(model.matrix(end, "W0"), W, rtol=1e-10, atol=1e-12)
