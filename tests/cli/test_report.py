"""What `spectrax solve` reports and draws, of numbers that are known."""

import types

import matplotlib
import matplotlib.figure
import numpy as np

matplotlib.use("Agg")

from spectrax.cli import report_figure
from spectrax.cli.report import LayerReport, Report


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


def test_of_a_deep_network_the_first_and_the_last_layer_and_four_between_are_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(matplotlib.figure.Figure, "draw_without_rendering", lambda fig: None)
    monkeypatch.setattr(report_figure, "_layer", lambda axes, report, k, color: drawn.append(k))
    for count, expected in ((1, [0]), (11, [0, 2, 4, 6, 8, 10])):
        drawn.clear()
        report = Report(
            train_loss=np.array([1.0, 0.5]),
            test_loss=None,
            layers=[layer()] * count,
            names=[f"W{k + 1}" for k in range(count)],
            message="",
            residual=0.0,
            diverged_at=None,
        )
        fig = report_figure.draw(report)
        assert drawn == expected
        assert len(fig.axes) == 2 * (1 + len(expected))
        strengths = fig.axes[1 + len(expected)]
        names = [text.get_text() for text in strengths.get_legend().get_texts()]
        assert names == [f"$W^{{{k + 1}}}$" for k in expected]


def test_eigenvalues_of_networks_are_drawn_where_there_are_some_and_the_theory_ends_there():
    eigenvalues = np.arange(12.0).reshape(2, 3, 2)  # (layers, networks, each)
    networks = types.SimpleNamespace(eigenvalues=eigenvalues)
    known = types.SimpleNamespace(ensemble=networks, diverged=False)
    np.testing.assert_array_equal(report_figure._eigenvalues(known, 1), np.arange(6.0, 12.0))
    for ensemble, diverged in ((None, False), (None, True), (networks, True)):
        report = types.SimpleNamespace(ensemble=ensemble, diverged=diverged)
        assert report_figure._eigenvalues(report, 0) is None
