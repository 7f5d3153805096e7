"""Losses against the learning rate, and sharpness against the step, at several widths."""

import numpy as np

from spectrax.plotting.style import GUIDE, finite, sequence


def learning_rates(ax, lrs, losses, widths, *, best=None, stable=None, palette="viridis"):
    """Loss against the learning rate on a log₂ axis, one curve for each width.

    Args:
        ax: axes to draw on.
        lrs: learning rates, (k,), or (widths, k) if each curve has its own.
        losses: (widths, k); what is not finite is not drawn.
        widths: values for the legend, (widths,).
        best: pairs (learning rate, loss) of the minima to mark, (widths, 2).
        stable: largest stable learning rates, dotted lines, (widths,).
        palette: sequential colour map.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> import numpy as np
        >>> from spectrax import plotting
        >>> fig, ax = plt.subplots()
        >>> lrs = 2.0 ** np.arange(-4, 1)
        >>> ax = plotting.learning_rates(ax, lrs, [(np.log2(lrs) + 2) ** 2 + 1], [1.0])
        >>> ax.get_xscale()
        'log'
        >>> plt.close(fig)
    """
    losses, colors = finite(losses), sequence(len(widths), palette)
    lrs = np.broadcast_to(lrs, losses.shape)
    for k, (row, width, color) in enumerate(zip(losses, widths, colors, strict=True)):
        ax.plot(lrs[k], row, color=color, label=rf"$\nu = {width:g}$")
        if best is not None:
            ax.plot(*best[k], "o", ms=5, mfc="white", mec=color, mew=1.4, zorder=4)
        if stable is not None:
            ax.axvline(stable[k], color=color, **GUIDE)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set(xlabel=r"learning rate $\eta$", ylabel="loss")
    return ax


def sharpness(ax, paths, labels, *, bound=None, palette="viridis"):
    r"""Sharpness $\kappa(t)$ against the step, with the edge of stability.

    Args:
        ax: axes to draw on.
        paths: one curve for each label, (labels, steps); what is not finite is not drawn.
        labels: of the legend.
        bound: largest stable sharpness, e.g. 2/η, a dotted line.
        palette: sequential colour map.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from spectrax import plotting
        >>> fig, ax = plt.subplots()
        >>> ax = plotting.sharpness(ax, [[1.0, 2.0, 2.5]], ["theory"], bound=3.0)
        >>> len(ax.lines)
        2
        >>> plt.close(fig)
    """
    for path, label, color in zip(
        finite(paths), labels, sequence(len(labels), palette), strict=True
    ):
        ax.plot(np.arange(len(path)), path, color=color, label=label)
    if bound is not None:
        ax.axhline(bound, color="0.3", **GUIDE)
    ax.set(xlabel="training step $t$", ylabel=r"sharpness $\kappa(t)$")
    return ax


def measured_rates(ax, found, *, palette="viridis"):
    """Measured losses against the learning rate, one curve for each width, and the optima.

    Args:
        ax: axes to draw on.
        found: what `transfer_gaps` or `transfer_runs` returned. Crosses at the upper edge are
            divergences, circles are optima with an error bar of one standard error.
        palette: sequential colour map.

    Returns:
        The axes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> import numpy as np
        >>> import spectrax as sx
        >>> from spectrax import plotting
        >>> lrs = 2.0 ** np.arange(-6, 1)
        >>> found = sx.transfer_gaps([1.0, 2.0, 4.0], lrs, [(np.log2(lrs) + 3) ** 2] * 3)
        >>> fig, ax = plt.subplots()
        >>> ax = plotting.measured_rates(ax, found)
        >>> ax.get_xscale()
        'log'
        >>> plt.close(fig)
    """
    colors = sequence(len(found.curves), palette)
    for curve, optimum, color in zip(found.curves, found.optima, colors, strict=True):
        rates, fine = np.exp(curve.x), np.isfinite(curve.loss)
        ax.plot(rates[fine], curve.loss[fine], ".-", color=color, label=f"width {curve.width:g}")
        top = np.full((~fine).sum(), 0.98)
        place = ax.get_xaxis_transform()
        ax.plot(rates[~fine], top, "x", color=color, ms=4, transform=place, clip_on=False)
        if optimum.inside:
            best, error = np.exp(optimum.x), np.sqrt(optimum.variance)
            reach = [[best * -np.expm1(-error)], [best * np.expm1(error)]]
            look = {"mfc": "white", "ms": 5, "mew": 1.4, "zorder": 4}
            ax.errorbar([best], [optimum.loss], xerr=reach, fmt="o", color=color, **look)
    ax.set_xscale("log", base=2)
    if min(curve.loss.min() for curve in found.curves) > 0:
        ax.set_yscale("log")
    ax.set(xlabel=r"learning rate $\eta$", ylabel="loss")
    return ax
