"""What `spectrax solve` reports and draws, of numbers that are known."""

import types

import numpy as np

from spectrax.cli import report_figure
from spectrax.cli.report import LayerReport


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


def test_eigenvalues_of_networks_are_drawn_where_there_are_some_and_the_theory_ends_there():
    eigenvalues = np.arange(12.0).reshape(2, 3, 2)  # (layers, networks, each)
    networks = types.SimpleNamespace(eigenvalues=eigenvalues)
    known = types.SimpleNamespace(ensemble=networks, diverged=False)
    np.testing.assert_array_equal(report_figure._eigenvalues(known, 1), np.arange(6.0, 12.0))
    for ensemble, diverged in ((None, False), (None, True), (networks, True)):
        report = types.SimpleNamespace(ensemble=ensemble, diverged=diverged)
        assert report_figure._eigenvalues(report, 0) is None
