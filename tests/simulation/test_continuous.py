"""Learning matrices in continuous time: exact motion, limit of Euler steps, escape, derivatives."""

from types import SimpleNamespace

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences
from jax.scipy.linalg import expm

import spectrax as sx
from spectrax.simulation import continuous

FADING = {"mu": -0.5, "kappa": 2.0, "decay": 0.2, "sigma": 0.9}
STRONG = {"mu": -0.8, "kappa": 3.0, "decay": 0.1, "sigma": 1.0}


def model(num_steps=30, dt=0.1, **options):
    return sx.AntiHebbian(num_steps, dt=dt, **(FADING | options))


def moved(size, seed=0, *, times=(1.0, 2.0, 3.0), given=None, **options):
    options = {"rtol": 1e-8, "atol": 1e-10} | options
    return sx.flow(given or model(), size, key=jax.random.key(seed), times=times, **options)


@pytest.mark.slow
def test_without_learning_the_motion_is_a_matrix_exponential():
    free = moved(60, given=model(kappa=0.0), dense=True, max_steps=200)
    start, J0 = free.at(0.0)
    for time in (1.3, 3.0):
        x, J = free.at(time)
        np.testing.assert_allclose(x, expm((J0 + 0.5 * jnp.eye(60)) * time) @ start, rtol=1e-6)
        np.testing.assert_allclose(J, J0, atol=1e-12)
    np.testing.assert_allclose(free.state, x, rtol=1e-9)
    np.testing.assert_allclose(free.activity[-1], jnp.mean(x**2), rtol=1e-9)


@pytest.mark.slow
def test_euler_steps_tend_to_it_at_first_order():
    """The same matrix and start, stepped in NumPy."""
    found = moved(60, given=model(activation="tanh"), dense=True, max_steps=200)
    start, J0 = (np.asarray(part) for part in found.at(0.0))
    errors = []
    for count in (300, 600):
        dt, x, S = 3.0 / count, start, np.zeros_like(J0)
        for _ in range(count):
            f = np.tanh(x)
            x, S = (
                x + dt * (0.5 * x + (J0 + S) @ f),
                np.exp(-0.2 * dt) * (S - dt * 2.0 * np.outer(f, f) / 60),
            )
        errors.append(np.linalg.norm(J0 + S - found.matrix))
    assert errors[1] < 0.02 * np.linalg.norm(found.matrix - J0)
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.1)


def predicted(dt, times=(1.0, 3.0)):
    """Outliers of the theory, at steps of length dt."""
    solution = sx.solve(model(round(3.0 / dt), dt, **STRONG))
    steps = [round(time / dt) for time in times]
    found = [sx.outliers(sx.spikes(solution, 0, step), 1, side="below") for step in steps]
    assert all(x.escaped[0] for x in found)
    return np.array([float(x.location[0]) for x in found])


@pytest.mark.slow
def test_the_theory_tends_to_matrices_in_continuous_time():
    """At first order in dt; its extrapolation lies within 4 standard errors of matrices."""
    coarse, middle, fine = predicted(0.1), predicted(0.05), predicted(0.025)
    np.testing.assert_allclose((coarse - middle) / (middle - fine), 2, rtol=0.15)
    limit = (8 * fine - 6 * middle + coarse) / 3
    errors = []
    for size, seeds in ((80, 12), (250, 12)):
        options = {"times": (1.0, 3.0), "rtol": 1e-6, "given": model(**STRONG)}
        runs = [moved(size, seed, **options).smallest for seed in range(seeds)]
        mean, stderr = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / seeds**0.5
        errors.append(stderr)
        assert size == 80 or np.abs((mean - limit) / stderr).max() < 4
    assert (errors[1] < 0.01 * np.abs(limit)).all() and errors[1].mean() < errors[0].mean()


@pytest.mark.slow
def test_the_event_is_where_the_prediction_passes_the_level():
    level, seeds = 2.5, 24
    options = {"given": model(**STRONG), "stop_at_escape": True, "level": level, "rtol": 1e-6}
    runs = [float(moved(200, seed, **options).escape_time) for seed in range(seeds)]
    predictions = []
    for dt in (0.1, 0.05):
        solution = sx.solve(model(round(3.0 / dt), dt, **STRONG))
        path = -sx.outlier_path(solution.weights(0), 1, side="below").location[:, 0]
        after = int(jnp.argmax(path > level))
        predictions.append(dt * (after - (path[after] - level) / (path[after] - path[after - 1])))
    time = 2 * predictions[1] - predictions[0]
    mean, stderr = np.mean(runs), np.std(runs, ddof=1) / seeds**0.5
    assert stderr < 0.02 * mean
    assert abs(mean - time) < 4 * stderr
    never = moved(60, given=model(kappa=0.0), stop_at_escape=True)
    assert never.escape_time == np.inf and never.end == 3.0


@pytest.mark.slow
def test_derivatives_of_the_escape_time():
    def time(p):
        given = sx.AntiHebbian(30, dt=0.1, mu=p[0], kappa=p[1], sigma=p[2], decay=p[3])
        options = {"rtol": 1e-10, "atol": 1e-12, "level": 1.9, "stop_at_escape": True}
        return sx.flow(given, 60, key=jax.random.key(0), throw=False, **options).escape_time

    p = jnp.array([-0.5, 2.0, 0.9, 0.2])
    value, slope = jax.jit(time), jax.jit(jax.grad(time))(p)
    assert 0.5 < value(p) < 3
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


