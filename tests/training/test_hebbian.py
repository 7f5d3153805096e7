"""Anti-Hebbian networks: reference cases, free motion, simulation, derivatives."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

import spectrax as sx
from spectrax.spectrum import Semicircle

CASES = json.loads((Path(__file__).parents[1] / "data" / "cases.json").read_text())["anti_hebbian"]


@pytest.mark.parametrize("case", CASES)
def test_reference_cases(case):
    options = {name: case[name] for name in ("dt", "mu", "kappa", "sigma")}
    steps = case["num_steps"]
    solution = sx.solve(sx.AntiHebbian(steps, **options))
    np.testing.assert_allclose(solution.observed["activity"][-1], case["C_last"], rtol=1e-10)
    assert solution.stats["residual"] < 1e-12
    expected = np.sort(case["outliers_last"])
    found = sx.outliers(sx.spikes(solution, 0, steps - 1), 3, side="below")
    np.testing.assert_allclose(found.location[: len(expected)], expected, rtol=1e-6)
    assert not found.escaped[len(expected) :].any()
    assert not sx.outliers(sx.spikes(solution, 0, steps - 1), 1).escaped[0]


def test_without_learning_the_motion_is_that_of_the_semicircle():
    """<x_t^2> = int rho(l) (1 - mu dt + l dt)^2t dl, and no outlier ever."""
    sigma, mu, dt, steps = 0.8, 0.3, 0.2, 12
    solution = sx.solve(sx.AntiHebbian(steps, dt=dt, mu=mu, kappa=0.0, sigma=sigma))
    angle = (np.arange(2000) + 0.5) * np.pi / 2000
    x = 2 * sigma * np.cos(angle)
    weight = np.asarray(Semicircle(sigma).density(x)) * 2 * sigma * np.sin(angle) * np.pi / 2000
    expected = [weight @ (1 - mu * dt + x * dt) ** (2 * t) for t in range(steps)]
    np.testing.assert_allclose(solution.observed["activity"], expected, rtol=1e-8)
    assert sx.escape_time(solution, 0) == np.inf
    np.testing.assert_allclose(sx.spikes(solution, 0, steps).K, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({"kappa": 3.0, "decay": 0.1, "mu": -0.8}, "below"),
        ({"kappa": -1.6, "mu": 2.0}, "above"),
        ({"kappa": 4.0, "mu": -0.5, "activation": "tanh"}, "below"),
    ],
    ids=["fading", "Hebbian", "tanh"],
)
def test_matrices_have_the_predicted_outlier(options, end):
    steps, seeds = 30, 10
    model = sx.AntiHebbian(steps, dt=0.1, **options)
    interpreter = sx.SampledLimit(8192, key=jax.random.key(0)) if "activation" in options else None
    solution = sx.solve(model, interpreter=interpreter)
    theory = sx.outliers(sx.spikes(solution, 0, steps), 1, side=end)
    assert theory.escaped[0] and abs(theory.strength[0]) > 1.3
    place, errors = 1 if end == "below" else 0, []
    for size in (80, 500):
        ensemble = sx.simulate(model, size, key=jax.random.key(1), num_seeds=seeds)
        mean = ensemble.top_eigenvalues.mean[0, 0, place]
        errors.append(ensemble.top_eigenvalues.stderr[0, 0, place])
    assert errors[1] < min(errors[0], 0.02 * abs(mean))
    assert abs(mean - theory.location[0]) < 4 * errors[1]
    assert 0 < sx.escape_time(solution, 0) < steps * 0.1


def test_both_interpreters_agree_on_linear_networks():
    model = sx.AntiHebbian(12, dt=0.3, mu=0.2, kappa=1.5, decay=0.1)
    interpreter = sx.SampledLimit(128, key=jax.random.key(0))
    exact, sampled = sx.solve(model), sx.solve(model, interpreter=interpreter)
    np.testing.assert_allclose(sampled.observed["activity"], exact.observed["activity"], rtol=1e-4)
    location = [
        sx.outliers(sx.spikes(x, 0, 12), 1, side="below").location[0] for x in (exact, sampled)
    ]
    np.testing.assert_allclose(*location, rtol=1e-4)


@pytest.mark.slow
def test_fine_resolutions_keep_their_digits_on_smooth_trajectories():
    """Sixty vectors, few of them independent: rounding must not grow from one to the next."""
    model = sx.AntiHebbian(60, dt=0.05, mu=-0.2, kappa=1.0)
    exact = sx.solve(model).observed["activity"]
    for resolution in (1e-8, 1e-12, 1e-20):
        interpreter = sx.SampledLimit(512, key=jax.random.key(0), resolution=resolution)
        sampled = sx.solve(model, interpreter=interpreter).observed["activity"]
        np.testing.assert_allclose(sampled, exact, rtol=5 * resolution**0.5 + 1e-10)


@pytest.mark.slow
def test_derivatives_of_outlier_and_escape_time():
    def observed(p):
        model = sx.AntiHebbian(25, mu=p[0], kappa=p[1], sigma=p[2], decay=p[3], dt=p[4])
        solution = sx.solve(model, throw=False)
        spikes = sx.spikes(solution, 0, 25)
        location = sx.outliers(spikes, 1, side="below").location[0]
        return jnp.stack([location, sx.escape_time(solution, 0)])

    p = jnp.array([0.1, 3.0, 0.9, 0.2, 0.1])
    slope, value = jax.jit(jax.jacfwd(observed))(p), jax.jit(observed)
    assert np.isfinite(value(p)).all()
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


def test_a_blow_up_names_its_step_and_time():
    model = sx.AntiHebbian(500, dt=0.5, mu=-40.0, kappa=0.0)
    solution = sx.solve(model, throw=False)
    assert solution.result == sx.RESULTS.divergent
    step = int(solution.stats["diverged_at"])
    assert 0 < step < 500
    with pytest.raises(RuntimeError, match=rf"diverged at step {step} \(time {step / 2:g}\)\."):
        sx.solve(model)


def test_bad_requests():
    for options, message in (
        ({"dt": 0.0}, "`dt` must be positive, got 0.0"),
        ({"decay": -1.0}, "`decay` must be non-negative, got -1.0"),
        ({"activation": "swish"}, "`activation` must be 'tanh' or"),
    ):
        with pytest.raises(ValueError, match=message):
            sx.AntiHebbian(5, **({"dt": 0.1, "mu": 0.0, "kappa": 1.0} | options))
    with pytest.raises(ValueError, match="must be a SampledLimit for a nonlinear model"):
        sx.solve(sx.AntiHebbian(5, dt=0.1, mu=0.0, kappa=1.0, activation="tanh"))
