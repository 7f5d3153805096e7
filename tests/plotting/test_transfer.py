"""Losses against the rate, sharpness against the step: what is drawn is what was given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from planted_transfer import RATES, planted

import spectrax as sx
from spectrax import plotting
from spectrax.cli import figures

LRS = 2.0 ** np.arange(-4.0, 1.0)
LOSSES = np.array([[5.0, 2.0, 1.0, 2.0, np.inf], [4.0, 1.0, 0.5, 1.0, np.nan]])


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    fig.canvas.draw()  # formulas must render too
    plt.close(fig)


def data(line):
    """Its points that are drawn."""
    points = np.asarray(line.get_xydata(), float)
    return points[np.isfinite(points).all(axis=1)]


def test_losses_are_drawn_at_their_rates_until_they_diverge(ax):
    assert plotting.learning_rates(ax, LRS, LOSSES, [1.0, 64.0]) is ax
    for line, row in zip(ax.lines, LOSSES, strict=True):
        np.testing.assert_array_equal(data(line), np.column_stack([LRS[:4], row[:4]]))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.xaxis.get_transform().base == 2
    assert [line.get_label() for line in ax.lines] == [r"$\nu = 1$", r"$\nu = 64$"]
    assert "eta" in ax.get_xlabel() and ax.get_ylabel() == "loss"


def test_each_width_may_have_rates_of_its_own(ax):
    rates = np.stack([LRS, 3 * LRS])
    plotting.learning_rates(ax, rates, LOSSES, [1.0, 2.0])
    np.testing.assert_array_equal(data(ax.lines[1])[:, 0], 3 * LRS[:4])


def test_minima_and_stability_lines_have_the_colour_of_their_width(ax):
    best, stable = [(0.25, 1.0), (0.2, 0.5)], [0.6, 0.8]
    plotting.learning_rates(ax, LRS, LOSSES, [1.0, 2.0], best=best, stable=stable)
    for k in range(2):
        curve, minimum, edge = ax.lines[3 * k : 3 * k + 3]
        np.testing.assert_array_equal(minimum.get_xydata(), [best[k]])
        assert set(edge.get_xdata()) == {stable[k]} and edge.get_linestyle() == ":"
        assert minimum.get_marker() == "o"
        assert curve.get_color() == minimum.get_markeredgecolor() == edge.get_color()
    assert ax.lines[0].get_color() != ax.lines[3].get_color()


def test_sharpness_is_drawn_against_the_step_with_its_bound(ax):
    paths = [[5.0, 6.0, 7.0], [4.0, np.inf, np.inf]]
    assert plotting.sharpness(ax, paths, ["1", "8"], bound=6.5) is ax
    first, second, bound = ax.lines
    np.testing.assert_array_equal(data(first), [[0, 5], [1, 6], [2, 7]])
    np.testing.assert_array_equal(data(second), [[0, 4]])
    assert set(bound.get_ydata()) == {6.5} and bound.get_linestyle() == ":"
    assert [first.get_label(), second.get_label()] == ["1", "8"]
    assert ax.get_yscale() == "linear" and "step" in ax.get_xlabel()
    assert "kappa" in ax.get_ylabel()


def test_sharpness_without_a_bound_has_none(ax):
    plotting.sharpness(ax, [[1.0, 2.0]], ["a"])
    assert len(ax.lines) == 1


def test_losses_are_thin_beyond_the_largest_stable_rate_and_pass_through_their_minimum(ax):
    found = planted()
    table = found.tables["mup"]
    figures.draw_losses(ax, found.lrs, found.losses["mup"], found.widths, table)
    curves = [line for line in ax.lines if line.get_label().startswith("$")]
    thin = [line for line in ax.lines if line.get_linewidth() == figures.THIN["lw"]]
    assert len(curves) == len(thin) == 3
    for k, (curve, rest) in enumerate(zip(curves, thin, strict=True)):
        best = [table.optimal_lr[k], table.loss[k]]  # above the largest stable rate here
        settled = data(curve)
        np.testing.assert_allclose(settled[-1], best)
        np.testing.assert_array_equal(data(rest)[0], settled[-1])  # without a gap
        each = np.concatenate([settled, data(rest)[1:]])
        assert len(each) == len(found.lrs) + 1 and (np.diff(each[:, 0]) > 0).all()
        drop = np.argmin(np.abs(each[:, 0] - best[0]))
        rates, losses = (np.delete(each[:, j], drop) for j in range(2))
        np.testing.assert_allclose(rates, found.lrs)
        np.testing.assert_allclose(losses, found.losses["mup"][k])
        assert curve.get_color() == rest.get_color()


def test_optima_are_circles_with_an_error_bar_where_there_are_some(ax):
    """The last width's loss still falls at the highest rate: a bound, and no optimum."""
    widths, best = np.array([1.0, 2.0, 4.0, 8.0]), np.array([-3.0, -2.5, -2.0, 4.0])
    losses = (np.log2(LRS) - best[:, None]) ** 2 + 1
    found = sx.transfer_gaps(widths, LRS, losses)
    assert plotting.measured_rates(ax, found) is ax
    assert [x.inside for x in found.optima] == [True] * 3 + [False]
    assert len(ax.containers) == 3
    for optimum, bar in zip(found.optima, ax.containers, strict=False):
        circle, _, (reach,) = bar.lines
        np.testing.assert_allclose(circle.get_xydata(), [[np.exp(optimum.x), optimum.loss]])
        assert circle.get_marker() == "o" and circle.get_linestyle() == "None"
        ((left, right),) = reach.get_segments()
        ends = np.exp(optimum.x + np.sqrt(optimum.variance) * np.array([-1.0, 1.0]))
        np.testing.assert_allclose([left[0], right[0]], ends)
        assert left[1] == right[1] == optimum.loss


def test_a_rate_taken_elsewhere_is_drawn_from_width_to_width():
    from spectrax.transfer.carry import Carried

    found = Carried(0.02, 0.015, 0.03, (0.5,), -0.5, 0.1, "does not transfer", "Because.")
    (ax,) = figures.draw_ratio(found, 64.0, 256.0).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[64, 0.04], [256, 0.02]])
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices
    assert heights[:, 1].min() == 0.015 and heights[:, 1].max() == 0.04
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_title(loc="left") == "does not transfer"


def test_the_figure_of_a_report_names_its_panels():
    fig = figures.draw_transfer(planted(), 0.03)
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert titles[0] == "µP: loss after 5 steps" and "NTK" in titles[1]
    assert titles[2] == titles[3] == r"sharpness at $\eta = 0.03$"
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert labels == [r"$\nu = 1$", r"$\nu = 2$", r"$\nu = 4$", "largest stable", "optimal"]
    stable = [line for line in fig.axes[1].lines if len(set(line.get_xdata())) == 1]
    drawn = [line.get_xdata()[0] for line in stable if line.get_linestyle() == ":"]
    np.testing.assert_allclose(drawn, 0.9 * RATES["ntk"](np.array([1.0, 2.0, 4.0])))
