"""The projected probe agrees with the resolvent, the transfer matrix and the overlaps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import (
    COUPLED,
    dot,
    laplace,
    one_spike,
    random_direction,
    spikes_of,
    tanh_symmetric,
)

import spectrax as sx
from spectrax.spectrum.probes.infinite import _injected

ASYMMETRIC, SYMMETRIC = spikes_of(COUPLED[1]), tanh_symmetric()[0]
BOTH = pytest.mark.parametrize("spikes", [ASYMMETRIC, SYMMETRIC], ids=["coupled", "symmetric"])
SIGNS = pytest.mark.parametrize("sign", [-1, 1])


@SIGNS
@BOTH
def test_generator_has_the_outliers_as_eigenvalues(spikes, sign):
    generator = sx.probe_generator(spikes, sign=sign, num_nodes=24)
    values = np.linalg.eigvals(generator.as_matrix())
    ends = ("above", "below") if spikes is SYMMETRIC else ("above",)
    for end in ends:
        found = sx.outliers(spikes, 1, side=end)
        assert found.escaped[0]
        assert np.abs(values - sign * found.location[0]).min() < 1e-8


@SIGNS
@BOTH
def test_laplace_transform_of_the_projected_probe_is_the_resolvent(spikes, sign):
    generator = sx.probe_generator(spikes, sign=sign, num_nodes=24)
    structure, q = generator.in_structure(), spikes.K.shape[1]
    matrix, p = np.asarray(generator.as_matrix()), 9.0
    responses = (spikes.R if spikes is SYMMETRIC else spikes.Re).T
    correlations = spikes.C if spikes is SYMMETRIC else spikes.Ce
    columns = []
    for j in range(q):
        modes = jax.tree.map(lambda x: jnp.zeros(x.shape), structure)
        modes = eqx.tree_at(lambda m: m.X, modes, modes.X.at[0, :, 0].set(correlations[:, j]))
        modes = eqx.tree_at(lambda m: m.Y, modes, modes.Y.at[0, :, 0].set(responses[:, j]))
        flat, back = jax.flatten_util.ravel_pytree(modes)
        columns.append(back(jnp.linalg.solve(p * np.eye(len(matrix)) - matrix, flat)).X[0, :, 0])
    resolvent = sx.resolvent_overlaps(spikes, sign * p)
    np.testing.assert_allclose(np.array(columns).T, sign * resolvent, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_laplace_transform_by_quadrature_of_the_solved_probe():
    def overlaps(times):
        return sx.projected_probe(ASYMMETRIC, times).values

    found = laplace(overlaps, 3.0, 9.0, panels=12)
    np.testing.assert_allclose(found, -sx.resolvent_overlaps(ASYMMETRIC, -3.0), rtol=1e-9)


@BOTH
def test_residue_of_the_resolvent_is_the_overlap_of_the_outlier(spikes):
    z = sx.outliers(spikes, 1).location[0]
    circle = 0.05 * jnp.exp(2j * jnp.pi * jnp.arange(32) / 32)
    residue = jnp.mean(circle[:, None, None] * sx.resolvent_overlaps(spikes, z + circle), axis=0)
    np.testing.assert_allclose(residue.imag, 0.0, atol=1e-10)
    np.testing.assert_allclose(residue.real, sx.overlaps(spikes)[0], rtol=1e-8, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("spikes", [ASYMMETRIC, SYMMETRIC], ids=["coupled", "symmetric"])
def test_late_overlaps_grow_with_the_outlier_and_its_residue(spikes):
    z = sx.outliers(spikes, 1).location[0]
    response = sx.projected_probe(spikes, jnp.array([14.0, 16.0]), sign=1)
    np.testing.assert_allclose(response.growth_rates()[0], z, rtol=1e-4)
    residue = response.values[1] * jnp.exp(-16.0 * z)
    np.testing.assert_allclose(residue, sx.overlaps(spikes)[0], rtol=1e-6, atol=1e-7)


def test_an_outlier_below_the_bulk_is_the_last_to_decay():
    z = sx.outliers(SYMMETRIC, 1, side="below").location[0]  # negative: it grows for sign = -1
    response = sx.projected_probe(SYMMETRIC, jnp.array([14.0, 16.0]))
    np.testing.assert_allclose(response.growth_rates()[0], -z, rtol=1e-4)


def test_overlaps_of_a_symmetric_matrix_are_symmetric():
    assert np.abs(SYMMETRIC.R - SYMMETRIC.R.T).max() > 0.01
    values = sx.projected_probe(SYMMETRIC, jnp.array([1.0, 2.0])).values
    np.testing.assert_allclose(values, values.mT, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_a_constant_source_adds_up_what_the_probe_does():
    coefficients, time = jnp.array([[0.5], [1.0]]), 1.7
    at_rest = jnp.zeros((2, 1))
    driven = sx.projected_probe(ASYMMETRIC, [time], start=at_rest, source=coefficients)

    def free(times):
        return sx.projected_probe(ASYMMETRIC, times, start=coefficients).values

    np.testing.assert_allclose(driven.values[0], laplace(free, 0.0, time, panels=3), rtol=1e-8)


@pytest.mark.slow
def test_gradient_of_the_outlier_read_off_the_probe():
    """Reverse mode through Diffrax against the transfer matrix and central differences."""

    @jax.jit
    @jax.value_and_grad
    def read_off(spikes):
        start = jnp.array([[1.0], [0.0]])
        times = jnp.array([9.0, 10.0])
        probe = sx.projected_probe(spikes, times, sign=1, start=start, num_nodes=16)
        return probe.growth_rates()[0, 0, 0]

    value, gradient = read_off(ASYMMETRIC)
    exact = jax.grad(lambda spikes: sx.outliers(spikes, 1).location[0])(ASYMMETRIC)
    np.testing.assert_allclose(value, sx.outliers(ASYMMETRIC, 1).location[0], rtol=1e-9)
    for found, expected in zip(jax.tree.leaves(gradient), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    direction, h = random_direction(ASYMMETRIC), 1e-4
    up, down = (
        read_off(jax.tree.map(lambda x, d, s=s: x + s * h * d, ASYMMETRIC, direction))[0]
        for s in (1, -1)
    )
    np.testing.assert_allclose(dot(gradient, direction), (up - down) / (2 * h), rtol=1e-5)


def test_one_classical_spike_has_its_closed_form():
    """Independent e: c = mass of the outlier, the rest on the bulk, at time zero one."""
    spikes = one_spike(2.0, 0.5)
    response = sx.projected_probe(spikes, jnp.array([0.0, 20.0]), sign=1)
    np.testing.assert_allclose(response.values[0], 1.0, rtol=1e-12)
    residue = response.values[1] * np.exp(-20.0 * sx.location(2.0, 0.5))
    np.testing.assert_allclose(residue, sx.overlaps(spikes)[0], rtol=1e-6)


def test_a_vector_in_the_oldest_field_responds_to_nothing():
    """Responses are causal: row is when, column is to what."""
    C, R = jnp.eye(3), jnp.tril(jnp.arange(1.0, 10.0).reshape(3, 3), -1)
    oldest = jnp.eye(3)[:, :1]
    spikes = sx.SymmetricSpikes(C, R, R, 1.0)
    np.testing.assert_array_equal(_injected(spikes, oldest)[1], 0)
    newest = _injected(spikes, jnp.eye(3)[:, 2:])[1]
    np.testing.assert_array_equal(newest[:2, 0], R[2, :2])
