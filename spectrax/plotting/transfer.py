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
