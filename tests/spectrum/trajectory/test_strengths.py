"""Strengths at many steps."""

import jax.numpy as jnp
import numpy as np

from spectrax.seam import CoupledSpikes, TrainedWeights
from spectrax.spectrum import transfer_matrix
from spectrax.spectrum.trajectory._strengths import quotients


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
    found = quotients(weights, steps, vectors | {"mean": np.stack([np.eye(m)] * 2)})
    matrix = jnp.stack([transfer_matrix(all_fields(weights, step)) for step in (3, 2)])
    right, left = (
        np.concatenate([vectors[a], vectors[c]], axis=-1)
        for a, c in (("a", "c"), ("left_a", "left_c"))
    )
    right, left = (x[:, 0] + 1j * x[:, 1] for x in (right, left))
    expected = np.einsum("smi,sij,smj->sm", left, matrix, right).real
    np.testing.assert_allclose(found, expected, rtol=1e-10)
