"""One weight matrix through its training, of numbers that are known."""

import types

import numpy as np
import pytest

from spectrax.spectrum.trajectory import layer as layers
from spectrax.spectrum.trajectory.layer import LayerReport


def layer():
    """Two steps; of three candidates the first has escaped at the end."""
    return LayerReport(
        aspect=4.0,
        sigma=np.array([1.0, 0.5]),
        edge=np.array([9.0, 2.25]),
        location=np.array([[9.0, 9.0, 9.0], [3.0, 2.25, 2.25]]),
        escaped=np.array([[False, False, False], [True, False, False]]),
        strength=np.array([[0.0, 0.0, 0.0], [1.5, 0.25, 0.125]]),
        escape_step=0.5,
    )


def test_the_summary_of_a_layer_is_its_last_step():
    found = layer().summary()
    assert found.pop("outliers").tolist() == [3.0]
    assert found == {
        "aspect": 4.0,
        "bulk_edge": 2.25,
        "escape_step": 0.5,
        "strength": 1.5,  # the largest
        "critical_strength": 0.5,  # sigma^2 sqrt(aspect)
    }


@pytest.mark.parametrize(("escape", "reported"), [(1.5, 1.5), (2.5, np.inf)])
def test_an_escape_after_a_divergence_is_none(monkeypatch, escape, reported):
    """Of four steps two exist."""
    path = types.SimpleNamespace(
        **dict.fromkeys(("location", "escaped", "strength"), np.ones((5, 1)))
    )
    monkeypatch.setattr(layers, "_spectral", lambda weights, count: (path, escape, np.full(5, 2.0)))
    found = layers.layer_report(types.SimpleNamespace(aspect=4.0), 1, 2)
    assert found.escape_step == reported
    assert found.edge.tolist() == [36.0] * 3  # 4 (1 + 2)^2
    assert len(found.location) == len(found.escaped) == len(found.strength) == 3
