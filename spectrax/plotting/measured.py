"""Spectra of real weights: one labelled axis, however far outliers reach."""

import numpy as np

from spectrax.plotting.curves import outlier_path
from spectrax.plotting.spectra import spectrum

FAR = 6.0  # edges: if the largest eigenvalue is beyond, all of the axis is logarithmic
FAINT = 1e-3  # edges: where a logarithmic axis begins
TICKS = 20  # outliers with a tick of their own; more are a shaded range
MOST_PATHS = 8  # outliers to follow
OUTLIERS = "C3"


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
    law, unit = found.unit_law, found.sigma**2
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


def draw_paths(ax, series) -> None:
    """Largest eigenvalue and outliers of each snapshot over the shaded bulk, in units of σ²."""
    unit = series.along("sigma") ** 2
    ax.plot(series.steps, series.along("top") / unit, "o", ms=3, color="0.6", label="largest")
    outlier_path(
        ax,
        series.location(MOST_PATHS) / unit[:, None],
        series.escaped(MOST_PATHS),
        edge=series.along("edge") / unit,
        escape_step=series.escape_step,
        steps=series.steps,
        color=OUTLIERS,
    )
    for line in ax.lines[2:]:  # measured, not theory: solid, with a dot at each snapshot
        line.set(linestyle="-", marker="o", markersize=3, linewidth=1)
    ax.lines[-1].set(markersize=4.5)
    ax.set_ylim(0.0, 1.12 * max(np.max(series.along(name) / unit) for name in ("top", "edge")))
    ax.set_ylabel(r"$\lambda / \hat\sigma^2$")
    before, after = series.escape_bracket
    title = f"first outlier after {before:g}, by {after:g}" if before > -np.inf else ""
    title = title or f"outliers from the first snapshot, {after:g}, on"
    ax.set_title(title if np.isfinite(after) else "no outlier")


def draw_spectrum(ax, found) -> None:
    """Histogram, law and outliers, with what was found in the title and the numbers beside."""
    measured(ax, found, color=OUTLIERS)
    count, lost = len(found.location), len(found.rejected)
    title = f"bulk, {count} outlier{'s' * (count != 1)}" if count else "bulk"
    title += f", {lost} rejected" if lost else ""
    rows, cols = found.shape
    note = f"{rows} × {cols}\n$\\hat\\sigma$ = {found.sigma:.4g}\nKS = {found.ks:.3f}"
    if found.restructured:
        title, rank = "restructured bulk", f"effective rank {found.effective_rank:.0f}"
        note = f"{rows} × {cols}\n{rank}\ntail exponent {found.tail_exponent:.2g}"
    ax.set_title(title)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    place = {"ha": "right", "va": "top", "transform": ax.transAxes}
    ax.text(0.98, 0.97, note, fontsize=7.5, bbox=box, **place)
