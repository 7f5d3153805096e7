"""What is put into a sampled matrix is what is read from it."""

import ml_dtypes
import numpy as np
import pytest
from empirical.helpers import spiked
from scipy.stats import kstest

import spectrax
from spectrax.empirical import measure_spectrum, spike_location, spike_strength
from spectrax.empirical.fit import _without
from spectrax.empirical.law import BulkLaw
from spectrax.empirical.levels import Levels
from spectrax.empirical.measure import FINITE, MISFIT, _distance

ASPECTS = (0.25, 0.5, 1.0, 2.0, 4.0)


def shape_of(aspect, area=300 * 300):
    return round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))


@pytest.mark.parametrize("aspect", ASPECTS)
def test_sigma_edge_outliers_and_strengths_are_recovered(aspect):
    """Twelve matrices: means within 4 standard errors, single values within 4.5 of their own."""
    rng, sigma = np.random.default_rng(7), 0.037
    N, M = shape_of(aspect)
    strengths = np.sqrt(N / M) * sigma**2 * np.array([12.0, 6.0, 3.0])
    found = [measure_spectrum(spiked(rng, N, M, strengths, sigma)) for _ in range(12)]
    exact = spike_location(strengths, N / M, sigma)
    for f in found:
        assert f.regime == "bulk + outliers" and f.location.shape == (3,)
        assert abs(f.sigma - sigma) < 4.5 * f.sigma_stderr < 0.02 * sigma
        assert f.edge == pytest.approx(sigma**2 * (1 + np.sqrt(N / M)) ** 2, rel=0.02)
        assert np.all(np.abs(f.location - exact) < 4.5 * f.location_stderr)
        assert np.all(np.abs(f.strength - strengths) < 4.5 * f.strength_stderr)
    for name, truth in (("sigma", sigma), ("location", exact), ("strength", strengths)):
        pulls = [(getattr(f, name) - truth) / getattr(f, name + "_stderr") for f in found]
        assert np.all(np.abs(np.mean(pulls, axis=0)) < 4 / np.sqrt(12)), name


@pytest.mark.parametrize("shape", [(80, 80), (160, 40), (40, 160)])
def test_standard_error_of_sigma_is_its_spread(shape):
    rng = np.random.default_rng(3)
    found = [measure_spectrum(rng.normal(size=shape)) for _ in range(100)]
    pulls = np.array([(f.sigma - 1.0) / f.sigma_stderr for f in found])
    assert abs(pulls.mean()) < 0.4 and 0.75 < pulls.std() < 1.28  # 4 standard errors each


@pytest.mark.parametrize(("rate", "fewest", "most"), [(0.05, 1, 23), (0.001, 0, 2)])
def test_false_outlier_rate_is_the_stated_one(rate, fewest, most):
    """200 random matrices: the binomial's 4 standard deviations."""
    rng = np.random.default_rng(11)
    shapes = [(120, 120), (200, 100), (60, 200), (50, 50)] * 50
    count = sum(len(measure_spectrum(rng.normal(size=s), rate=rate).location) > 0 for s in shapes)
    print(f"{count} of 200 at rate {rate}")
    assert fewest <= count <= most


@pytest.mark.parametrize("law", ["uniform", "signs"])
def test_entries_need_not_be_gaussian(law):
    rng = np.random.default_rng(5)
    W = rng.uniform(-1, 1, (200, 150)) * 3**0.5
    W = W if law == "uniform" else np.sign(W)
    found = measure_spectrum(W)
    assert found.regime == "bulk" and found.sigma == pytest.approx(1.0, abs=0.02)


def test_fit_ignores_outliers_however_large():
    rng = np.random.default_rng(6)
    noise = rng.normal(size=(200, 100))
    plain = measure_spectrum(noise)
    for size in (10.0, 1e2, 1e4):
        found = measure_spectrum(
            noise + size * np.outer(rng.normal(size=200), rng.normal(size=100))
        )
        assert abs(found.sigma - plain.sigma) < 3 * plain.sigma_stderr and len(found.location) == 1


def test_noise_is_a_bulk_and_its_distance_that_of_finite_size():
    rng = np.random.default_rng(8)
    for size in (32, 64, 256):
        for _ in range(10):
            found = measure_spectrum(rng.normal(size=(2 * size, size)))
            assert found.regime == "bulk" and found.ks < 4 / size


