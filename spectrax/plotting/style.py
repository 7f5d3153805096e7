"""The look shared by all figures, and the few primitives that they are drawn with."""

import numpy as np

THEORY = {"color": "black", "linestyle": "--", "linewidth": 1.2, "zorder": 3}
BULK = "0.90"
EDGE = {"color": "0.45", "linestyle": "--", "linewidth": 0.8, "zorder": 1}
GUIDE = {"linestyle": ":", "linewidth": 0.9, "zorder": 1}

_SETTINGS = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.5,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,  # letters stay letters in the PDF
}


def style():
    """The look of the figures, as a context manager around the making of a figure.

    Returns:
        A context manager; Matplotlib's own settings come back when it ends.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> with plotting.style():
        ...     fig, ax = plt.subplots()
        >>> ax.spines["top"].get_visible()
        False
        >>> plt.close(fig)
    """
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)


def sequence(count: int, name: str = "viridis") -> list[tuple[float, float, float, float]]:
    """An ordered palette for the values of a swept quantity, dark to bright.

    Args:
        count: number of colours.
        name: name of a sequential colour map of Matplotlib.

    Returns:
        `count` colours; the palest end of the map is left out, it vanishes on paper.

    Examples:
        >>> from spectrax import plotting
        >>> len(plotting.sequence(3))
        3
    """
    import matplotlib

    colormap = matplotlib.colormaps[name]
    positions = np.linspace(0.0, 0.82, count) if count > 1 else [0.35]
    return [tuple(float(c) for c in colormap(x)) for x in positions]


def finite(values) -> np.ndarray:
    """The values as floats with everything that is not finite made absent (not drawn)."""
    values = np.array(values, dtype=float)
    values[~np.isfinite(values)] = np.nan
    return values


def draw_ensemble(ax, x, statistic, *, color, label=None, points=False):
    """Mean with one standard error: a band for curves, error bars for few points.

    Args:
        ax: axes to draw on.
        x: positions, shape (n,).
        statistic: object with `.mean` and `.stderr`, shape (n,) each.
        color: colour of the mean and, paler, of the band.
        label: entry of the legend.
        points: error bars with markers instead of a line with a band.

    Returns:
        The axes.
    """
    mean, stderr = finite(statistic.mean), finite(statistic.stderr)
    if points:
        ax.errorbar(
            x, mean, stderr, fmt="o", markersize=3, capsize=2, lw=1, color=color, label=label
        )
        return ax
    ax.plot(x, mean, color=color, label=label)
    ax.fill_between(x, mean - stderr, mean + stderr, color=color, alpha=0.3, linewidth=0)
    return ax


def log_axis_if_positive(ax, values) -> None:
    """A logarithmic vertical axis for positive data that spans more than a decade."""
    values = finite(values)
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")


def widen(ax, low: float, high: float) -> None:
    """Set the vertical limits; several layers in one panel get the union of theirs."""
    if not ax.get_autoscaley_on():
        before = ax.get_ylim()
        low, high = min(low, before[0]), max(high, before[1])
    ax.set_ylim(low, high)


def compress_axis(ax, which: str, values, unit: float) -> None:
    """Logarithmic beyond the unit if values exceed it a thousandfold, as before a divergence."""
    values = finite(values)
    if np.nanmax(values, initial=0.0) > 1000 * unit:
        ax.set(**{f"{which}scale": "symlog"})
        getattr(ax, f"{which}axis").get_major_locator().set_params(numticks=4)
