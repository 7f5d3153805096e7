"""Twelve layers: W10 comes after W9, in the kernels, the spectra and the tangent kernel."""

from functools import cache

import jax
import numpy as np
import pytest
from oracles import deep_linear_kernels

import spectrax as sx
from spectrax.simulation._tangent_kernel import kernel_eigenvalues
from spectrax.simulation.ensemble import _start

DEPTH, T = 12, 3
OPTIONS = {"alpha": 3.0, "nu": 1.5, "eta": 0.02, "gamma0": 3.0, "sigma": 0.9}


@cache
def solved():
    return sx.solve(sx.DeepLinear(DEPTH, T, **OPTIONS))


@cache
def oracle():
    return deep_linear_kernels(DEPTH, T, **OPTIONS)


@pytest.mark.slow
def test_every_layer_has_its_own_kernels():
    """The independent oracle: time matrices acting on trajectories, in plain NumPy."""
    solution = solved()
    assert solution.layers == tuple(range(DEPTH))
    np.testing.assert_allclose(solution.test_loss, oracle().test_loss, rtol=1e-10)
    for layer in range(DEPTH):
        ours, theirs = solution.weights(layer), oracle().layer(layer)
        for name in ("Ce", "Cf", "Re", "Rf", "aspect"):
            np.testing.assert_allclose(getattr(ours, name), theirs[name], atol=1e-12, err_msg=name)


def tangent_kernel(W, gains, nu):
    """G_1 + Y_0' [G_2 + Y_1' [G_3 + ...] Y_1] Y_0 / nu of the weights, with G_{L+1} = 1."""
    core = np.eye(len(W[-1]))
    for k in reversed(range(1, len(W))):
        core = gains[k] * np.eye(W[k].shape[1]) + W[k].T @ core @ W[k]
    return gains[0] * np.eye(W[0].shape[1]) + W[0].T @ core @ W[0] / nu


def trained_network(seed, D):
    """Plain matrices: ⟨h h⟩ and ⟨g g⟩ of each layer at each step, and tr Θ / D at the last one."""
    rng = np.random.default_rng(seed)
    nu, sigma, gamma = OPTIONS["nu"], OPTIONS["sigma"], OPTIONS["gamma0"] * np.sqrt(OPTIONS["nu"])
    N, P, c = round(nu * D), round(OPTIONS["alpha"] * D), OPTIONS["eta"] * gamma / np.sqrt(nu)
    cols = [D] + [N] * (DEPTH - 1)
    W = [sigma * rng.normal(size=(N, m)) / np.sqrt(m) for m in cols]
    w, teacher, X = sigma * rng.normal(size=N), rng.normal(size=D), rng.normal(size=(P, D))
    Ch, Cg = np.zeros((2, T, DEPTH))
    for t in range(T):
        g = [w]
        for k in reversed(range(1, DEPTH)):
            g.insert(0, W[k].T @ g[0])
        h = [X.T @ (X @ (teacher - W[0].T @ g[0] / (gamma * np.sqrt(nu)))) / P]
        for k in range(DEPTH):
            h.append(W[k] @ h[k])
        Ch[t], Cg[t] = ([np.mean(x**2) for x in fields] for fields in (h[:-1], g))
        if t < T - 1:
            W = [W[k] + c * np.outer(g[k], h[k]) / cols[k] for k in range(DEPTH)]
            w = w + c * h[-1]
    return Ch, Cg, np.trace(tangent_kernel(W, Cg[-1], nu)) / D


def mean_of(law, z=1e8):
    """First moment, from the resolvent far away."""
    return z * (z * law.stieltjes(z) - 1)


@pytest.mark.slow
def test_networks_have_these_kernels():
    """D = 200, 16 networks; standard errors of ten per cent, layers differ by factors."""
    seeds = 16
    found = [trained_network(seed, 200) for seed in range(seeds)]
    spikes = [sx.spikes(solved(), layer, T) for layer in range(DEPTH)]
    theory = (
        np.stack([np.diag(x.Ce) for x in spikes], 1),
        np.stack([np.diag(x.Cf) for x in spikes], 1),
        mean_of(sx.ntk_law(solved(), T - 1)),
    )
    for values, expected in zip(zip(*found, strict=True), theory, strict=True):
        stderr = np.std(values, axis=0, ddof=1) / np.sqrt(seeds)
        assert np.abs((np.mean(values, axis=0) - expected) / stderr).max() < 4
        assert np.max(stderr / expected) < 0.15


@pytest.mark.slow
def test_the_tangent_kernel_has_the_gains_of_its_layers():
    """Exact: mean eigenvalue sum_k G_{k+1} sigma^{2k}."""
    gains = [*(oracle().Cg[layer][T - 1, T - 1] for layer in range(1, DEPTH + 1)), 1.0]
    mean = sum(gain * OPTIONS["sigma"] ** (2 * k) for k, gain in enumerate(gains))
    np.testing.assert_allclose(mean_of(sx.ntk_law(solved(), T - 1)), mean, rtol=1e-5)


@pytest.mark.slow
def test_tangent_kernel_of_a_finite_network():
    model, sizes = sx.DeepLinear(DEPTH, T, **OPTIONS).rounded(6)
    trainer = model.trainer(sizes)
    key = jax.random.key(0)
    network = _start(trainer, key)
    W = [np.asarray(network.store[f"W{k}"]) for k in range(DEPTH)]
    g = [np.asarray(network.store["w"][0])]
    for k in reversed(range(1, DEPTH)):
        g.insert(0, W[k].T @ g[0])
    expected = tangent_kernel(W, [np.mean(x**2) for x in g], float(model.nu))
    found = kernel_eigenvalues(model, trainer, network, key, "population")
    np.testing.assert_allclose(found, np.linalg.eigvalsh(expected), rtol=1e-10)
