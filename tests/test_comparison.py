"""Comparisons of symmetric matrices look on both sides of the bulk."""

import equinox as eqx
import jax
import numpy as np
import pytest

import spectrax as sx


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