def test_uneven_rows_restructure_the_bulk():
    rng = np.random.default_rng(9)
    W = rng.normal(size=(300, 300)) * np.exp(0.6 * rng.normal(size=300))[:, None]
    found = measure_spectrum(W)
    assert found.regime == "restructured bulk" and found.ks > 0.05


def test_many_outputs_restructure_the_bulk_and_few_do_not():
    """W₀ + κVᵀΘ (theory page, section 5.1): C directions, few or a fraction of the width."""
    rng, D = np.random.default_rng(10), 300
    W0 = rng.normal(size=(D, D)) / np.sqrt(D)
    regimes = []
    for C in (3, 150):
        V, Theta = rng.normal(size=(C, D)) / np.sqrt(D), rng.normal(size=(C, D)) / np.sqrt(D)
        regimes.append(measure_spectrum(W0 + 2.0 * V.T @ Theta, normalize=False))
    assert [f.regime for f in regimes] == ["bulk + outliers", "restructured bulk"]
    assert len(regimes[0].location) == 3 and regimes[0].sigma == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
def test_every_floating_type_is_read(dtype):
    rng = np.random.default_rng(12)
    W = spiked(rng, 200, 100, [8.0], sigma=1.0)
    exact, found = measure_spectrum(W), measure_spectrum(W.astype(dtype))
    assert len(found.location) == 1
    assert found.sigma == pytest.approx(exact.sigma, rel=1e-3)
    assert found.location[0] == pytest.approx(exact.location[0], rel=1e-2)


def test_normalisation_layout_and_transposition():
    W = np.random.default_rng(13).normal(size=(120, 80))
    a = measure_spectrum(W)
    b = measure_spectrum(W.T, layout="in_out")
    c = measure_spectrum(W / np.sqrt(80), normalize=False)
    d = measure_spectrum(W.T)
    for other in (b, c):
        np.testing.assert_allclose(other.eigenvalues, a.eigenvalues, rtol=1e-9)
        assert other.sigma == pytest.approx(a.sigma) and other.shape == (120, 80)
    assert d.aspect == pytest.approx(1 / a.aspect) and d.sigma == pytest.approx(a.sigma)
    np.testing.assert_allclose(d.eigenvalues * 120, a.eigenvalues * 80, rtol=1e-9)


def test_more_than_a_tenth_of_all_eigenvalues_is_no_outlier_of_a_bulk():
    """However well the rest follows its law: two of sixteen, and of twenty-four."""
    for size, regime in ((16, "restructured bulk"), (24, "bulk + outliers")):
        W = spiked(np.random.default_rng(0), 2 * size, size, [40.0, 30.0])
        found = measure_spectrum(W)
        assert found.regime == regime and found.ks < MISFIT + FINITE / size
        assert np.sum(found.eigenvalues > found.threshold) == 2


def test_errors_of_strengths_propagate_from_those_of_locations_and_of_sigma():
    """Derivatives are central differences; for a weak spike both parts count."""
    found = measure_spectrum(spiked(np.random.default_rng(1), 60, 120, [3.0]))
    (z,), (error,), step = found.location, found.location_stderr, 1e-6
    along = [
        (spike_strength(z * (1 + x), 0.5, found.sigma * (1 + y)) / (2 * step)).item()
        for x, y in ((step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step))
    ]
    by_location = (along[0] - along[1]) / z * error
    by_sigma = (along[2] - along[3]) / found.sigma * found.sigma_stderr
    expected = np.hypot(by_location, by_sigma)
    assert abs(by_sigma) > 0.02 * abs(by_location)
    np.testing.assert_allclose(found.strength_stderr, expected, rtol=1e-6)


@pytest.mark.parametrize("shift", [0.7, 1.4])
def test_distance_from_the_law_is_kolmogorovs(shift):
    """Below the law at some places, above it at others: both sides of every step."""
    nodes = np.sort(shift * np.random.default_rng(2).uniform(0.1, 2.8, 40))[::-1]
    law, levels = BulkLaw(1.0, 1.0), Levels(40, 40, nodes[None], np.full((1, 40), 1 / 40), 1.0)
    exact = kstest(nodes, law.cdf).statistic
    np.testing.assert_allclose(_distance(levels, law, np.inf), exact, rtol=1e-12)


