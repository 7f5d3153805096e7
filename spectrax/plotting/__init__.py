"""Figures: pure functions (data, ax) -> ax.

They take axes and arrays (or the small objects of the library), draw, and return the axes; they
compute no theory, write no file and change no global setting. Matplotlib is imported only when one
of them is called.

The habits of the field: theory is dashed, in black over simulations; simulations are solid, with a
band of one standard error; a swept quantity is an ordered sequential palette; spectra are densities
with their bulk law, its edges dashed, and ticks at the outliers. What is absent (no outlier, no
escape, a step after a divergence) is not drawn.
"""

from spectrax.plotting.curves import losses, outlier_path, strength_path, sweep
from spectrax.plotting.measured import measured
from spectrax.plotting.spectra import density, heatmap, spectrum
from spectrax.plotting.style import sequence, style
from spectrax.plotting.transfer import learning_rates, measured_rates, sharpness

__all__ = [
    "density",
    "heatmap",
    "learning_rates",
    "losses",
    "measured",
    "measured_rates",
    "outlier_path",
    "sequence",
    "sharpness",
    "spectrum",
    "strength_path",
    "style",
    "sweep",
]
