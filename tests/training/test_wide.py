"""Wide nonlinear networks: reference case, independent evaluations, limits, derivatives."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences
from oracles import Normals, wide_network_by_derivatives

import spectrax as sx
from spectrax.training.functions import ACTIVATIONS, activation_function, is_smooth

CASE = json.loads((Path(__file__).parents[1] / "data" / "cases.json").read_text())["wide"][0]
SMALL = {"inputs": np.array(CASE["inputs"])[:2], "targets": [1.0, -0.5], "eta": 0.3}
RELU = {"inputs": np.random.default_rng(7).normal(size=(3, 5)), "targets": [1.0, -1.0, 0.5]}
FRESH = {  # new samples at every step, two classes
    "inputs": np.random.default_rng(5).normal(size=(30, 8)),
    "targets": np.eye(2)[(np.random.default_rng(5).normal(size=(30, 8))[:, 0] > 0).astype(int)],
    "batches": np.arange(30).reshape(10, 3),
    "loss": "cross_entropy",
    "eta": 0.5,
    "weight_decay": 0.02,
    "test_inputs": np.random.default_rng(6).normal(size=(2, 8)),
}


def limit(num_neurons, seed=0, **options):
    return sx.SampledLimit(num_neurons, key=jax.random.key(seed), **options)


def solved(depth, num_steps, num_neurons=1024, *, seed=0, signs=False, **options):
    model = sx.WideNetwork(depth, num_steps, **options)
    return sx.solve(model, interpreter=limit(num_neurons, seed, signs=signs))


def outlier(solution, layer, step):
    return float(sx.outliers(sx.spikes(solution, layer, step), 1).location[0])


@pytest.fixture(scope="module")
def reference():
    options = {name: CASE[name] for name in ("inputs", "targets", "eta", "gamma0", "sigma")}
    return solved(CASE["depth"], CASE["num_steps"], 16384, **options)


def test_reference_case(reference):
    """Half a per cent, the scatter of its own sampling; networks of the case within 4 s.e."""
    expected = np.array(CASE["predictions"])
    np.testing.assert_allclose(reference.predictions, expected, atol=0.005 * np.abs(expected).max())
    kernel = np.array(CASE["Phi_last_layer_last_step"])
    np.testing.assert_allclose(reference.order.Ch[2][-3:, -3:], kernel, rtol=5e-3)
    simulated = CASE["simulation"]
    for k, step in enumerate(CASE["steps"]):
        value = outlier(reference, 1, step)
        np.testing.assert_allclose(value, CASE["top_eigenvalue_theory"][k], rtol=5e-3)
        gap = value - simulated["top_eigenvalue_mean"][k]
        assert abs(gap) < 4 * simulated["top_eigenvalue_se"][k]
    np.testing.assert_allclose(
        [outlier(reference, 1, 5), outlier(reference, 1, 9)], [5.452, 6.892], atol=0.005
    )


@pytest.mark.slow
def test_derivatives_of_every_neuron_give_the_same_network():
    """Independent: other code, plain Monte Carlo, responses as averages of derivatives."""
    X, y = np.array(SMALL["inputs"]), np.array(SMALL["targets"])
    functions = {
        "phi": np.tanh,
        "dphi": lambda x: 1 - np.tanh(x) ** 2,
        "ddphi": lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
    }
    runs = [
        wide_network_by_derivatives(
            X, y, 3, 5, eta=0.3, gamma0=3.0, sigma=1.2, **functions, z=Normals(6000, seed)
        )
        for seed in range(4)
    ]
    solution = solved(3, 5, 8192, gamma0=3.0, sigma=1.2, **SMALL)
    for ours, theirs in (
        (solution.predictions[1:], np.stack([f[1:] for f, _ in runs])),
        (np.diag(solution.order.Ch[3]), np.stack([np.diag(kernel) for _, kernel in runs])),
    ):
        stderr = theirs.std(0, ddof=1) / 2
        assert np.max(stderr / np.abs(theirs.mean(0))) < 0.03
        assert np.abs((theirs.mean(0) - ours) / stderr).max() < 5


@pytest.mark.slow
def test_kinks_need_steins_lemma():
    """ReLU: derivatives, which lose the kink, give losses .036 .024 .030 instead."""
    solution = solved(2, 12, 16384, eta=0.4, gamma0=4.0, activation="relu", **RELU)
    networks, stderr = np.array([0.0446, 0.0299, 0.0442]), np.array([6e-4, 6e-4, 12e-4])
    assert np.abs((solution.train_loss[9:12] - networks) / stderr).max() < 4
    relu = {"phi": lambda x: np.maximum(x, 0), "dphi": lambda x: 1.0 * (x > 0)}
    wrong, _ = wide_network_by_derivatives(
        RELU["inputs"],
        np.array(RELU["targets"]),
        2,
        12,
        eta=0.4,
        gamma0=4.0,
        sigma=1.0,
        **relu,
        ddphi=np.zeros_like,
        z=Normals(4000, 0),
    )
    losses = np.mean((wrong - RELU["targets"]) ** 2, axis=1)
    assert losses[9] < 0.04


LAZY = [("erf", 1), ("relu", 1), pytest.param("erf", 3, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("activation", "depth"), LAZY)
def test_lazy_networks_follow_their_tangent_kernel(activation, depth):
    """f(t + 1) = f(t) + eta/B K Delta, K = sum_l Phi^l prod_{k > l} slope^k, in closed form."""
    X, y = np.array(SMALL["inputs"]), np.array(SMALL["targets"])
    options = SMALL | {"gamma0": 1e-3, "activation": activation}
    solution = solved(depth, 6, 16384, signs=True, **options)
    phi = K = X @ X.T / X.shape[1]
    for _ in range(depth):
        norm = np.sqrt(np.diag(phi))
        if activation == "relu":
            size, cosine = np.outer(norm, norm), phi / np.outer(norm, norm)
            angle = np.arccos(np.clip(cosine, -1, 1))
            slope = (np.pi - angle) / (2 * np.pi)
            phi = size * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
        else:
            scale = np.outer(1 + 2 * norm**2, 1 + 2 * norm**2)
            slope = 4 / np.pi / np.sqrt(scale - 4 * phi**2)
            phi = 2 / np.pi * np.arcsin(2 * phi / np.sqrt(scale))
        K = phi + slope * K
    f = np.zeros(2)
    for t in range(6):
        np.testing.assert_allclose(solution.predictions[t], f, atol=2e-3 * np.abs(y).max())
        f = f + 0.3 / 2 * K @ (y - f)


@pytest.mark.slow
def test_whitened_linear_network_aligns_its_features():
    r"""Gradient flow: the kernel along y ends at sqrt(1 + gamma0^2 |y|^2)."""
    P, y, gamma0 = 2, np.array([0.8, -0.6]), 2.0
    model = sx.WideNetwork(
        1,
        400,
        inputs=np.sqrt(P) * np.eye(P),
        targets=y,
        eta=0.05,
        gamma0=gamma0,
        activation="identity",
    )
    solution = sx.solve(model)
    assert solution.train_loss[-1] < 1e-6
    kernel = solution.order.Ch[1][-P:, -P:]
    along = y @ kernel @ y / (y @ y)
    np.testing.assert_allclose(along, np.sqrt(1 + gamma0**2 * y @ y), rtol=0.02)


def test_identity_is_the_wide_deep_linear_network():
    """gamma0 of a wide network is that of section 3 over sqrt D, eta is D times."""
    D, gamma0, eta = 6, 4.0, 0.05
    x = np.random.default_rng(0).normal(size=(3, D))
    networks = sx.WideNetwork(
        2,
        6,
        inputs=x,
        targets=x[:, 0] * np.sqrt(D) / np.sqrt(D),
        eta=eta * D,
        gamma0=gamma0 / np.sqrt(D),
        activation="identity",
    )
    solution = sx.solve(networks)
    # the same training written out for networks of finite width, in the scaling of section 3
    N, seeds, f = 800, 12, []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        W0, W1, w = rng.normal(size=(N, D)), rng.normal(size=(N, N)), rng.normal(size=N)
        gamma = gamma0 * np.sqrt(N / D)
        out = []
        for _ in range(6):
            h1 = W0 @ x.T / np.sqrt(D)
            h2 = W1 @ h1 / np.sqrt(N)
            f_now = w @ h2 / (gamma * np.sqrt(N))
            delta = x[:, 0] - f_now
            out.append(f_now)
            step = eta * gamma**2 * D / 3 / (gamma * np.sqrt(N))
            g1 = W1.T @ w / np.sqrt(N)
            W0, W1, w = (
                W0 + step * np.outer(g1, delta @ x) / np.sqrt(D),
                W1 + step * np.outer(w, h1 @ delta) / np.sqrt(N),
                w + step * h2 @ delta,
            )
        f.append(out)
    f = np.array(f)
    z = (f.mean(0) - solution.predictions)[1:] / (f.std(0, ddof=1) / np.sqrt(seeds))[1:]
    assert np.abs(z).max() < 4


@pytest.mark.slow
def test_symmetries_of_the_samples(reference):
    """Permuted samples are permuted outputs; a sample given twice counts twice."""
    base = {"eta": 0.3, "gamma0": 2.0}
    X, y = np.array(CASE["inputs"]), np.array([1.5, -1.5, 0.75])
    first = solved(2, 3, 4096, inputs=X, targets=y, **base).predictions
    order = [2, 0, 1]
    second = solved(2, 3, 4096, inputs=X[order], targets=y[order], **base).predictions
    np.testing.assert_allclose(second, first[:, np.array(order)], atol=0.01)
    twice = solved(2, 3, 4096, inputs=X[[0, 1, 1]], targets=y[[0, 1, 1]], **base).predictions
    batches = np.tile([0, 1, 1], (3, 1))
    listed = solved(2, 3, 4096, inputs=X, targets=y, batches=batches, **base).predictions
    np.testing.assert_allclose(listed, twice, atol=0.01)
    np.testing.assert_allclose(twice[:, 1], twice[:, 2], atol=1e-9)


@pytest.mark.slow
def test_derivatives_of_predictions_strengths_and_escape_times():
    """On fixed noise, both modes, against fourth-order central differences."""
    interpreter = limit(256)

    def observed(p):
        model = sx.WideNetwork(2, 4, gamma0=p[0], sigma=p[2], **(SMALL | {"eta": p[1]}))
        solution = sx.solve(model, interpreter=interpreter, throw=False)
        strength = sx.outliers(sx.spikes(solution, 1, 4), 1).strength[0]
        escape = sx.escape_time(solution, layer=1)
        return jnp.stack([solution.predictions[-1, 0], strength, escape])

    p = jnp.array([5.0, 0.4, 1.0])
    value = jax.jit(observed)
    assert np.isfinite(value(p)).all()
    slope = jax.jit(jax.jacrev(observed))(p)
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


def test_kinked_activations_have_no_gradients():
    interpreter = limit(64)

    def loss(gamma0):
        model = sx.WideNetwork(1, 2, gamma0=gamma0, activation="relu", **SMALL)
        return sx.solve(model, interpreter=interpreter, throw=False).train_loss[-1]

    with pytest.raises(NotImplementedError, match="`activation` has a kink"):
        jax.grad(loss)(2.0)
    smooth = {name: is_smooth(function) for name, function in ACTIVATIONS.items()}
    assert smooth == dict.fromkeys(ACTIVATIONS, True) | {"relu": False}
    assert not is_smooth(lambda x: jnp.abs(x - 0.3337)) and is_smooth(lambda x: x * jnp.abs(x))
    assert activation_function(jnp.sin)(0.0) == 0.0


@pytest.mark.slow
def test_losses():
    """Logistic and cross-entropy of two classes are one problem in two coordinates."""
    X = np.array(SMALL["inputs"])
    options = {"inputs": X, "eta": 0.5, "gamma0": 2.0}
    logistic = solved(1, 4, 4096, targets=[1.0, -1.0], loss="logistic", **options)
    own = solved(
        1, 4, 4096, targets=[1.0, -1.0], **options, loss=lambda y, f: y / (1 + jnp.exp(y * f))
    )
    np.testing.assert_allclose(own.predictions, logistic.predictions, rtol=1e-10)
    assert logistic.train_loss[0] == pytest.approx(np.log(2), abs=1e-2)
    assert (np.diff(logistic.train_loss) < 0).all()
    entropy = solved(1, 4, 4096, targets=np.eye(2), loss="cross_entropy", **options)
    assert entropy.predictions.shape == (4, 2, 2)
    assert entropy.train_loss[0] == pytest.approx(np.log(2), abs=1e-2)
    assert (np.diff(entropy.train_loss) < 0).all()
    np.testing.assert_allclose(entropy.predictions.sum(-1)[-1], 0, atol=0.02)


def test_bad_requests(reference):
    def build(**options):
        return sx.WideNetwork(2, 3, **(SMALL | {"gamma0": 2.0} | options))

    for options, message in (
        ({"batches": [[0, 1], [0, 2], [0, 1]]}, "`batches` must be indices from 0 to 1, got 2"),
        ({"batches": [[0], [1]]}, r"`batches` must have shape \(3, batch\), got shape \(2, 1\)"),
        ({"batches": [[0.0]] * 3}, "`batches` must be integers"),
        ({"activation": jnp.cumsum}, "`activation` must be an elementwise function"),
        ({"activation": "swish"}, "`activation` must be 'tanh' or"),
        ({"targets": [1.0]}, r"`targets` must have shape \(2, any\), got shape \(1, 1\)"),
        ({"inputs": [1.0, 2.0]}, r"`inputs` must have shape \(any, any\), got shape \(2,\)"),
        ({"inputs": [[np.nan], [1.0]]}, "`inputs` must be finite, got nan"),
        ({"gamma0": -1.0}, "`gamma0` must be positive, got -1.0"),
        ({"loss": "hinge"}, "`loss` must be 'mse' or 'logistic' or 'cross_entropy', got 'hinge'"),
    ):
        with pytest.raises(ValueError, match=message):
            build(**options)
    with pytest.raises(ValueError, match="`layer` must be between 1 and 1, got 0"):
        reference.weights(0)
    with pytest.raises(ValueError, match="`model` has no test error"):
        _ = reference.test_loss
    with pytest.raises(ValueError, match="`kernel` must be None for this model"):
        sx.simulate(build(), 8, key=jax.random.key(0), num_seeds=2, kernel="train")


@pytest.mark.slow
def test_divergence_is_reported_with_its_step():
    options = SMALL | {"eta": 1e4}
    model = sx.WideNetwork(2, 20, gamma0=2.0, activation="softplus", **options)
    solution = sx.solve(model, interpreter=limit(256), throw=False)
    assert solution.result == sx.RESULTS.divergent
    at = int(solution.stats["diverged_at"])
    assert 0 < at < 20 and np.isinf(solution.train_loss[at:]).all()
    assert not np.isnan(solution.predictions).any()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("depth", "activation", "extra"),
    [
        (2, "tanh", {}),
        (3, "tanh", {"sigma": 1.2}),
        (2, "gelu", {"momentum": 0.5}),
        (2, "relu", {"batches": np.array([[0, 1], [1, 2]] * 5)}),
        (2, "silu", FRESH),
    ],
)
def test_networks_agree_and_the_more_the_wider(depth, activation, extra):
    options = {"inputs": CASE["inputs"], "targets": CASE["targets"], "eta": 0.2, "gamma0": 3.0}
    model = sx.WideNetwork(depth, 10, activation=activation, **(options | extra))
    solution = sx.solve(model, interpreter=limit(16384))
    errors = []
    for size, seeds in ((500, 16), (2000, 16)):
        ensemble = sx.simulate(model, size, key=jax.random.key(size), num_seeds=seeds)
        comparison = sx.compare(solution, ensemble)
        print(depth, activation, size, comparison, sep="\n")
        errors.append({k: np.median(v) * seeds**0.5 for k, v in comparison.relative_errors.items()})
        assert size == 500 or comparison.worst < 4
        for name, values in comparison.relative_errors.items():
            if name.startswith("outliers"):
                relative = np.abs(comparison.deviations[name] * values)
                assert size == 500 or relative.max() < 0.01
    assert errors[1]["predictions"] < errors[0]["predictions"]


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", [None, limit(256)], ids=["gaussian", "sampled"])
def test_inputs_that_are_only_reported_change_no_spectrum(interpreter):
    options = {"inputs": RELU["inputs"], "targets": np.eye(3)[:, :2], "activation": "identity"}
    options |= {"eta": 0.2, "gamma0": 2.0, "batches": np.array([[0, 1], [2, 0], [1, 2]])}
    found = []
    for test_inputs in (None, np.random.default_rng(1).normal(size=(2, 5))):
        model = sx.WideNetwork(2, 3, **options, test_inputs=test_inputs)
        spikes = sx.spikes(sx.solve(model, interpreter=interpreter), 1, 3)
        assert spikes.Ce.shape == (6, 6) and spikes.Cf.shape == (12, 12)
        found.append(sx.outliers(spikes, 4).strength)
    assert found[0][0] > 0.01
    np.testing.assert_allclose(*found, rtol=1e-7, atol=1e-9)
