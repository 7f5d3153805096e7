import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import svds
from spectrum.helpers import (
    COUPLED,
    assert_derivatives,
    assert_physical,
    case_kernels,
    one_spike,
    own_image,
    prefix,
    random_direction,
    sampled,
    spikes_of,
    weights_of,
)

from spectrax.seam import CoupledSpikes
from spectrax.spectrum import margin, outliers, overlaps, strengths, transfer_matrix
from spectrax.spectrum.spikes.transfer_matrix import bulk_edges

SEEDS = 6


def test_sampled_matrices_have_the_outlier_up_to_an_error_that_shrinks():
    case = COUPLED[1]
    (expected,) = case["outlier_eigenvalues"]
    errors, seeds = [], 24
    for M in (75, 1200):
        matrices = (sampled(np.array(case["K"]), M, seed)[0] for seed in range(seeds))
        tops = [svds(W, 1, return_singular_vectors=False, random_state=0)[0] ** 2 for W in matrices]
        mean, error = np.mean(tops), np.std(tops, ddof=1) / np.sqrt(seeds)
        assert abs(mean - expected) < 4 * error, f"{M}: {mean} +- {error}, theory {expected}"
        errors.append(error)
    # sixteen times the size, a quarter of the error, which is known to a fifth
    assert errors[1] < 0.35 * errors[0] and errors[1] < 0.02 * expected


def test_sampled_singular_vectors_have_the_overlaps():
    case = COUPLED[1]
    spikes, M = spikes_of(case), 500
    measured = {"right": [], "left": []}
    for seed in range(SEEDS):
        W, e, f = sampled(np.array(case["K"]), M, seed)
        u, _, v = svds(W, 1, random_state=0)
        measured["right"].append(np.outer(e @ v[0], e @ v[0]) / len(v[0]))
        measured["left"].append(np.outer(f @ u[:, 0], f @ u[:, 0]) / len(u))
    for side, values in measured.items():
        theory = overlaps(spikes, 1, side=side)[0]
        error = np.std(values, axis=0, ddof=1) / np.sqrt(SEEDS)
        assert np.all(error < 0.1 * np.abs(theory))
        assert np.all(np.abs(np.mean(values, axis=0) - theory) < 4 * error)


def test_overlap_of_a_classical_spike():
    for size, aspect, sigma in ((2.0, 0.5, 1.0), (1.4, 3.0, 0.8)):
        spikes = one_spike(size, aspect, sigma)
        theta2, s2 = aspect * size**2, sigma**2
        gap = theta2**2 - aspect * s2**2
        right, left = (overlaps(spikes, side=side).item() for side in ("right", "left"))
        np.testing.assert_allclose(right, gap / (theta2 * (theta2 + s2)), rtol=1e-12)
        np.testing.assert_allclose(left, gap / (theta2 * (theta2 + aspect * s2)), rtol=1e-12)


def test_overlaps_are_rank_one_and_vanish_without_an_outlier():
    spikes = spikes_of(COUPLED[1])
    both = overlaps(spikes, 2)
    np.testing.assert_allclose(both[0], both[0].T, rtol=1e-9)
    np.testing.assert_allclose(jnp.linalg.det(both[0]), 0.0, atol=1e-12)
    assert jnp.all(both[1] == 0)
    assert jnp.all(overlaps(one_spike(0.1, 1.0), side="left") == 0)


def test_equal_outliers_share_the_overlap_with_their_space():
    spikes = spikes_of(COUPLED[1])
    kernels = (spikes.Ce, spikes.Cf, spikes.Re, spikes.Rf, spikes.K)
    copies = CoupledSpikes(*(jnp.kron(x, jnp.eye(2)) for x in kernels), spikes.aspect, spikes.sigma)
    found = outliers(copies, 2)
    assert found.escaped.all() and jnp.ptp(found.location) < 1e-9
    expected = jnp.kron(overlaps(spikes)[0], jnp.eye(2))
    np.testing.assert_allclose(overlaps(copies, 2).sum(axis=0), expected, atol=1e-9)


def test_overlaps_differentiate():
    spikes = spikes_of(COUPLED[1])
    assert_derivatives(lambda s: overlaps(s)[0], (spikes, random_direction(spikes)))


