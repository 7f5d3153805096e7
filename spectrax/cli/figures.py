"""Results of the commands as figures."""

import contextlib
import types

import matplotlib.pyplot as plt
import numpy as np

from spectrax import MarchenkoPastur, plotting
from spectrax.plotting.measured import draw_paths, draw_spectrum
from spectrax.plotting.style import finite

MOST_LAYERS = 6  # more columns than that are no longer readable
MATRIX = {"W^T W": r"$W^\top W$", "W^T W / nu": r"$W^\top W/\nu$"}
THIN = {"lw": 0.8, "alpha": 0.6, "zorder": 1}
TITLES = {"mup": "µP", "ntk": "NTK parameterization"}


@contextlib.contextmanager
def drawing(*rows_and_columns, **options):
    """Figure and axes in the style of the package; off the list of open figures, but usable."""
    with plotting.style():
        fig, axes = plt.subplots(*rows_and_columns, **options)
        yield fig, axes
        fig.draw_without_rendering()
    plt.close(fig)


# --- `spectrax solve`: losses and strengths, and each layer's outliers and bulk


def draw_training(report):
    """The figure of one training.

    Args:
        report: a `report.Report`.

    Returns:
        Matplotlib figure: losses over strengths, then one column for each layer (deep networks:
        six of them, evenly spaced) with its outliers against the step over its final bulk.
    """
    count = len(report.layers)
    shown = np.unique(np.linspace(0, count - 1, MOST_LAYERS).round().astype(int)).tolist()
    shown = shown if count else []
    colors = dict(zip(shown, plotting.sequence(max(len(shown), 2), "plasma"), strict=False))
    columns = 1 + len(shown)
    with drawing(2, columns, figsize=(3.1 * columns, 5.2), squeeze=False) as (fig, axes):
        _losses(axes[0, 0], report)
        for column, layer in enumerate(shown, start=1):
            _layer(axes[:, column], report, layer, colors[layer])
            item = report.layers[layer]
            plotting.strength_path(
                axes[1, 0],
                item.strength[:, 0],
                item.critical,
                color=colors[layer],
                label=_name(report, layer),
            )
        axes[1, 0].set_title("leading strength over critical")
        if report.layers:
            axes[1, 0].legend()
        else:
            axes[1, 0].set_axis_off()  # one hidden layer: no weight is a large random matrix
    return fig


def _name(report, index: int) -> str:
    return f"$W^{{{report.names[index][1:]}}}$"


def _losses(ax, report) -> None:
    simulation = None
    if report.ensemble is not None:
        simulation = {name: _cut(x, report) for name, x in report.simulated_losses().items()}
    plotting.losses(ax, report.losses(), simulation=simulation)
    ax.set_title("losses" if not report.diverged else f"losses (diverged at {report.diverged_at})")


def _layer(axes, report, index: int, color) -> None:
    layer = report.layers[index]
    plotting.outlier_path(
        axes[0],
        layer.location,
        layer.escaped,
        edge=layer.edge,
        escape_step=layer.escape_step,
        color=color,
        label="networks",
        **_simulated(report, index),
    )
    if report.ensemble is not None:
        axes[0].legend(loc="lower right")
    title = _name(report, index)
    if np.isfinite(layer.escape_step):
        title += f": escape at $t$ = {layer.escape_step:.1f}"
    axes[0].set_title(title)
    law = MarchenkoPastur(layer.aspect, float(layer.sigma[-1]))
    outliers = layer.location[-1][layer.escaped[-1]]
    plotting.spectrum(axes[1], law, outliers, histogram=_eigenvalues(report, index), color=color)
    count = {0: "no outlier", 1: "1 outlier"}.get(outliers.size, f"{outliers.size} outliers")
    axes[1].set_title(f"after {len(layer.edge) - 1} steps: {count}")


def _simulated(report, index: int) -> dict:
    """The networks' largest eigenvalue, where the theory exists."""
    if report.ensemble is None:
        return {}
    steps = np.asarray(report.ensemble.spectrum_steps)
    keep = steps < len(report.layers[index].edge)
    top = report.ensemble.top_eigenvalues
    values = types.SimpleNamespace(
        mean=np.asarray(top.mean)[index, keep, 0], stderr=np.asarray(top.stderr)[index, keep, 0]
    )
    return {"simulation": values, "simulation_steps": steps[keep]}


def _eigenvalues(report, index: int):
    """All eigenvalues of the networks at the end, if the theory reaches it."""
    if report.ensemble is None or report.diverged:
        return None
    return np.ravel(report.ensemble.eigenvalues[index])


def _cut(statistic, report):
    """A statistic over the steps that the theory has."""
    valid = report.train_loss.size
    return types.SimpleNamespace(
        mean=np.asarray(statistic.mean)[:valid], stderr=np.asarray(statistic.stderr)[:valid]
    )


# --- `spectrax solve outputs`: the density, its edges, samples, and what it was before


def draw_law(report):
    """The figure of one law.

    Args:
        report: an `outputs.Report`.

    Returns:
        Matplotlib figure.
    """
    law, histogram, weights = report.law, None, None
    if report.samples is not None:
        values = report.samples.eigenvalues
        histogram = values[values > 1e-12 * values.max()]
        weights = np.full(histogram.size, 1 / values.size)  # zeros count, but are not drawn
    with drawing(figsize=(4.6, 3.2)) as (fig, ax):
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
    return fig


