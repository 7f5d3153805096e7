"""`spectrax spectrum` as a figure: the spectrum of a layer, and its outliers over training."""

import numpy as np

MOST_PATHS = 8  # outliers to follow
OUTLIERS = "C3"


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
    before, after = series.escape_bracket
    title = f"first outlier after {before:g}, by {after:g}" if before > -np.inf else ""
    title = title or f"outliers from the first snapshot, {after:g}, on"
    ax.set_title(title if np.isfinite(after) else "no outlier")


def draw_spectrum(ax, found) -> None:
    """Histogram, law and outliers, with what was found in the title and the numbers beside."""
    from spectrax import plotting

    plotting.measured(ax, found, color=OUTLIERS)
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


def arrays(series) -> dict[str, np.ndarray]:
    """The numbers behind the figure."""
    last = series.spectra[-1]
    return {
        "escape_bracket": np.array(series.escape_bracket),
        "steps": series.steps,
        **{name: series.along(name) for name in ("sigma", "edge", "threshold", "top", "ks")},
        "location": series.location(MOST_PATHS),
        "escaped": series.escaped(MOST_PATHS),
        "eigenvalues": last.eigenvalues,
        "weights": last.weights,
    }
