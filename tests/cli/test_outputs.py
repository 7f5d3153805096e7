"""The figure of a law of many outputs."""

import types

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from spectrax.cli import figures
from spectrax.cli.outputs_report import estimate


def test_errors_of_means_are_those_of_independent_matrices():
    assert estimate(np.array([1.0, 2.0, 3.0, 6.0])) == pytest.approx((3.0, (14 / 3 / 4) ** 0.5))


@pytest.mark.parametrize(("atom", "words"), [(0.0, ""), (0.225, "; 22.5 % zeros")])
def test_the_title_tells_how_many_eigenvalues_are_zero(atom, words):
    x = np.linspace(1.0, 3.0, 9)[None]
    density = np.full_like(x, (1 - atom) / 2)
    law = types.SimpleNamespace(x=x, density=density, intervals=np.array([[1.0, 3.0]]), atom=atom)
    report = types.SimpleNamespace(
        law=law, samples=None, initial=None, title="one step", matrix="W^T W / nu"
    )
    (ax,) = figures.draw_law(report).axes
    assert ax.get_title(loc="left") == "one step" + words
