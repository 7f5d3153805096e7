"""Strengths at many steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import training

from spectrax.seam import CoupledSpikes, TrainedWeights
from spectrax.spectrum import escape_time_of, strength_path, transfer_matrix
from spectrax.spectrum.spikes import leading
from spectrax.spectrum.trajectory import escape
from spectrax.spectrum.trajectory._strengths import prepare, quotients, strengths_of

time_and_gradient = jax.jit(jax.value_and_grad(escape_time_of))


def all_fields(weights, step):
    """The spikes of a step among all fields, those not made yet without coupling."""
    now, a = weights.at(step), weights.coordinates[step, 0]
    kernels = weights.Ce, weights.Cf, weights.Re / a, weights.Rf / a
    return CoupledSpikes(*kernels, now.K, now.aspect, now.sigma)


def test_quotients_are_products_with_the_matrix():
    r"""Any kernels, two forward fields and one backward field a step, C symmetric, a decay."""
    rng = np.random.default_rng(0)
    t, m, p, q = 3, 4, 3, 6
    Ce, Cf = (x + x.T for x in (rng.normal(size=(q, q)), rng.normal(size=(p, p))))
    responses = rng.normal(size=(q, p)), rng.normal(size=(p, q))
    coordinates, coupling = rng.normal(size=(t + 1, t + 1)), rng.normal(size=(t, 1, 2))
    arrays = (jnp.asarray(x) for x in (Ce, Cf, *responses, coordinates, 1.7, 0.8, coupling))
    weights = TrainedWeights(*arrays)
    steps = jnp.array([3, 2])
    vectors = {"a": p, "c": q, "left_a": p, "left_c": q}
    vectors = {name: rng.normal(size=(2, 2, m, size)) for name, size in vectors.items()}
    vectors["mean"] = np.stack([np.eye(m)] * 2)
    found = jax.jit(quotients)(weights, steps, vectors)
    matrix = jax.jit(jax.vmap(lambda step: transfer_matrix(all_fields(weights, step))))(steps)
    right, left = (
        np.concatenate([vectors[a], vectors[c]], axis=-1)
        for a, c in (("a", "c"), ("left_a", "left_c"))
    )
    right, left = (x[:, 0] + 1j * x[:, 1] for x in (right, left))
    expected = np.einsum("smi,sij,smj->sm", left, matrix, right).real
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_strengths_of_rectangular_couplings_differentiate():
    """Two forward fields and one backward field a step, in units of the numbers M."""
    rng = np.random.default_rng(1)
    t, p, q = 3, 3, 6
    C = [x @ x.T for x in (rng.normal(size=(q, q)), rng.normal(size=(p, p)))]
    rest = np.zeros((q, p)), np.zeros((p, q)), np.ones((t + 1, t + 1))
    arrays = [jnp.asarray(x) for x in (*C, *rest)]
    coupling = jnp.asarray(rng.normal(size=(t, 1, 2)))

    @jax.jit
    @jax.value_and_grad
    def strength(coupling):
        weights = TrainedWeights(*arrays, jnp.ones(()), jnp.ones(()), coupling)
        return strengths_of(prepare(weights), jnp.array([t]))[0][0, 0]

    value, gradient = strength(coupling)
    K = np.zeros((p, q))
    for s in range(t):
        K[s, 2 * s : 2 * s + 2] = coupling[s, 0]
    exact = np.max(np.linalg.eigvals(K @ C[0] @ K.T @ C[1]).real)
    np.testing.assert_allclose(value, exact, rtol=1e-10)
    np.testing.assert_allclose(jnp.sum(gradient * coupling), 2 * value, rtol=1e-10)  # Euler
    direction = jnp.asarray(rng.normal(size=coupling.shape))
    slope = (strength(coupling + 1e-6 * direction)[0] - value) / 1e-6
    np.testing.assert_allclose(jnp.sum(gradient * direction), slope, rtol=1e-4)


def symmetric(nonsymmetric, symmetric, *args):
    """The branch of GPUs and TPUs, wherever the test runs."""
    return symmetric(*args)


def assert_symmetric_problems_give_the_same(weights):
    steps = jnp.arange(1, weights.num_steps + 1)
    path, (time, gradient) = strength_path(weights)[1:, 0], time_and_gradient(weights)
    assert jnp.isfinite(time)

    @jax.jit
    def everything(weights):
        real = strengths_of(prepare(weights), steps)[0][:, 0]
        return real, *jax.value_and_grad(escape._escape)(weights)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leading, "on_cpu", symmetric)
        found = everything(weights)
    np.testing.assert_allclose(found[0], path, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found[1], time, rtol=1e-9)
    for one, other in zip(jax.tree.leaves(found[2]), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8 * jnp.max(jnp.abs(other)))


def test_symmetric_eigenproblems_give_the_strengths_of_the_transfer_matrix():
    """Also below the threshold, where inertia counts nothing: all leading ones here are real."""
    weights, steps = training(num_steps=6, layer=0, eta=0.06), jnp.arange(1, 7)

    def everything(weights):  # compiled anew at every call
        def total(weights):
            real = strengths_of(prepare(weights), steps)[0][:, 0]
            return jnp.sum(real), real

        return jax.jit(jax.grad(total, has_aux=True))(weights)

    gradient, expected = everything(weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leading, "on_cpu", symmetric)
        found, real = everything(weights)
    assert expected[0] < weights.sigma**2 * weights.aspect**0.5 < expected[-1]
    np.testing.assert_allclose(real, expected, rtol=1e-8)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8 * jnp.max(jnp.abs(other)))


@pytest.mark.slow
@pytest.mark.parametrize("num_steps", [12, 40])
def test_symmetric_eigenproblems_give_escape_times(num_steps):
    assert_symmetric_problems_give_the_same(training(num_steps=num_steps))
