"""The objects between training and spectrum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.seam import CoupledSpikes, CoupledWeights, SymmetricSpikes, TrainedWeights
from spectrax.spectrum.trajectory.compress import compress


@pytest.mark.parametrize("name", ["Ce", "Cf", "Re", "Rf"])
def test_kernels_must_fit_the_coupling(name):
    shapes = {"Ce": (3, 3), "Cf": (2, 2), "Re": (3, 2), "Rf": (2, 3)}
    kernels = {key: np.zeros(shape) for key, shape in shapes.items()}
    CoupledSpikes(**kernels, K=np.ones((2, 3)), aspect=1.0, sigma=1.0)
    kernels[name] = np.zeros((4, 4))
    with pytest.raises(ValueError, match=rf"`{name}` must have shape \({shapes[name][0]}, "):
        CoupledSpikes(**kernels, K=np.ones((2, 3)), aspect=1.0, sigma=1.0)


def test_a_vanished_initial_part_is_the_limit_of_a_small_one():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 2, 2))
    Ce, Cf = jnp.asarray(root @ root.mT)
    Re, Rf = (jnp.tril(x, -1) for x in rng.normal(size=(2, 2, 2)))

    def top(a, how):
        coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.7, 0.0], [a, 0.5, 0.4]])
        weights = TrainedWeights(Ce, Cf, Re, Rf, coordinates, aspect=0.5, sigma=1.0)
        return sx.outliers(how(weights).at(2), 1).location

    classical = 0.5 * np.linalg.eigvals(np.diag([0.5, 0.4]) @ Ce @ np.diag([0.5, 0.4]) @ Cf).real
    for how in (lambda weights: weights, compress):
        np.testing.assert_allclose(top(0.0, how), max(classical), rtol=1e-12)
        np.testing.assert_allclose(top(1e-7, how), max(classical), rtol=1e-6)


@pytest.mark.parametrize("step", [0, 1, 3])
def test_spikes_that_are_not_made_yet_are_zero_in_every_array(step):
    kernels = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3, 3)))
    weights, inside = CoupledWeights(*kernels, aspect=1.0, sigma=1.0), np.zeros((3, 3))
    inside[:step, :step] = 1.0
    found = weights.at(step)
    for name, kernel in zip(("Ce", "Cf", "Re", "Rf", "K"), kernels, strict=True):
        np.testing.assert_array_equal(getattr(found, name), inside * kernel)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coupled", "symmetric"])
def test_batches_of_spikes_are_their_elements_one_by_one(kind):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 3, 3))  # as many of them as fields: axes must not be mixed up
    R = np.tril(rng.normal(size=(4, 3, 3)), -1)

    def spikes(C, R):
        if kind == "symmetric":
            return SymmetricSpikes(C @ C.T, R, R + R.T, 1.0)
        return CoupledSpikes(C @ C.T, C.T @ C, R, 0.1 * R, R + R.T, 0.5, 1.0)

    batch = jax.vmap(spikes)(root, 0.2 * R)
    for function in (sx.transfer_matrix, sx.margin, sx.outliers, sx.overlaps, sx.strengths):
        for i in range(4):
            one = jax.tree.map(lambda x, i=i: x[i], batch)
            leaves = map(jax.tree.leaves, (function(batch), function(one)))
            for ours, theirs in zip(*leaves, strict=True):
                np.testing.assert_allclose(ours[i], theirs, rtol=1e-9, atol=1e-12)
    if kind == "coupled":
        with pytest.raises(ValueError, match="`spikes` must not be a batch; use `jax.vmap`"):
            sx.probe_generator(batch)
