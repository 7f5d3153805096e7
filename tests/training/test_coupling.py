"""Result 1 as a tool: outliers of matrices with spikes coupled by given functions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

import spectrax as sx
from spectrax.spectrum.trajectory.layer import layer_report

LIMIT = sx.SampledLimit(8192, key=jax.random.key(0))


def top(model, step=None, interpreter=LIMIT):
    solution = sx.solve(model, interpreter=interpreter)
    return sx.outliers(sx.spikes(solution, 0, model.num_steps if step is None else step), 1)


def tanh_spikes(aspect, sigma, A):
    """Rank three: h_k = tanh(x + sum_{j<k} W'g_j), g_k = A (tanh(W h_k) + y/2)."""
    return sx.CoupledSpikeModel(
        3,
        H=lambda k, xi, x: jnp.tanh(x[0] + xi.sum(0)),
        G=lambda k, chi, y: A * (jnp.tanh(chi[k]) + y[0] / 2),
        aspect=aspect,
        sigma=sigma,
    )


def test_three_tanh_coupled_spikes():
    """9.277 ± 0.003 in theory, 9.297 ± 0.03 in matrices of up to 8000 columns."""
    model = tanh_spikes(0.5, 1.0, 1.5)
    found = top(model)
    np.testing.assert_allclose(found.location[0], 9.277, atol=0.009)
    assert top(model, 1).location[0] < top(model, 2).location[0] < found.location[0]


def test_overlaps_of_three_tanh_coupled_spikes():
    """First row of the theory page: .268 .389 .442, matrices .271 .392 .444."""
    solution = sx.solve(tanh_spikes(2.0, 0.7, 1.0), interpreter=LIMIT)
    overlap = np.asarray(sx.overlaps(sx.spikes(solution, 0, 3), 1)[0])
    np.testing.assert_allclose(overlap[0], [0.268, 0.389, 0.442], atol=0.002)


@pytest.mark.slow
def test_matrices_have_the_predicted_outlier():
    model = tanh_spikes(0.5, 1.0, 1.5)
    errors = []
    for size, seeds in ((200, 12), (800, 12)):
        ensemble = sx.simulate(
            model, size, key=jax.random.key(size), num_seeds=seeds, spectrum_steps=(1, 3)
        )
        comparison = sx.compare(sx.solve(ensemble.model, interpreter=LIMIT), ensemble)
        errors.append(float(ensemble.top_eigenvalues.stderr[0, -1, 0]))
        assert comparison.worst < 4.5, comparison
    assert errors[1] < errors[0] < 0.03 * 9.277


@pytest.mark.slow
def test_more_spikes_than_one_tape_is_long():
    """Splitting a spike changes nothing: the second of two in 99 parts, which see the first."""

    def strength(num_spikes, K):
        first = 0.3 * jnp.eye(num_spikes)[0]  # of as many numbers as there are spikes
        model = sx.CoupledSpikeModel(
            num_spikes,
            H=lambda k, xi, x: x[0] + first @ xi,
            G=lambda k, chi, y: chi[k],
            K=jnp.diag(jnp.asarray(K)),
            aspect=1.5,
        )
        limit = sx.SampledLimit(256, key=jax.random.key(0))
        return top(model, interpreter=limit).strength[0]

    split = strength(100, [1.0] + [1 / 99] * 99)
    np.testing.assert_allclose(split, strength(2, [1.0, 1.0]), rtol=1e-6)


def sampled_images(step, size=1200, seeds=6):
    """f = tanh(3 W0 e): top eigenvalues of matrices with `step` equal spikes, written out."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        W, e = rng.normal(size=(size, size)) / np.sqrt(size), rng.normal(size=size)
        e = e * np.sqrt(size) / np.linalg.norm(e)
        W = W + step * np.outer(np.tanh(3 * W @ e), e) / size
        v = e
        for _ in range(60):
            v = W.T @ (W @ v)
            v = v / np.linalg.norm(v)
        found.append(np.sum((W @ v) ** 2))
    return np.mean(found), np.std(found, ddof=1) / np.sqrt(seeds)


@pytest.mark.slow
def test_every_route_knows_the_coupling():
    """The same spike twice: outliers, paths, escape and comparison are of one matrix."""
    model = sx.CoupledSpikeModel(
        2, H=lambda k, xi, x: x[0], G=lambda k, chi, y: jnp.tanh(3 * chi[k]), aspect=1.0
    )
    solution = sx.solve(model, interpreter=sx.SampledLimit(1024, key=jax.random.key(0)))
    weights = solution.weights(0)
    each = [sx.outliers(sx.spikes(solution, 0, step), 1) for step in range(3)]
    path = sx.outlier_path(weights, 1)
    for name in ("location", "escaped", "strength"):
        rows = [getattr(x, name) for x in each]
        np.testing.assert_allclose(getattr(path, name), rows, rtol=1e-9)
    assert path.escaped[:, 0].tolist() == [False, True, True]
    np.testing.assert_allclose(sx.strength_path(weights), path.strength, rtol=1e-12)
    margins = sx.margin_path(weights)
    np.testing.assert_allclose(margins, path.strength[:, 0] - 1, rtol=1e-9)
    np.testing.assert_allclose(sx.escape_time(solution, 0), 1 / (1 + margins[1]), rtol=1e-9)
    report = layer_report(weights, 1, 2)
    np.testing.assert_allclose(report.location, path.location, rtol=1e-12)
    for step in (1, 2):
        mean, stderr = sampled_images(step)
        assert stderr < 0.02 * mean and abs(mean - path.location[step, 0]) < 4 * stderr


@pytest.mark.slow
def test_a_comparison_has_the_outlier_and_sees_a_wrong_coupling():
    model = tanh_spikes(0.5, 1.0, 1.5)
    interpreter = sx.SampledLimit(1024, key=jax.random.key(0))
    ensemble = sx.simulate(model, 300, key=jax.random.key(1), num_seeds=6, spectrum_steps=(1, 3))
    solution = sx.solve(ensemble.model, interpreter=interpreter)
    assert np.abs(sx.compare(solution, ensemble).deviations["outliers of W0"]).max() < 4
    wrong = eqx.tree_at(lambda s: s.model.K, solution, 1.3 * model.K)
    other = eqx.tree_at(lambda e: e.model.K, ensemble, 1.3 * model.K)
    assert np.abs(sx.compare(wrong, other).deviations["outliers of W0"]).max() > 10


def test_no_krylov_probe_and_no_compression_of_given_spikes():
    """Their coupling is no step of the program, which would probe the bare matrix."""
    model = sx.CoupledSpikeModel(1, H=lambda k, xi, x: x[0], G=lambda k, chi, y: y[0], aspect=1.0)
    solution = sx.solve(model, interpreter=sx.SampledLimit(64, key=jax.random.key(0)))
    with pytest.raises(ValueError, match="`solution` must be of trained rectangular weights"):
        sx.krylov(solution, 0, 1)
    with pytest.raises(ValueError, match="`weights` must be TrainedWeights, got a CoupledWeights"):
        sx.compress(solution.weights(0))


def test_independent_spikes_are_classical():
    """One spike of independent fields: theta^2 = aspect K^2."""
    K, aspect, sigma = 1.7, 2.0, 0.8
    model = sx.CoupledSpikeModel(
        1, H=lambda k, xi, x: x[0], G=lambda k, chi, y: y[0], K=[[K]], aspect=aspect, sigma=sigma
    )
    strength = aspect * K**2
    location = (strength + sigma**2) * (strength + aspect * sigma**2) / strength
    found = top(model, interpreter=sx.SampledLimit(64, key=jax.random.key(0)))
    np.testing.assert_allclose(found.location[0], location, rtol=1e-9)


def test_an_outlier_below_the_bulk():
    """f = W0 e with K = -a: theta^2 of the theory page, section 1.2."""
    model = sx.CoupledSpikeModel(
        1, H=lambda k, xi, x: x[0], G=lambda k, chi, y: chi[0], K=[[-0.6]], aspect=3.0
    )
    solution = sx.solve(model, interpreter=sx.SampledLimit(64, key=jax.random.key(0)))
    found = sx.outliers(sx.spikes(solution, 0, 1), 1, side="below")
    np.testing.assert_allclose(found.location[0], 0.2895, atol=1e-4)


@pytest.mark.slow
def test_outliers_differentiate_in_the_coupling():
    interpreter = sx.SampledLimit(256, key=jax.random.key(0))

    def location(p):
        model = sx.CoupledSpikeModel(
            2,
            H=lambda k, xi, x: jnp.tanh(x[0] + xi.sum(0)),
            G=lambda k, chi, y: jnp.tanh(chi[k]) + y[0] / 2,
            K=jnp.array([[p[0], 0.1], [0.0, p[0]]]),
            aspect=p[1],
            sigma=p[2],
        )
        solution = sx.solve(model, interpreter=interpreter, throw=False)
        return sx.outliers(sx.spikes(solution, 0, 2), 1).location[0]

    p = jnp.array([2.0, 0.8, 1.1])
    slope, value = jax.jit(jax.grad(location))(p), jax.jit(location)
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


def test_bad_requests():
    def build(**options):
        return sx.CoupledSpikeModel(
            2,
            **({"H": lambda k, xi, x: x[0], "G": lambda k, chi, y: y[0], "aspect": 1.0} | options),
        )

    with pytest.raises(ValueError, match="must be a SampledLimit for a nonlinear model"):
        sx.solve(build())
    for options, message in (
        ({"H": 1.0}, "`H` must be a function, got 1.0"),
        ({"K": [[1.0]]}, r"`K` must have shape \(2, 2\), got shape \(1, 1\)"),
        ({"aspect": 0.0}, "`aspect` must be positive, got 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            build(**options)
