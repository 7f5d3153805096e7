"""What is compared, and what is not; of symmetric matrices both sides of the bulk."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest

import spectrax as sx
from spectrax.simulation.comparison import Comparison, _enter
from spectrax.simulation.ensemble import Ensemble, EnsembleOrder, Estimate
from spectrax.spectrum import critical_strength

SEEN = {"train_error": "train_loss", "test_error": "test_loss", "predictions": "predictions"}


def exactly(values, stderr=1.0) -> Estimate:
    """An ensemble that found just what the theory says."""
    return Estimate(np.asarray(values), np.full(np.shape(values), stderr))


def planted(solution, steps=(8,)) -> Ensemble:
    """An ensemble without deviations, standard error one, with the outlier of one layer."""
    kernels = (
        tuple(None if K is None else exactly(K) for K in getattr(solution.order, name))
        for name in ("Ch", "Cg")
    )
    tops = sx.outlier_path(solution.weights(0), 1).location[np.array(steps)][None]
    seen = [
        exactly(getattr(solution, attribute)) if name in solution.observed else None
        for name, attribute in SEEN.items()
    ]
    found = (None, exactly(tops), tuple(steps), None, None, None, 10, 2)
    return Ensemble(solution.model, EnsembleOrder(*kernels), *seen, *found)


@pytest.fixture(scope="module")
def solution():
    """One hidden layer whose outlier escapes, and outputs on three samples."""
    model = sx.DeepLinear(1, 8, alpha=2.0, nu=1.0, eta=0.06, gamma0=4.0)
    found = sx.solve(model)
    predictions = jax.random.normal(jax.random.key(0), (8, 3))
    return dataclasses.replace(found, observed=found.observed | {"predictions": predictions})


@pytest.mark.parametrize("values", [[1.0, -3.0], [-1.0, 3.0]])
def test_the_worst_deviation_is_the_largest_of_either_sign(values):
    errors = np.ones(2)
    comparison = Comparison({"loss": np.array(values)}, {"loss": errors})
    assert comparison.worst == comparison.rows()[0]["worst"] == 3.0


def test_every_sample_of_every_step_before_a_divergence_is_compared(solution):
    for good in (8, 5):
        stopped = eqx.tree_at(lambda s: s.stats["diverged_at"], solution, np.array(good))
        found = sx.compare(stopped, planted(stopped)).deviations
        assert found["predictions"].size == 3 * good
        assert found["train_loss"].size == found["test_loss"].size == good
        assert max(np.abs(z).max() for z in found.values()) < 1e-12


def test_numbers_without_a_standard_error_are_not_compared():
    """The first loss of a network whose output starts at zero is the same for every seed."""
    deviations, errors = {}, {}
    estimate = Estimate(np.array([1.0, 2.5, np.inf]), np.array([0.0, 0.5, np.inf]))
    _enter("loss", np.array([1.0, 2.0, 3.0]), estimate, slice(3), deviations, errors)
    np.testing.assert_allclose(deviations["loss"], [1.0])
    np.testing.assert_allclose(errors["loss"], [0.25])


def test_outliers_count_where_their_strength_is_1_3_times_the_critical_one(solution):
    """Nearer to the edge a finite matrix shifts them by more than its standard error."""
    steps = (5, 6, 7, 8)
    path = sx.outlier_path(solution.weights(0), 1)
    ratio = path.strength[5:, 0] / critical_strength(solution.weights(0).at(8))
    near, far = (ratio > 1) & (ratio <= 1.3), ratio > 1.3
    assert near.sum() >= 1 and far.sum() >= 1 and path.escaped[5:, 0][near | far].all()
    found = sx.compare(solution, planted(solution, steps)).deviations["outliers of W0"]
    assert found.size == far.sum()
    np.testing.assert_allclose(found, 0.0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"kappa": 2.0, "dt": 0.2, "mu": 0.0, "x0_variance": 2.0}, " below"),
        ({"kappa": -1.0, "dt": 0.1, "mu": 1.0}, ""),
    ],
)
def test_outliers_on_either_side_are_compared_with_their_own_end(options, where):
    """num_top = 2: the two largest and the two smallest eigenvalues of each network."""
    model, steps = sx.AntiHebbian(12, **options), (9, 12)
    ensemble = sx.simulate(
        model, 300, key=jax.random.key(0), num_seeds=6, spectrum_steps=steps, num_top=2
    )
    solution = sx.solve(ensemble.model)
    found = sx.compare(solution, ensemble).deviations
    side = "below" if where else "above"
    path = sx.outlier_path(solution.weights(0), 2, side=side)
    far = path.escaped & (np.abs(path.strength) > 1.3)
    assert found[f"outliers of W0{where}"].size == far[np.array(steps)].sum() >= 1
    assert np.abs(found[f"outliers of W0{where}"]).max() < 5
    moved = eqx.tree_at(lambda e: e.top_eigenvalues.mean, ensemble, replace_fn=lambda x: 1.3 * x)
    assert np.abs(sx.compare(solution, moved).deviations[f"outliers of W0{where}"]).min() > 5