@pytest.mark.parametrize("a, strength, eigenvalue", [(0.9, -2.97, 0.0199), (0.6, -2.52, 0.2895)])
def test_coupled_spikes_can_put_an_outlier_below_the_bulk(a, strength, eigenvalue):
    spikes = own_image(-a)
    found = outliers(spikes, 1, side="below")
    np.testing.assert_allclose(found.strength, strength, rtol=1e-10)
    np.testing.assert_allclose(found.location, eigenvalue, atol=5e-5)
    assert found.escaped[0] and not outliers(spikes, 1).escaped[0]
    rng = np.random.default_rng(0)
    lowest = []
    for _ in range(SEEDS):
        W = rng.normal(size=(600, 200)) / np.sqrt(200)
        e = np.ones(200)
        W -= a / 200 * np.outer(W @ e, e)
        lowest.append(np.linalg.eigvalsh(W.T @ W)[0])
    error = np.std(lowest, ddof=1) / np.sqrt(SEEDS)
    assert error < 0.05 * eigenvalue
    assert abs(np.mean(lowest) - found.location[0]) < 4 * error


def test_below_the_bulk_the_order_is_ascending_and_the_edge_fills_up():
    spikes = own_image(-0.3)  # strength -1.53 lies inside the threshold -sqrt(3)
    found = outliers(spikes, side="below")
    assert not found.escaped.any() and jnp.all(found.location == bulk_edges(spikes)[0])
    two = jax.tree.map(lambda a, b: jax.scipy.linalg.block_diag(a, b) if a.ndim else a,
                       own_image(-0.6), own_image(-0.9))  # fmt: skip
    found = outliers(two, 3, side="below")
    assert found.escaped.tolist() == [True, True, False]
    assert jnp.all(jnp.diff(found.location) > 0)


def test_a_square_matrix_has_no_outlier_below():
    assert not outliers(own_image(-0.9, aspect=1.0), side="below").escaped.any()


def test_location_differentiates_on_both_sides_of_the_threshold():
    inside, just_outside, outside = (one_spike(size, 0.3, 1.1) for size in (0.6, 1.5, 1.9))
    assert not outliers(inside, 1).escaped[0] and outliers(just_outside, 1).escaped[0]
    points = [(spikes, random_direction(spikes)) for spikes in (inside, just_outside, outside)]
    assert_derivatives(lambda s: outliers(s, 2).location, *points)


def test_strengths_and_margin_differentiate_for_real_and_complex_leaders():
    early = prefix(weights_of(case_kernels(1), 0), 2)
    points = []
    for spikes, leader_is_complex in ((spikes_of(COUPLED[1]), False), (early, True)):
        eigenvalues = np.linalg.eigvals(transfer_matrix(spikes))
        assert (eigenvalues[np.argmax(eigenvalues.real)].imag != 0) == leader_is_complex
        assert_physical(spikes)
        points.append((spikes, random_direction(spikes)))
    assert_derivatives(lambda s: jnp.append(strengths(s, 1), margin(s)), *points)


def test_elements_that_are_not_finite_spoil_nothing():
    good = spikes_of(COUPLED[1])
    # the last one overflows in products only
    batch = [good, *(eqx.tree_at(lambda s: s.Cf, good, good.Cf * bad) for bad in (jnp.nan, 1e308))]

    @jax.jit
    @jax.vmap
    def observed(spikes):
        def total(spikes):
            found = outliers(spikes, 2)
            return found.location.sum() + margin(spikes) + overlaps(spikes).sum(), found

        return jax.value_and_grad(total, has_aux=True)(spikes)

    (_, found), gradient = observed(jax.tree.map(lambda *x: jnp.stack(x), *batch))
    (_, alone), slope = observed(jax.tree.map(lambda *x: jnp.stack(x), good, good, good))
    for mixed, pure in zip(jax.tree.leaves(gradient), jax.tree.leaves(slope), strict=True):
        assert jnp.all(jnp.isfinite(mixed))
        np.testing.assert_allclose(mixed[0], pure[0], rtol=1e-12)
    np.testing.assert_array_equal(found.location[0], alone.location[0])
    assert not found.escaped[1:].any() and jnp.all(found.strength[1:] == 0)
    np.testing.assert_allclose(found.location[1:], bulk_edges(good)[1])


def test_wrong_arguments_are_named_in_one_sentence():
    spikes = one_spike(1.0, 1.0)
    with pytest.raises(ValueError, match="^Argument `count` must be an integer from 1 to 2, got 3"):
        outliers(spikes, 3)
    with pytest.raises(ValueError, match="^Argument `side` must be 'above' or 'below', got 'up'"):
        outliers(spikes, side="up")
