"""Figures of measured spectra: one labelled axis, however far and however many outliers."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from empirical.helpers import spiked

from spectrax import measure_spectrum, plotting

matplotlib.use("Agg")


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.mark.parametrize(("strength", "scale"), [(8.0, "linear"), (1e4, "log")])
def test_the_axis_is_linear_or_logarithmic_altogether_and_says_so(ax, strength, scale):
    found = measure_spectrum(spiked(np.random.default_rng(0), 120, 80, [strength]))
    plotting.measured(ax, found)
    assert ax.get_xscale() == scale and ("logarithmic" in ax.get_xlabel()) == (scale == "log")
    low, high = ax.get_xlim()
    assert found.top / found.sigma**2 < high and low < found.law.edges()[0]
    area = sum(patch.get_height() * patch.get_width() for patch in ax.patches)
    if scale == "log":  # densities in the logarithm
        area = sum(
            p.get_height() * np.log((p.get_x() + p.get_width()) / p.get_x()) for p in ax.patches
        )
        (law,) = ax.lines
        x, y = law.get_data()
        assert np.trapezoid(y, np.log(x)) == pytest.approx(1.0, abs=0.01)
    assert area == pytest.approx(1.0, abs=0.02)


def test_many_outliers_are_a_range_and_few_are_ticks(ax):
    rng = np.random.default_rng(1)
    few = measure_spectrum(spiked(rng, 300, 300, [9.0, 6.0]))
    plotting.measured(ax, few)
    ticks = ax.collections[-1].get_segments()
    assert len(ticks) == 2
    many = measure_spectrum(spiked(rng, 300, 300, np.linspace(20, 40, 25)))
    assert len(many.location) == 25
    ax.clear()
    plotting.measured(ax, many)
    assert all(len(x.get_segments()) <= 2 for x in ax.collections)
    span = ax.patches[-1]
    assert span.get_x() == pytest.approx(many.location[-1] / many.sigma**2)
    assert span.get_width() == pytest.approx(np.ptp(many.location) / many.sigma**2)


def test_rejected_outliers_have_another_colour_and_laws_that_fail_no_ticks(ax):
    rng = np.random.default_rng(2)
    biased = measure_spectrum(rng.normal(size=(200, 200)) + 0.2)
    assert len(biased.rejected) == 1
    plotting.measured(ax, biased, color="red", rejected_color="blue")
    colors = [matplotlib.colors.to_hex(x.get_color()[0]) for x in ax.collections]
    assert "#0000ff" in colors and "#ff0000" not in colors
    ax.clear()
    uneven = measure_spectrum(rng.normal(size=(200, 200)) * np.exp(rng.normal(size=200)))
    plotting.measured(ax, uneven, color="red")
    colors = [matplotlib.colors.to_hex(x.get_color()[0]) for x in ax.collections]
    assert uneven.restructured and "#ff0000" not in colors