@pytest.mark.slow
def test_a_blow_up_names_its_time():
    hebbian = model(kappa=-2.0)
    with pytest.raises(RuntimeError, match=r"The motion diverged at time [\d.]+\."):
        moved(60, given=hebbian)
    found = moved(60, given=hebbian, throw=False)
    assert found.result == sx.RESULTS.divergent and 0.3 < found.end < 2
    assert np.isinf(found.smallest[-1]) and not np.isnan(found.state).any()
    short = moved(60, given=hebbian, throw=False, max_steps=4)
    assert short.result == sx.RESULTS.unconverged and "in 4 steps" in short.message


@pytest.mark.parametrize(("factor", "blown"), [(0.999e6, False), (1.001e6, True)])
def test_a_motion_has_diverged_when_spikes_are_a_million_times_larger_than_the_noise(factor, blown):
    J0 = jax.random.normal(jax.random.key(0), (5, 5))
    network = continuous._Network(*jnp.ones(3), J0, jnp.ones(()), "identity")
    assert (network.blown(0.0, (jnp.ones(5), 5 * factor * J0)) > 0) == blown


@pytest.mark.parametrize(
    ("left", "blown", "result"),
    [(True, False, "successful"), (False, True, "divergent"), (False, False, "unconverged")],
)
def test_leaving_the_bulk_is_a_success_and_a_blow_up_is_not(left, blown, result):
    """Both are events to the solver, which says of both that it did not come to the end."""
    events = {"escaped": jnp.array(left), "blown": jnp.array(blown)}
    stopped = diffrax.RESULTS.event_occurred if left or blown else diffrax.RESULTS.max_steps_reached
    last = (jnp.ones((1, 2)), jnp.zeros((1, 2, 2)))
    ended = SimpleNamespace(
        ts={"end": jnp.array([1.5])},
        ys={"end": last, "record": tuple(jnp.zeros((3, 1)))},
        event_mask=events,
        result=stopped,
        stats={"num_accepted_steps": jnp.array(4)},
        interpolation=None,
    )
    found = continuous._as_flow(ended, jnp.ones(1), jnp.array(2.3), jnp.eye(2))
    assert found.result == getattr(sx.RESULTS, result)
    assert found.escape_time == (1.5 if left else np.inf)


def test_the_default_level_is_that_of_tracy_and_widom(monkeypatch):
    """One matrix in a thousand passes it: the edge 2σ, and a margin that falls as N^(−2/3).

    Times by default: the whole duration, 30 steps of 0.1, from its start.
    """
    asked = {}

    def noted(model, key, numbers, *rest):
        np.testing.assert_allclose(numbers[1], np.linspace(0.0, 3.0, 33), atol=1e-12)
        asked[rest[-1][0]] = numbers[2] / 0.9 - 2
        raise InterruptedError

    monkeypatch.setattr(continuous, "_flow", noted)
    for size in (100, 800):
        with pytest.raises(InterruptedError):
            sx.flow(model(sigma=0.9), size, key=jax.random.key(0))
    np.testing.assert_allclose(asked[100] / asked[800], 4.0, rtol=1e-10)
    np.testing.assert_allclose(asked[100], 3.27 * 100 ** (-2 / 3), rtol=2e-3)


@pytest.mark.slow
def test_forward_mode_and_other_solvers():
    def last(kappa):
        options = {"adjoint": diffrax.ForwardMode(), "solver": diffrax.Dopri8(), "throw": False}
        return moved(30, given=model(kappa=kappa), **options).smallest[-1]

    value, slope = jax.jvp(last, (2.0,), (1.0,))
    np.testing.assert_allclose(value, moved(30).smallest[-1], rtol=1e-6)
    more, less = (moved(30, given=model(kappa=kappa)).smallest[-1] for kappa in (2.01, 1.99))
    np.testing.assert_allclose(slope, (more - less) / 0.02, rtol=1e-3)


@pytest.mark.slow
def test_bad_requests():
    for options, message in (
        ({"times": [[1.0]]}, r"`times` must have shape \(any\), got shape \(1, 1\)"),
        ({"times": (2.0, 1.0)}, "`times` must be increasing, got 1.0"),
        ({"times": (1.0, 3.5)}, r"`times` must end by 3 \(num_steps · dt\), got 3.5"),
        ({"level": -1.0}, "`level` must be positive, got -1.0"),
        ({"rtol": 0.0}, "`rtol` must be positive, got 0.0"),
        ({"max_steps": 0}, "`max_steps` must be an integer of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            moved(10, **options)
    with pytest.raises(ValueError, match="`size` must be an integer of at least 2, got 1"):
        moved(1)
    found = moved(10, dense=True, max_steps=100)
    with pytest.raises(ValueError, match="`time` must be between 0 and 3, got 3.5"):
        found.at(3.5)
    with pytest.raises(ValueError, match="`dense` of flow must be True"):
        moved(10).at(1.0)
