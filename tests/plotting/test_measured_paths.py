"""The figure of measured weights over training, in units of their noise."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from spectrax.empirical import measure_series
from spectrax.plotting.measured import draw_paths


def drawn(series):
    """Coordinates of all that is drawn over the steps."""
    ax = plt.figure().add_subplot()
    draw_paths(ax, series)
    curves = [line.get_xydata() for line in ax.lines]
    areas = [path.vertices for part in ax.collections for path in part.get_paths()]
    plt.close(ax.figure)
    return [*curves, *areas], ax.get_ylim()


def test_the_unit_of_the_weights_does_not_matter():
    rng = np.random.default_rng(0)
    noise, left, right = rng.normal(size=(100, 60)), rng.normal(size=100), rng.normal(size=60)
    weights = [noise, noise + 0.4 * np.outer(left, right)]
    (one, limits), (other, same) = (
        drawn(measure_series([scale * W for W in weights])) for scale in (1.0, 3.0)
    )
    assert len(one) == len(other) >= 4
    for curve, scaled in zip(one, other, strict=True):
        np.testing.assert_allclose(curve, scaled, rtol=1e-6)
    np.testing.assert_allclose(limits, same, rtol=1e-6)
    edge = (1 + np.sqrt(100 / 60)) ** 2  # and the bulk ends where that of unit noise does
    assert any(np.allclose(curve[:, 1], edge, rtol=1e-6) for curve in one)
