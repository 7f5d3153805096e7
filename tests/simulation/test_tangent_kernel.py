"""Tangent kernels of finite networks: the definition, and the theory within standard errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.simulation import _tangent_kernel as finite_kernel
from spectrax.simulation._tangent_kernel import kernel_eigenvalues, kernel_top
from spectrax.simulation.ensemble import _start


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 2])
def test_the_operator_is_the_gram_matrix_of_gradients(classes):
    """Exact: derivatives of the network function, from its definition, at initialization."""
    model = sx.DeepLinear(2, 3, alpha=2.0, nu=1.5, eta=0.1, gamma0=2.0, num_classes=classes)
    model, sizes = model.rounded(8)
    trainer = model.trainer(sizes)
    network = _start(trainer, jax.random.key(0))
    store, D, N = network.store, sizes["input"], sizes["hidden1"]
    weights = [store["W0"] * np.sqrt(D), store["W1"] * np.sqrt(N), store["w"]]

    def outputs(weights, x):
        """f = w W1 W0 x / (gamma sqrt(N)), every weight divided by the root of its fan-in."""
        W0, W1, w = weights
        return w @ (W1 @ (W0 @ x / np.sqrt(D)) / np.sqrt(N)) / (model.gamma * np.sqrt(N))

    X = np.sqrt(D) * store["X"]
    for kernel, inputs in (("population", np.sqrt(D) * jnp.eye(D)), ("train", X)):
        grads = jax.vmap(jax.jacobian(outputs), (None, 0))(weights, inputs)  # (sample, class, …)
        rows = np.concatenate([g.reshape(*g.shape[:2], -1) for g in grads], axis=-1)
        rows = rows.transpose(1, 0, 2).reshape(classes * len(inputs), -1)
        # the raw rate eta gamma^2 D, over the number of samples (of unit vectors: D, whitened)
        gram = model.gamma**2 * D * rows @ rows.T / len(inputs)
        arguments = (model, trainer, network, jax.random.key(0), kernel)
        values = np.linalg.eigvalsh(gram)
        np.testing.assert_allclose(kernel_eigenvalues(*arguments), values, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(kernel_top(*arguments), values[-1], rtol=1e-6)


def test_the_iteration_finds_the_largest_eigenvalue(monkeypatch):
    """As wide networks need it: the same without all the others."""
    monkeypatch.setattr(finite_kernel, "DENSE", 1)
    model = sx.DeepLinear(1, 2, alpha=2.0, nu=1.0, eta=0.1, gamma0=2.0)
    model, sizes = model.rounded(30)
    trainer = model.trainer(sizes)
    arguments = (model, trainer, _start(trainer, jax.random.key(0)), jax.random.key(0))
    largest = kernel_eigenvalues(*arguments, "population")[-1]
    np.testing.assert_allclose(kernel_top(*arguments, "population"), largest, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["population", "train"])
def test_networks_are_as_sharp_as_the_theory_says(kernel):
    """Finite-size: D = 200, 10 networks, standard errors of some per cent."""
    model = sx.DeepLinear(2, 10, alpha=4.0, nu=1.5, eta=0.03, gamma0=4.0)
    options = {"key": jax.random.key(1), "num_seeds": 10, "spectrum_steps": (0, 6, 9)}
    ensemble = sx.simulate(model, 200, kernel=kernel, **options)
    path = sx.ntk_path(sx.solve(ensemble.model), kernel=kernel)[jnp.array([6, 9])]
    found, stderr = ensemble.ntk_top.mean[1:], ensemble.ntk_top.stderr[1:]
    assert np.abs((found - path) / stderr).max() < 4, (found, stderr, path)


@pytest.mark.nightly
@pytest.mark.parametrize("depth, eta", [(1, 0.1), (2, 0.03)])
@pytest.mark.parametrize("kernel", ["population", "train"])
def test_sharpness_and_bulk_of_large_networks(depth, eta, kernel):
    """Finite-size: within 4 standard errors, which shrink; distribution of the bulk."""
    model = sx.DeepLinear(depth, 14, alpha=2.0, nu=2.0, eta=eta, gamma0=4.0)
    errors = []
    for size in (100, 400):
        options = {"num_seeds": 16, "spectrum_steps": (8, 13), "all_eigenvalues": True}
        ensemble = sx.simulate(model, size, key=jax.random.key(2), kernel=kernel, **options)
        solution = sx.solve(ensemble.model)
        path = sx.ntk_path(solution, kernel=kernel)[jnp.array([8, 13])]
        stderr = ensemble.ntk_top.stderr
        deviation = np.abs((ensemble.ntk_top.mean - path) / stderr).max()
        law, values = sx.ntk_law(solution, 13, kernel=kernel), np.sort(ensemble.ntk_eigenvalues)
        x = np.linspace(float(law.bottom()), float(law.top()), 4001)
        cumulative = float(law.atom()) + np.cumsum(law.density(x)) * (x[1] - x[0])
        sampled = np.searchsorted(np.sort(values.ravel()), x) / values.size
        errors.append((np.mean(stderr / path), np.abs(sampled - cumulative)[::50].max()))
        print(f"D = {size}, 16 networks: {deviation:.1f} standard errors of {errors[-1][0]:.1%}")
    assert deviation < 4
    # a half, known to a quarter from 16 networks of each size
    assert errors[1][0] < 0.02 and 0.25 < errors[1][0] / errors[0][0] < 0.65, errors
    # the whole population bulk moves with G of each network
    assert errors[1][1] < 0.06 and errors[1][1] < 0.6 * errors[0][1], errors
