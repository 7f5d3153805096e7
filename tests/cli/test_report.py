"""What `spectrax solve` reports and draws, of numbers that are known."""

import types

import matplotlib
import matplotlib.figure
import numpy as np

matplotlib.use("Agg")

from spectrax.cli import figures, report
from spectrax.cli.report import Report
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


def trained(**other):
    """A training of two steps, two layers."""
    known = {
        "train_loss": np.array([1.0, 0.5]),
        "test_loss": None,
        "layers": [layer()] * 2,
        "names": ["W1", "W2"],
        "message": "",
        "residual": 0.0,
        "diverged_at": None,
    }
    return Report(**known | other)


def networks(steps=(0, 1, 2)):
    """Their largest eigenvalue is 100 (layer + 1) + step, their losses are 3, 2."""
    top = 100.0 * np.arange(1, 3)[:, None, None] + np.array(steps)[:, None]
    return types.SimpleNamespace(
        size=30,
        num_seeds=4,
        model=types.SimpleNamespace(alpha=2.0),
        spectrum_steps=steps,
        top_eigenvalues=types.SimpleNamespace(mean=top, stderr=top / 1000),
        train_loss=types.SimpleNamespace(mean=np.array([3.0, 2.0]), stderr=np.array([0.3, 0.2])),
    )


def test_the_summary_of_networks_is_their_last_step_layer_by_layer():
    comparison = types.SimpleNamespace(worst=1.25)
    found = trained(ensemble=networks(), comparison=comparison).summary()["simulation"]
    assert (found["size"], found["num_seeds"], found["alpha"]) == (30, 4, 2.0)
    assert found["worst_deviation"] == 1.25 and found["step"] == 2
    assert found["train_loss"] == {"mean": 2.0, "stderr": 0.2}
    assert [x["mean"] for x in found["top_eigenvalues"]] == [102.0, 202.0]
    assert [x["stderr"] for x in found["top_eigenvalues"]] == [0.102, 0.202]


def test_networks_are_drawn_only_where_the_theory_exists():
    """It diverged after the first step; they have spectra after 0, 1 and 2."""
    found = figures._simulated(trained(ensemble=networks(), diverged_at=1), 1)
    assert found["simulation_steps"].tolist() == [0, 1]
    np.testing.assert_array_equal(found["simulation"].mean, [200.0, 201.0])
    np.testing.assert_array_equal(found["simulation"].stderr, [0.2, 0.201])
    short = trained(train_loss=np.array([1.0]))
    cut = figures._cut(networks().train_loss, short)
    assert (cut.mean.tolist(), cut.stderr.tolist()) == ([3.0], [0.3])


def test_the_first_rise_of_a_loss_that_cannot_rise():
    plain = {"momentum": 0.0, "weight_decay": 0.0}
    loss = np.array([4.0, 3.0, 3.1, 3.2])

    def rise(**options):
        return report.first_rise(types.SimpleNamespace(**plain | options), loss)

    assert rise() == 2 and rise(batches=np.array([[1, 0]] * 4), inputs=np.ones((2, 3))) == 2
    for options in (
        {"momentum": 0.1},
        {"weight_decay": 0.1},
        {"data": "online"},
        {"optimizer": "Adam"},
        {"loss": len},
        {"batches": np.array([[0, 1]] * 4), "inputs": np.ones((3, 3))},
    ):
        assert rise(**options) is None, options
    steady = np.array([4.0, 3.0, 3.0 * (1 + 1e-4)])  # errors of averages
    assert report.first_rise(types.SimpleNamespace(**plain), steady) is None


def test_of_a_deep_network_the_first_and_the_last_layer_and_four_between_are_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(matplotlib.figure.Figure, "draw_without_rendering", lambda fig: None)
    monkeypatch.setattr(figures, "_layer", lambda axes, report, k, color: drawn.append(k))
    for count, expected in ((1, [0]), (11, [0, 2, 4, 6, 8, 10])):
        drawn.clear()
        names = [f"W{k + 1}" for k in range(count)]
        fig = figures.draw_training(trained(layers=[layer()] * count, names=names))
        assert drawn == expected
        assert len(fig.axes) == 2 * (1 + len(expected))
        strengths = fig.axes[1 + len(expected)]
        np.testing.assert_allclose(strengths.lines[0].get_ydata(), [0.0, 3.0])  # the largest
        labels = [text.get_text() for text in strengths.get_legend().get_texts()]
        assert labels == [f"$W^{{{k + 1}}}$" for k in expected]


def test_eigenvalues_of_networks_are_drawn_where_there_are_some_and_the_theory_ends_there():
    eigenvalues = np.arange(12.0).reshape(2, 3, 2)  # (layers, networks, each)
    simulated = types.SimpleNamespace(eigenvalues=eigenvalues)
    known = types.SimpleNamespace(ensemble=simulated, diverged=False)
    np.testing.assert_array_equal(figures._eigenvalues(known, 1), np.arange(6.0, 12.0))
    for ensemble, diverged in ((None, False), (None, True), (simulated, True)):
        unknown = types.SimpleNamespace(ensemble=ensemble, diverged=diverged)
        assert figures._eigenvalues(unknown, 0) is None