def _initial(ax, x, density) -> None:
    """The law before training; room for its peak, but not for a divergence at zero."""
    ax.plot(x, density, ":", color="0.3", lw=1.2, label="at initialization")
    peak = density[len(x) // 10 :].max()
    ax.set_ylim(0, max(ax.get_ylim()[1], 1.05 * peak))


# --- `spectrax transfer`: losses against the learning rate, sharpness against the step


def draw_transfer(report, eta: float):
    """A column for each parameterization: losses with minima and stability lines, sharpness."""
    with drawing(2, 2, figsize=(6.8, 5.2), sharey="row", sharex="row") as (fig, axes):
        for column, (name, table) in enumerate(report.tables.items()):
            top, bottom = axes[:, column]
            draw_losses(top, report.lrs, report.losses[name], report.widths, table)
            plotting.sharpness(bottom, table.sharpness, [f"{w:g}" for w in report.widths])
            top.set_title(f"{TITLES[name]}: loss after {table.sharpness.shape[1]} steps")
            bottom.set_title(rf"sharpness at $\eta = {eta:g}$")
            if column:
                top.set_ylabel("")
                bottom.set_ylabel("")
        lowest = min(table.loss.min() for table in report.tables.values())
        axes[0, 0].set_ylim(loss_limits(np.concatenate(list(report.losses.values())), lowest))
        axes[0, 0].plot([], [], ":", color="0.3", lw=0.9, label="largest stable")
        axes[0, 0].plot([], [], "o", ms=5, mfc="white", mec="0.3", label="optimal")
        axes[0, 0].legend(loc="lower left")
    return fig


def draw_losses(ax, lrs, losses, widths, table) -> None:
    """Curves through their minima; thin where training is neither stable nor at its best.

    There the motion is bounded, but does not converge, and a loss is where it happens to be.
    """
    best = np.stack([table.optimal_lr, table.loss], axis=1)
    lrs = np.concatenate([np.broadcast_to(lrs, losses.shape), best[:, :1]], axis=1)
    losses = np.concatenate([losses, best[:, 1:]], axis=1)
    order = np.argsort(lrs, axis=1)
    lrs, losses = np.take_along_axis(lrs, order, 1), np.take_along_axis(losses, order, 1)
    settled = lrs <= np.maximum(table.max_stable_lr, table.optimal_lr)[:, None]
    shown = np.where(settled, losses, np.nan)
    plotting.learning_rates(ax, lrs, shown, widths, best=best, stable=table.max_stable_lr)
    for k, color in enumerate(plotting.sequence(len(widths))):
        rest = np.flatnonzero(~settled[k])
        rest = np.append(rest[:1] - 1, rest)  # from the last settled point on
        ax.plot(lrs[k, rest], finite(losses[k, rest]), color=color, **THIN)


def loss_limits(losses, lowest: float) -> tuple[float, float]:
    """Limits of the loss axis; what blows up leaves at ten times the losses of the lowest rate."""
    view = losses[np.isfinite(losses)]
    top = losses[:, 0][np.isfinite(losses[:, 0])].max(initial=lowest)
    return 0.5 * min(view.min(initial=lowest), lowest), 2 * min(view.max(initial=top), 10 * top)


def draw_table(found):
    """Measured losses, with the optima and their errors."""
    with drawing(figsize=(4.6, 3.4)) as (fig, ax):
        plotting.measured_rates(ax, found)
        ax.set_title(f"{found.verdict}: drift {found.drift.exponent:.2f}")
        ax.legend()
    return fig


def draw_ratio(found, width: float, at: float):
    """The rate at both widths, with its range."""
    with drawing(figsize=(4.2, 3.2)) as (fig, ax):
        start = found.lr * (width / at) ** found.drift
        ax.plot([width, at], [start, found.lr], "o-", mfc="white")
        ax.fill_between([width, at], [start, found.low], [start, found.high], alpha=0.25, lw=0)
        ax.set(xscale="log", yscale="log", xlabel="width", ylabel=r"learning rate $\eta$")
        ax.set_title(found.verdict)
    return fig


# --- `spectrax spectrum`: the spectrum of a layer, and its outliers over training


def draw_layer(name: str, series):
    """The figure of one layer.

    Args:
        name: of the layer.
        series: its `SpectrumSeries`; of one snapshot only its spectrum is drawn.

    Returns:
        Matplotlib figure.
    """
    several = len(series.spectra) > 1
    with drawing(1, 1 + several, figsize=(3.7 + 3.3 * several, 2.7), squeeze=False) as (fig, axes):
        if several:
            draw_paths(axes[0, 0], series)
        draw_spectrum(axes[0, -1], series.spectra[-1])
        if several:
            axes[0, -1].set_title(f"$t$ = {series.steps[-1]:g}: " + axes[0, -1].get_title("left"))
        fig.suptitle(name if len(name) < 60 else "…" + name[-58:], fontsize=9)
    return fig
