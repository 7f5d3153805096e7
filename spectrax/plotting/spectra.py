"""Spectra of weights and kernels over time."""

import warnings

import numpy as np

from spectrax.plotting.style import EDGE, compress_axis, finite, widen
from spectrax.spectrum.laws.mass import TOLERANCE


def spectrum(
    ax,
    law,
    outliers=None,
    *,
    histogram=None,
    weights=None,
    bins=60,
    color="0.35",
    label=None,
):
    r"""The bulk density of $W^\top W$ with its edges dashed, and a tick at each outlier.

    Args:
        ax: axes to draw on.
        law: bulk law with `.density(x)` and `.edges()`, for example `MarchenkoPastur`; one that is
            not resolved (`.result()`) is drawn dotted, with a warning that gives its mass.
        outliers: eigenvalues outside the bulk, shape (count,), or an object with `.location` and
            `.escaped`; absent ones (not escaped, or not finite) are not drawn.
        histogram: eigenvalues of a matrix to lay under the law, shape (n,).
        weights: what fraction of all eigenvalues each of these stands for, (n,); equal parts if not
            given.
        bins: bins of the histogram, within the bulk.
        color: of the law and of the ticks.
        label: entry of the legend.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import MarchenkoPastur, plotting
        >>> ax = plt.figure().add_subplot()
        >>> ax = plotting.spectrum(ax, MarchenkoPastur(1.0), [5.0, float("inf")])
        >>> plt.close(ax.figure)
    """
    low, high = (float(edge) for edge in law.edges())
    found = _present(outliers)
    # Sine-spaced points resolve the square roots at both edges; the edges themselves can diverge.
    x = low + (high - low) * np.sin(np.linspace(0.0, np.pi / 2, 402)[1:-1]) ** 2
    look = {"histogram": histogram, "weights": weights, "bins": bins, "color": color}
    before = len(ax.lines)
    density(ax, x[None], finite(law.density(x))[None], [[low, high]], **look, label=label)
    if _unresolved(law):
        ax.lines[before].set_linestyle(":")
    if found.size:
        # A short tick from below, in units of the axes' height: outliers carry no mass.
        look = {"color": color, "lw": 2 if found.size < 20 else 0.8, "zorder": 4}
        ax.vlines(found, 0.0, 0.12, transform=ax.get_xaxis_transform(), **look)
    compress_axis(ax, "x", found, high)
    return ax


def _unresolved(law) -> bool:
    """Whether a law is known to miss part of its mass; says so."""
    mass = float(law.mass()) if hasattr(law, "mass") else 1.0
    if abs(mass - 1) <= TOLERANCE:
        return False
    warnings.warn(f"The law drawn is not resolved: its mass is {mass:.4g}, not 1.", stacklevel=3)
    return True


def density(
    ax,
    x,
    values,
    intervals,
    *,
    histogram=None,
    weights=None,
    bins=60,
    color="0.35",
    label=None,
):
    r"""A density that was computed on the intervals of its support, their ends dashed.

    Args:
        ax: axes to draw on.
        x: points in each interval, ascending, shape (k, n).
        values: density there, shape (k, n).
        intervals: ends of each, shape (k, 2).
        histogram: eigenvalues of matrices to lay under the law, shape (m,).
        weights: what fraction of all eigenvalues each of these stands for, (m,); equal parts if not
            given.
        bins: bins of the histogram, from the first end to the last.
        color: of the law, or of the histogram where there is one (the law is black then).
        label: entry of the legend.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> ax = plt.figure().add_subplot()
        >>> ax = plotting.density(ax, [[0.5], [2.5]], [[0.7], [0.3]], [[0, 1], [2, 3]])
        >>> len(ax.lines)  # nothing is drawn between them
        2
        >>> plt.close(ax.figure)
    """
    x, values, intervals = finite(x), finite(values), finite(intervals)
    low, high = intervals.min(), intervals.max()
    if histogram is not None:
        _histogram(ax, finite(histogram), weights, low, high, bins, color)
    look = {"color": "black", "linestyle": "--"} if histogram is not None else {"color": color}
    for k, (points, curve) in enumerate(zip(x, values, strict=True)):
        ax.plot(points, curve, **look, label=label if k == 0 else None)
    ax.vlines(intervals.ravel(), 0.0, 1.0, transform=ax.get_xaxis_transform(), **EDGE)
    # Densities that diverge at zero (square matrices) are cut where the rest stays readable.
    seen = values[x > intervals @ [[0.98], [0.02]]]
    widen(ax, 0.0, 1.15 * np.nanmax(seen if seen.size else values))
    ax.set_xlabel(r"eigenvalue $\lambda$ of $W^\top W$")
    ax.set_ylabel("density")
    return ax


def _present(outliers) -> np.ndarray:
    """The outliers that exist, as a flat array."""
    if outliers is None:
        return np.zeros(0)
    if hasattr(outliers, "escaped"):
        outliers = np.asarray(outliers.location)[np.asarray(outliers.escaped, bool)]
    outliers = np.ravel(np.asarray(outliers, float))
    return outliers[np.isfinite(outliers)]


def _histogram(ax, eigenvalues, weights, low, high, bins, color):
    """Density histogram with the law's bins in the bulk, as wide ones outside."""
    seen = np.isfinite(eigenvalues)
    eigenvalues, total = eigenvalues[seen], seen.sum()
    weights = np.full(total, 1 / total) if weights is None else np.asarray(weights)[seen]
    width = (high - low) / bins
    start = low - width * max(0, np.ceil((low - eigenvalues.min()) / width))
    stop = high + width * max(0, np.ceil((eigenvalues.max() - high) / width))
    edges = np.linspace(start, stop, round((stop - start) / width) + 1)
    ax.hist(eigenvalues, edges, weights=weights / width, color=color, alpha=0.3, linewidth=0)


def heatmap(ax, kernel, *, label=None, signed=None):
    """A kernel over two times as an image, the diagonal running down to the right.

    Args:
        ax: axes to draw on.
        kernel: shape (T, T).
        label: name of the quantity, beside the colour bar.
        signed: diverging colours around zero; by default if the kernel takes both signs.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> ax = plotting.heatmap(plt.figure().add_subplot(), [[1.0, 0.5], [0.5, 1.0]])
        >>> plt.close(ax.figure)
    """
    kernel = finite(kernel)
    if signed is None:
        signed = np.nanmin(kernel) < 0 < np.nanmax(kernel)
    bound = np.nanmax(np.abs(kernel))
    limits = {"vmin": -bound, "vmax": bound, "cmap": "RdBu_r"} if signed else {"cmap": "viridis"}
    image = ax.imshow(kernel, interpolation="nearest", **limits)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85)
    ax.set_xlabel("training step $s$")
    ax.set_ylabel("training step $t$")
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
    return ax
