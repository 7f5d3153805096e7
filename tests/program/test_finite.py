"""The finite interpreter is plain training of plain matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.empirical import top_eigenvalues
from spectrax.program.field import Field
from spectrax.program.finite import FiniteOps
from spectrax.program.objects import Constant, Matrix, weight

T, D = 8, 30


def train_in_numpy(model, store, X, noise):
    """Dense heavy-ball training, written out for one hidden layer and C classes."""
    W, w, teacher = np.array(store["W0"]), np.array(store["w"]), np.array(store["teacher"])
    N, nu, gamma = W.shape[0], float(model.nu), float(model.gamma)
    c, mu, decay = np.array(model.rates()), float(model.momentum), float(model.weight_decay)
    vW, vw, test, train = 0.0, 0.0, [], []
    for t in range(T):
        delta = teacher - w @ W / (gamma * np.sqrt(nu))  # (C, D)
        Delta = delta @ X.T + noise  # (C, P)
        h0 = Delta @ X / float(model.alpha)
        test.append(np.mean(delta**2))
        train.append(np.mean(Delta**2))
        gradient_W, gradient_w = w.T @ h0 / D, h0 @ W.T
        vW, vw = mu * vW + c[t] * gradient_W - decay * W, mu * vw + c[t] * gradient_w - decay * w
        W, w = W + vW, w + vw
    assert W.shape == (N, D)
    return np.array(test), np.array(train), W


@pytest.mark.parametrize("num_classes", [1, 2])
def test_finite_interpreter_is_dense_training(num_classes):
    eta = np.linspace(0.2, 0.05, T)
    model = sx.DeepLinear(
        1, T, alpha=2.0, nu=1.5, eta=eta, gamma0=2.0, sigma=1.2, label_noise=0.3,
        momentum=0.6, weight_decay=0.02, num_classes=num_classes,
    )  # fmt: skip
    model, sizes = model.rounded(D)
    trainer = model.trainer(sizes)
    key = jax.random.key(3)
    start = trainer.start(key)
    end = trainer.train(start, key, jnp.asarray(T))
    store = start.store
    test, train, W = train_in_numpy(model, store, np.array(store["X"]), np.array(store["noise"]))
    seen = {k: np.trace(v, axis1=1, axis2=2) / num_classes for k, v in end.seen.items()}
    np.testing.assert_allclose(seen["test_error"], test, rtol=1e-10)
    np.testing.assert_allclose(seen["train_error"], train, rtol=1e-10)
    np.testing.assert_allclose(end.store["W0"], W, rtol=1e-9, atol=1e-12)


def test_stopping_on_the_way_changes_nothing():
    model, sizes = sx.DeepLinear(2, T, alpha=2.0, nu=1.0, eta=0.03, gamma0=2.0).rounded(D)
    trainer = model.trainer(sizes)
    key = jax.random.key(0)
    at_once = trainer.train(trainer.start(key), key, jnp.asarray(T))
    stopped = trainer.train(trainer.start(key), key, jnp.asarray(3))
    stopped = trainer.train(stopped, key, jnp.asarray(T))
    np.testing.assert_array_equal(at_once.store["W1"], stopped.store["W1"])


@pytest.mark.parametrize("shape", [(1000, 900), (900, 1000), (60, 40)])
def test_top_eigenvalues_match_the_singular_values(shape):
    rng = np.random.default_rng(1)
    W = rng.normal(size=shape) / np.sqrt(shape[1])
    W += 2.0 * np.outer(rng.normal(size=shape[0]), rng.normal(size=shape[1])) / shape[1]
    exact = np.linalg.svd(W, compute_uv=False)[:2] ** 2
    found = top_eigenvalues(jnp.asarray(W), 2)
    np.testing.assert_allclose(found[0], exact[0], rtol=1e-8)  # separated
    np.testing.assert_allclose(found[1], exact[1], rtol=2e-3)  # at the edge of the bulk


def operations(t=0, memory=None, **sizes):
    objects = {"A": weight("rows", "cols")}
    return FiniteOps(objects, sizes, jax.random.key(0), jnp.asarray(t), {}, memory)


def test_gradients_of_one_matrix_add_up():
    """Also those of several fields each, where a forward field serves several backward ones."""
    ops, rng = operations(rows=5, cols=4), np.random.default_rng(0)
    A = ops["A"]
    g, h, weights = rng.normal(size=(6, 5)), rng.normal(size=(3, 4)), rng.normal(size=6)
    A.append(Field("rows", jnp.asarray(g)), Field("cols", jnp.asarray(h)), jnp.asarray(weights))
    expected = sum(
        w * np.outer(x, h[k % 3]) for k, (x, w) in enumerate(zip(g, weights, strict=True))
    )
    np.testing.assert_allclose(ops.gradients["A"], -expected / 4, rtol=1e-12)
    A.append(Field("rows", jnp.asarray(g[:3])), Field("cols", jnp.asarray(h)))
    expected = expected + g[:3].T @ h
    np.testing.assert_allclose(ops.gradients["A"], -expected / 4, rtol=1e-12)


def test_before_the_first_step_nothing_is_recalled():
    memory = {"x": jnp.arange(1.0, 25.0).reshape(4, 2, 3)}
    for t in range(4):
        found = operations(t, memory, cols=3).recall("x", "cols", 2).data
        np.testing.assert_array_equal(found, memory["x"][t - 1] if t else np.zeros((2, 3)))


def test_fresh_objects_are_drawn_anew_at_every_step_and_others_are_not():
    sizes, key = {"rows": 5, "cols": 4}, jax.random.key(0)

    def draw(t, fresh):
        A, x = Matrix("rows", "cols", fresh=fresh), Constant("cols", jnp.eye(2), fresh=fresh)
        ops = FiniteOps({"A": A, "x": x}, sizes, key, jnp.asarray(t), {})
        return (ops["A"].T @ (ops["A"] @ ops["x"])).data

    np.testing.assert_array_equal(draw(3, True), draw(3, True))
    assert np.abs(draw(3, True) - draw(4, True)).min() > 0
    np.testing.assert_array_equal(draw(3, False), draw(4, False))
