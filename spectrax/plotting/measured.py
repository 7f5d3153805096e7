"""Spectra of real weights: one labelled axis, however far outliers reach."""

import numpy as np

from spectrax.plotting.spectra import spectrum

FAR = 6.0  # edges: if the largest eigenvalue is beyond, all of the axis is logarithmic
FAINT = 1e-3  # edges: where a logarithmic axis begins
TICKS = 20  # outliers with a tick of their own; more are a shaded range


def measured(ax, found, *, color="C3", rejected_color="0.55"):
    r"""Histogram of the eigenvalues of a weight array, law of its noise, and its outliers.

    In units of $\hat\sigma^2$ of the law that fits best, whether it holds or not. The axis is
    linear, or logarithmic altogether if the largest eigenvalue lies beyond six edges; it then shows
    the density in $\ln\lambda$.

    Args:
        ax: axes to draw on.
        found: a `WeightSpectrum`.
        color: of the outliers that survived the controls, and of the histogram if there are any.
        rejected_color: of those that did not.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt, numpy as np, spectrax
        >>> from spectrax import plotting
        >>> noise = np.random.default_rng(0).normal(size=(60, 60))
        >>> noise += 40 * np.outer(*np.random.default_rng(1).normal(size=(2, 60)))
        >>> found = spectrax.measure_spectrum(noise)
        >>> ax = plotting.measured(plt.figure().add_subplot(), found)
        >>> ax.get_xscale(), ax.get_xlabel()
        ('log', '$\\lambda / \\hat\\sigma^2$ (logarithmic)')
        >>> plt.close(ax.figure)
    """
    from spectrax.empirical import BulkLaw

    law, unit = BulkLaw(found.aspect, 1.0), found.sigma**2
    name = r"$\lambda / \hat\sigma^2$"
    low, edge = law.edges()
    values, weights = found.eigenvalues / unit, found.weights
    size = min(found.shape) if found.method == "dense" else 400
    bins = int(np.clip(2 * size**0.5, 10, 50))
    shown = color if len(found.location) and not found.restructured else "0.35"
    if found.top <= FAR * edge * unit:
        spectrum(ax, law, histogram=values, weights=weights, bins=bins, color=shown)
        right = max(1.05 * edge, 1.1 * found.top / unit)
        ax.set_xlim(low - 0.04 * min(right, 2 * edge), right)
        ax.set_xlabel(name)
    else:
        _logarithmic(ax, law, values, weights, bins, shown)
        ax.set_xlabel(f"{name} (logarithmic)")
    if not found.restructured:
        _ticks(ax, found.rejected / unit, rejected_color)
        _ticks(ax, found.location / unit, color)
    return ax


def _logarithmic(ax, law, values, weights, bins, color) -> None:
    """Histogram and law as densities in the logarithm."""
    low, edge = law.edges()
    start = max(FAINT * edge, min(low, float(values.min()) or FAINT * edge) / 1.5)
    steps = np.linspace(np.log(start), np.log(1.3 * values.max()), 2 * bins)
    width = steps[1] - steps[0]
    look = {"color": color, "alpha": 0.3, "linewidth": 0}
    seen = values > start
    ax.hist(values[seen], np.exp(steps), weights=weights[seen] / width, **look)
    x = np.geomspace(max(start, low * (1 + 1e-9)), edge, 600)
    ax.plot(x, x * law.density(x), color="black", linestyle="--")
    ax.set_xscale("log")
    ax.set_xlim(np.exp(steps[0]), np.exp(steps[-1]))
    ax.set_ylabel(r"density in $\ln\lambda$")


def _ticks(ax, values, color) -> None:
    """A tick at each eigenvalue, or their range if there are too many to tell apart."""
    if len(values) > TICKS:
        ax.axvspan(values.min(), values.max(), 0.0, 0.06, color=color, alpha=0.5, linewidth=0)
    elif len(values):
        ax.vlines(values, 0.0, 0.12, transform=ax.get_xaxis_transform(), color=color, lw=2)
