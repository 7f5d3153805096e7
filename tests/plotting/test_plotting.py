"""Figures draw what exists and leave out what does not."""

import types
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from spectrax import plotting


@pytest.fixture
def ax():
    with plotting.style():
        fig, ax = plt.subplots()
    yield ax
    fig.canvas.draw()  # layout and formulas must render too
    plt.close(fig)


def statistic(mean, stderr=0.1):
    mean = np.asarray(mean, float)
    return types.SimpleNamespace(mean=mean, stderr=np.full(mean.shape, stderr))


def drawn(ax):
    """All finite points of all lines, and a check that no line carries an infinity."""
    points = [np.asarray(line.get_xydata(), float) for line in ax.lines]
    assert not any(np.isinf(p).any() for p in points)
    return [p[np.isfinite(p).all(axis=1)] for p in points]


class FlatLaw:
    """A bulk of height one between 1 and 2."""

    def density(self, x):
        return np.ones_like(x)

    def edges(self):
        return 1.0, 2.0


def test_style_changes_nothing_outside():
    before = dict(matplotlib.rcParams)
    with plotting.style():
        assert not matplotlib.rcParams["axes.spines.top"]
    assert dict(matplotlib.rcParams) == before


def test_sequence_is_ordered_in_brightness():
    brightness = [sum(color[:3]) for color in plotting.sequence(5)]
    assert brightness == sorted(brightness)


def test_losses_after_a_divergence_are_not_drawn(ax):
    assert plotting.losses(ax, {"train": [1.0, 0.05, np.inf, np.nan]}) is ax
    assert len(drawn(ax)[0]) == 2
    assert ax.get_yscale() == "log"


def test_theory_is_black_and_dashed_over_networks(ax):
    loss = np.array([1.0, 0.5])
    plotting.losses(ax, {"test": loss}, simulation={"test": statistic(loss)})
    networks, theory = ax.lines[:2]
    assert theory.get_color() == "black" and theory.get_linestyle() == "--"
    assert networks.get_linestyle() == "-" and networks.get_zorder() < theory.get_zorder()


def test_absent_outliers_and_escapes_are_not_drawn(ax):
    location, escaped = np.full((5, 2), 4.0), np.zeros((5, 2), bool)
    plotting.outlier_path(ax, location, escaped, edge=4.0, escape_step=np.inf)
    assert [len(p) for p in drawn(ax)] == [5, 0, 0]  # the edge, and two empty paths


def test_outlier_starts_on_the_edge_at_its_escape(ax):
    location = np.array([4.0, 4.0, 4.2, 4.5])
    plotting.outlier_path(ax, location, location > 4, edge=4.0, escape_step=1.25)
    _, path, mark = drawn(ax)
    np.testing.assert_allclose(path, [[1.25, 4.0], [2.0, 4.2], [3.0, 4.5]])
    np.testing.assert_allclose(mark, [[1.25, 4.0]])


def test_limits_show_every_outlier_and_error_bar_of_every_layer(ax):
    high, low = np.array([9.0, 9.5]), np.array([4.2, 4.4])
    plotting.outlier_path(
        ax, high, high > 0, edge=8.0, simulation=statistic([9.9], 0.5), simulation_steps=[1]
    )
    plotting.outlier_path(ax, low, low > 0, edge=4.0)
    bottom, top = ax.get_ylim()
    assert bottom < 4.0 and top > 10.4


@pytest.mark.parametrize("points", [[9.0, 5.0], [9.0, 1.0], []])
def test_limits_scale_with_the_eigenvalues(points):
    from spectrax.plotting.curves import _view

    low, high = _view(np.array(points), np.array([4.0, 4.5]))
    assert 0 < low < min([4.0, *points]) and max([4.5, *points]) < high
    for unit in (1e-3, 20.0):
        scaled = _view(unit * np.array(points), unit * np.array([4.0, 4.5]))
        np.testing.assert_allclose(scaled, [unit * low, unit * high])


def test_outliers_before_a_divergence_stay_readable(ax):
    location = np.array([4.0, 4.5, 1e60])
    plotting.outlier_path(ax, location, location > 4, edge=4.0, escape_step=0.5)
    assert ax.get_yscale() == "symlog"


def test_strength_is_measured_in_its_critical_value(ax):
    plotting.strength_path(ax, [0.0, 2.0], [2.0, 1.0])
    np.testing.assert_allclose(drawn(ax)[0], [[0, 0], [1, 2]])


def test_sweep_skips_values_that_do_not_exist(ax):
    plotting.sweep(ax, [0, 1, 2], [[1, 2, np.inf], [1, 3, 5]], [0.5, 1.0], name=r"$\gamma_0$")
    assert [len(p) for p in drawn(ax)] == [2, 3]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [r"$\gamma_0$ = 0.5", r"$\gamma_0$ = 1"]


def test_sweep_draws_networks_in_colour_and_theory_in_black(ax):
    plotting.sweep(ax, [0, 1], [[1, 2]], [0.5], name="x", simulation=[statistic([1, 2])])
    assert [line.get_color() for line in ax.lines][1] == "black"


def ticks(ax):
    """Positions of the outlier ticks: vertical marks thicker than the edges."""
    thick = [c for c in ax.collections if c.get_linewidth()[0] == 2]
    return [segment[0][0] for c in thick for segment in c.get_segments()]


@pytest.mark.parametrize(
    "outliers",
    [
        [3.0, np.inf, np.nan],
        types.SimpleNamespace(location=np.array([3.0, 2.0]), escaped=np.array([True, False])),
    ],
)
def test_spectrum_ticks_only_outliers_that_exist(ax, outliers):
    plotting.spectrum(ax, FlatLaw(), outliers)
    assert ticks(ax) == [3.0]


def test_a_law_that_misses_mass_is_drawn_dotted_with_a_word(ax):
    for mass, style, words in ((0.39, ":", ["not resolved: its mass is 0.39"]), (1.0005, "-", [])):
        law = FlatLaw()
        law.mass = lambda mass=mass: mass
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plotting.spectrum(ax, law)
        assert [str(x.message).split("is ", 1)[1].split(",")[0] for x in caught] == words
        assert ax.lines[-1].get_linestyle() == style


def test_spectrum_without_outliers_has_no_tick(ax):
    plotting.spectrum(ax, FlatLaw())
    assert ticks(ax) == []


def test_histogram_is_a_density_and_reaches_every_eigenvalue(ax):
    eigenvalues = np.concatenate([np.linspace(1, 2, 50), [3.3, np.nan]])
    plotting.spectrum(ax, FlatLaw(), histogram=eigenvalues)
    area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
    np.testing.assert_allclose(area, 1.0)
    assert max(bar.get_x() + bar.get_width() for bar in ax.patches) >= 3.3


def test_heatmap_of_a_signed_kernel_is_symmetric_about_zero(ax):
    plotting.heatmap(ax, [[1.0, -0.5], [0.2, np.inf]])
    low, high = ax.images[0].get_clim()
    assert (low, high) == (-1.0, 1.0)


def test_heatmap_of_a_positive_kernel_uses_an_ordered_palette(ax):
    plotting.heatmap(ax, np.eye(3), label="C")
    assert ax.images[0].get_cmap().name == "viridis"
