import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import COUPLED, assert_physical, one_spike, spikes_of, transfer_oracle

from spectrax.seam import CoupledSpikes
from spectrax.spectrum import (
    critical_strength,
    location,
    outliers,
    strengths,
    transfer_matrix,
    transpose,
)
from spectrax.spectrum.spikes.transfer_matrix import bulk_edges

CASES = pytest.mark.parametrize("case", COUPLED)


@CASES
def test_reference_strengths_and_outliers(case):
    spikes = spikes_of(case)
    found = outliers(spikes)
    real = np.sort([s for s in case["real_strengths"] if abs(s) > 1e-12])
    zeros = len(case["real_strengths"]) - len(real)
    above = real[real > -critical_strength(spikes)]
    for strength in above:
        assert np.min(np.abs(found.strength - strength)) < 1e-6
    assert np.sum(np.abs(found.strength) < 1e-10) == zeros
    expected = np.sort(case["outlier_eigenvalues"])[::-1]
    np.testing.assert_allclose(found.location[found.escaped], expected, rtol=1e-6)
    np.testing.assert_array_equal(found.location[~found.escaped], bulk_edges(spikes)[1])
    assert_physical(spikes)


@CASES
def test_four_factors_of_the_transfer_matrix(case):
    kernels = (np.array(case[name]) for name in ("Ce", "Cf", "Re", "Rf", "K"))
    expected = transfer_oracle(*kernels, case["aspect"], case["sigma"])
    np.testing.assert_allclose(transfer_matrix(spikes_of(case)), expected, atol=1e-14)


def test_independent_spikes_follow_the_classical_formula():
    """Benaych-Georges & Nadakuditi: strength = squared singular value of the spike."""
    rng = np.random.default_rng(0)
    e, f, K = rng.normal(size=(5, 2)), rng.normal(size=(5, 3)), rng.normal(size=(3, 2))
    none = jnp.zeros((2, 3))
    aspect, sigma = 0.6, 0.4
    Ce, Cf = jnp.asarray(e.T @ e / 5), jnp.asarray(f.T @ f / 5)
    spikes = CoupledSpikes(Ce, Cf, none, none.T, jnp.asarray(K), aspect, sigma)
    singular = np.linalg.svd(f @ K @ e.T / 5, compute_uv=False)[:2]  # |f|² = 5 is N, |e|² is M
    np.testing.assert_allclose(strengths(spikes, 2), aspect * singular**2, rtol=1e-10)
    theta2 = aspect * singular**2
    expected = (theta2 + sigma**2) * (theta2 + aspect * sigma**2) / theta2
    found = outliers(spikes, 2)
    expected = np.where(theta2 > sigma**2 * aspect**0.5, expected, bulk_edges(spikes)[1])
    np.testing.assert_allclose(found.location, expected, rtol=1e-10)


def test_at_the_threshold_the_outlier_touches_the_edge():
    for aspect, sigma in ((0.5, 1.3), (2.0, 0.7)):
        spikes = one_spike(1.0, aspect, sigma)
        critical = critical_strength(spikes)
        slope = jax.grad(lambda s, a=aspect, b=sigma: location(s, a, b))(critical)
        np.testing.assert_allclose(location(critical, aspect, sigma), bulk_edges(spikes)[1])
        np.testing.assert_allclose(slope, 0.0, atol=1e-12)


@CASES
def test_transposition_changes_no_outlier(case):
    spikes = spikes_of(case)
    other = outliers(transpose(spikes))
    here = outliers(spikes)
    np.testing.assert_allclose(other.strength, here.strength, atol=1e-10)
    np.testing.assert_allclose(other.location, here.location, rtol=1e-12)
    twice = transpose(transpose(spikes))
    for a, b in zip(jax.tree.leaves(twice), jax.tree.leaves(spikes), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def rows(matrix, left, right):
    return jnp.asarray(left) @ matrix @ jnp.asarray(right).T


@CASES
def test_splitting_one_spike_in_two_changes_nothing(case):
    """e₁ twice, with its coupling divided between the copies."""
    spikes = spikes_of(case)
    q, p = spikes.Re.shape
    copy = np.vstack([np.eye(q), np.eye(q)[:1]])  # new e in old e
    shares = np.eye(q, q + 1)
    shares[0, 0], shares[0, q] = 0.3, 0.7
    split = CoupledSpikes(
        Ce=rows(spikes.Ce, copy, copy),
        Cf=spikes.Cf,
        Re=jnp.asarray(copy) @ spikes.Re,
        Rf=spikes.Rf @ jnp.asarray(shares),  # each copy responds through its share
        K=spikes.K @ jnp.asarray(shares),
        aspect=spikes.aspect,
        sigma=spikes.sigma,
    )
    np.testing.assert_allclose(
        outliers(split, 1).strength, outliers(spikes, 1).strength, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(outliers(split, 1).location, outliers(spikes, 1).location)


@CASES
def test_flipping_the_signs_of_a_pair_changes_nothing(case):
    spikes = spikes_of(case)
    q, p = spikes.Re.shape
    flip_e, flip_f = np.diag([-1.0, 1.0][:q]), np.diag([-1.0, 1.0][:p])
    flipped = CoupledSpikes(
        Ce=rows(spikes.Ce, flip_e, flip_e),
        Cf=rows(spikes.Cf, flip_f, flip_f),
        Re=rows(spikes.Re, flip_e, flip_f),
        Rf=rows(spikes.Rf, flip_f, flip_e),
        K=rows(spikes.K, flip_f, flip_e),
        aspect=spikes.aspect,
        sigma=spikes.sigma,
    )
    np.testing.assert_allclose(strengths(flipped), strengths(spikes), atol=1e-10)