def test_an_outlier_is_taken_off_the_bulk_for_every_random_vector():
    """Their nodes differ in the last digits; the level is that of one of them."""
    nodes = np.array([[9.00001, 2.0, 1.0], [8.99999, 3.0, 0.5]])
    levels = Levels(3, 3, nodes, np.array([[0.5, 0.3, 0.2], [0.6, 0.1, 0.3]]), 12.0)
    bulk, weights = _without(levels, levels.above(4.0)[:1])
    np.testing.assert_array_equal(bulk, nodes)
    np.testing.assert_allclose(weights, [[0.0, 0.6, 0.4], [0.0, 0.25, 0.75]])


def test_kernels_are_measured_unfolded():
    kernel = np.random.default_rng(14).normal(size=(3, 3, 16, 32))
    found = measure_spectrum(kernel, layout="in_out")
    assert found.shape == (96, 48) and found.regime == "bulk"


BAD = {
    "finite": np.where(np.eye(20), np.nan, 1.0),
    "finite,": np.where(np.eye(20), np.inf, 1.0),
    "not be zero": np.zeros((20, 20)),
    "low rank": np.outer(np.ones(20), np.ones(20)),
    "at least 8 by 8": np.ones((20, 3)),
    "at least 8 by 8,": np.ones((0, 20)),
    "2 to 5 axes": np.ones(20),
    "real numbers": np.ones((20, 20), complex),
    "real numbers,": np.full((20, 20), None),
}


@pytest.mark.parametrize("sentence", BAD)
@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_bad_arrays_are_one_sentence(sentence, method):
    with pytest.raises(ValueError, match=sentence.rstrip(",")) as error:
        measure_spectrum(BAD[sentence], method=method)
    text = str(error.value)
    assert text.startswith("Argument `array` must") and text.endswith(".") and "\n" not in text


def test_bad_options_are_one_sentence():
    W = np.random.default_rng(0).normal(size=(20, 20))
    for options in ({"rate": 0.0}, {"rate": 2.0}, {"method": "svd"}, {"layout": "io"}):
        with pytest.raises(ValueError, match=f"Argument `{next(iter(options))}` must be"):
            measure_spectrum(W, **options)


def test_matrices_of_low_rank_plus_noise_of_any_level_end():
    """The search for outliers ends whatever the spectrum."""
    rng = np.random.default_rng(15)
    for power in (1, 3, 6):
        W = np.linalg.matrix_power(rng.normal(size=(100, 100)) / 10, power)
        assert measure_spectrum(W).regime in ("bulk", "restructured bulk")
    W = np.diag(np.logspace(-2, 1, 100))
    assert measure_spectrum(W).regime == "restructured bulk"


@pytest.mark.nightly
def test_networks_read_back_give_the_outliers_of_the_theory():
    """Deep linear networks, D = 1000, eight seeds: every eigenvalue read back by this tool."""
    import jax

    model = spectrax.DeepLinear(2, 20, alpha=4.0, nu=1.0, eta=0.03, gamma0=8.0)
    matrices = trained(model, 1000, jax.random.key(1), seeds=8)
    solution = spectrax.solve(model)
    for layer in (0, 1):
        expected = spectrax.outliers(spectrax.spikes(solution, layer, 20), 1)
        assert bool(expected.escaped[0])
        found = [measure_spectrum(W, normalize=False) for W in matrices[layer]]
        assert all(f.regime == "bulk + outliers" and len(f.location) == 1 for f in found)
        for name, truth in (("location", expected.location[0]), ("strength", expected.strength[0])):
            values = np.array([getattr(f, name)[0] for f in found])
            stderr = values.std(ddof=1) / np.sqrt(len(values))
            print(f"W{layer} {name}: {values.mean():.4f} ± {stderr:.4f}, theory {truth:.4f}")
            assert stderr < 0.02 * truth and abs(values.mean() - truth) < 4 * stderr
        sigmas = np.array([f.sigma for f in found])
        assert abs(sigmas.mean() - 1.0) < 4 * np.median([f.sigma_stderr for f in found])


def trained(model, size, key, seeds):
    """Weights of finite networks after training, by layer."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    model, sizes = model.rounded(size)
    trainer = model.trainer(sizes)
    names = [matrix.name for matrix in model.plan().matrices]
    found, train = {name: [] for name in names}, eqx.filter_jit(trainer.train)
    for seed in jax.random.split(key, seeds):
        network = train(trainer.start(seed), seed, jnp.asarray(model.num_steps))
        for name in names:
            found[name].append(np.asarray(model.matrix(network, name)))
    return [found[name] for name in names]
