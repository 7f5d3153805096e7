"""`spectrax solve outputs` as a figure: the density, its edges, samples, and what it was before."""

import numpy as np

MATRIX = {"W^T W": r"$W^\top W$", "W^T W / nu": r"$W^\top W/\nu$"}


def draw(report):
    """The figure of one law.

    Args:
        report: what `outputs_report.make` returned.

    Returns:
        Matplotlib figure.
    """
    import matplotlib.pyplot as plt

    from spectrax import plotting

    law, histogram, weights = report.law, None, None
    if report.samples is not None:
        values = report.samples.eigenvalues
        histogram = values[values > 1e-12 * values.max()]
        weights = np.full(histogram.size, 1 / values.size)  # zeros count, but are not drawn
    with plotting.style():
        fig, ax = plt.subplots(figsize=(4.6, 3.2))
        look = {"histogram": histogram, "weights": weights, "color": "C0"}
        plotting.density(ax, law.x, law.density, law.intervals, label="theory", **look)
        if histogram is not None:
            count, size = len(values), report.samples.size
            ax.fill_between(
                [], [], color="C0", alpha=0.3, lw=0, label=f"{count} matrices, D = {size}"
            )
        if report.initial is not None:
            _initial(ax, *report.initial_curve())
        zeros = f"; {100 * law.atom:.3g} % zeros" if law.atom > 0.005 else ""
        ax.set_title(report.title + zeros)
        ax.set_xlabel(rf"eigenvalue $\lambda$ of {MATRIX[report.matrix]}")
        ax.legend(frameon=True, framealpha=1, edgecolor="none", borderaxespad=0)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def _initial(ax, x, density) -> None:
    """The law before training; room for its peak, but not for a divergence at zero."""
    ax.plot(x, density, ":", color="0.3", lw=1.2, label="at initialization")
    peak = density[len(x) // 10 :].max()
    ax.set_ylim(0, max(ax.get_ylim()[1], 1.05 * peak))
