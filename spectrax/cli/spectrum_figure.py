"""`spectrax spectrum` as a figure: the spectrum of a layer, and its outliers over training."""

import numpy as np

MOST_PATHS = 8  # outliers to follow
REACH = 20.0  # a histogram ends at so many edges: farther out, eigenvalues are ticks


def draw(name: str, series):
    """The figure of one layer.

    Args:
        name: of the layer.
        series: its `SpectrumSeries`; of one snapshot only its spectrum is drawn.

    Returns:
        Matplotlib figure.
    """
    import matplotlib.pyplot as plt

    from spectrax import plotting

    several = len(series.spectra) > 1
    with plotting.style():
        fig, axes = plt.subplots(1, 1 + several, figsize=(3.6 + 3.4 * several, 2.7), squeeze=False)
        if several:
            plotting.outlier_path(
                axes[0, 0],
                series.location(MOST_PATHS),
                series.escaped(MOST_PATHS),
                edge=series.along("edge"),
                escape_step=series.escape_step,
                steps=series.steps,
                color="C3",
            )
            for line in axes[0, 0].lines[1:]:
                line.set(linestyle="-", marker="o", markersize=3, linewidth=1)
            step = series.escape_step
            axes[0, 0].set_title(f"first outlier at {step:.4g}" if np.isfinite(step) else "no outlier")
        draw_spectrum(axes[0, -1], series.spectra[-1])
        fig.suptitle(name if len(name) < 60 else "…" + name[-58:], fontsize=9)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def draw_spectrum(ax, found):
    """Density histogram, fitted law, dashed edges, ticks at the outliers with their number."""
    from spectrax import plotting

    edge, count = found.edge, len(found.location)
    seen = found.eigenvalues <= REACH * edge
    size = min(found.shape) if found.method == "dense" else 800
    plotting.spectrum(
        ax,
        found.law,
        found.location,
        histogram=found.eigenvalues[seen],
        weights=found.weights[seen],
        bins=int(np.clip(2 * size**0.5, 10, 60)),
        color="C3" if count else "0.35",
    )
    if found.top > 3 * edge:
        ax.set_xscale("symlog", linthresh=1.2 * edge, linscale=2.0)
    rows, cols = found.shape
    ax.set_title(f"{found.regime}: {count or 'no'} outlier{'s' * (count != 1)}")
    note = f"{rows} × {cols}\n$\\hat\\sigma$ = {found.sigma:.4g}\nKS = {found.ks:.3f}"
    ax.text(0.98, 0.95, note, transform=ax.transAxes, ha="right", va="top", fontsize=7.5)


def arrays(series) -> dict[str, np.ndarray]:
    """The numbers behind the figure."""
    last = series.spectra[-1]
    return {
        "steps": series.steps,
        **{name: series.along(name) for name in ("sigma", "edge", "threshold", "top", "ks")},
        "location": series.location(MOST_PATHS),
        "escaped": series.escaped(MOST_PATHS),
        "eigenvalues": last.eigenvalues,
        "weights": last.weights,
    }
