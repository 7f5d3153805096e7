"""`spectrax spectrum` as a figure: the spectrum of a layer, and its outliers over training."""

import numpy as np

MOST_PATHS = 8  # outliers to follow
OUTLIERS = "C3"
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
        fig, axes = plt.subplots(1, 1 + several, figsize=(3.7 + 3.3 * several, 2.7), squeeze=False)
        if several:
            draw_paths(axes[0, 0], series)
        draw_spectrum(axes[0, -1], series.spectra[-1])
        if several:
            axes[0, -1].set_title(f"$t$ = {series.steps[-1]:g}: " + axes[0, -1].get_title("left"))
        fig.suptitle(name if len(name) < 60 else "…" + name[-58:], fontsize=9)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def draw_paths(ax, series) -> None:
    """Largest eigenvalue and outliers of each snapshot over the shaded bulk, in units of σ²."""
    from spectrax import plotting

    unit = series.along("sigma") ** 2
    ax.plot(series.steps, series.along("top") / unit, "o", ms=3, color="0.6", label="largest")
    plotting.outlier_path(
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
    step = series.escape_step
    ax.set_title(f"first outlier at step {step:.3g}" if np.isfinite(step) else "no outlier")


def draw_spectrum(ax, found) -> None:
    """Density histogram, fitted law, dashed edges, ticks at the outliers, in units of σ²."""
    from spectrax import plotting
    from spectrax.empirical import BulkLaw

    law, count, unit = BulkLaw(found.aspect, 1.0), len(found.location), found.sigma**2
    low, edge = law.edges()
    values = found.eigenvalues / unit
    seen = values <= REACH * edge
    size = min(found.shape) if found.method == "dense" else 400
    plotting.spectrum(
        ax,
        law,
        found.location / unit,
        histogram=values[seen],
        weights=found.weights[seen],
        bins=int(np.clip(2 * size**0.5, 10, 50)),
        color=OUTLIERS if count else "0.35",
    )
    right = max(1.05 * edge, 1.1 * found.top / unit)
    if right > 6 * edge:
        ax.set_xscale("symlog", linthresh=1.5 * edge, linscale=1.5)
        ax.set_xticks([0.0, edge, *_decades(2 * edge, 1.2 * right)])
        ax.set_xticks([], minor=True)
        ax.xaxis.set_major_formatter("{x:.3g}")
        right *= 1.2
    ax.set_xlim(low - 0.04 * min(right, 2 * edge), right)
    rows, cols = found.shape
    title = f"bulk, {count} outlier{'s' * (count != 1)}" if count else "bulk"
    if found.regime.startswith("restructured"):
        title = f"restructured bulk, {found.beyond} beyond it"
    ax.set_title(title)
    note = f"{rows} × {cols}\n$\\hat\\sigma$ = {found.sigma:.4g}\nKS = {found.ks:.3f}"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    place = {"ha": "right", "va": "top", "transform": ax.transAxes}
    ax.text(0.98, 0.97, note, fontsize=7.5, bbox=box, **place)
    ax.set_xlabel(r"$\lambda / \hat\sigma^2$")


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers."""
    return [10.0**k for k in range(int(np.ceil(np.log10(low))), int(np.log10(high)) + 1)]


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
