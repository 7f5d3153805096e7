"""`spectrax solve` as a figure: losses and strengths, and each layer's outliers and bulk."""

import types

import numpy as np

MOST_LAYERS = 6  # more columns than that are no longer readable


def draw(report):
    """The figure of one training.

    Args:
        report: what `report.make` returned.

    Returns:
        Matplotlib figure: losses over strengths, then one column for each layer (deep networks:
        six of them, evenly spaced) with its outliers against the step over its final bulk.
    """
    import matplotlib.pyplot as plt

    from spectrax import plotting

    count = len(report.layers)
    shown = np.unique(np.linspace(0, count - 1, MOST_LAYERS).round().astype(int)).tolist()
    shown = shown if count else []
    colors = dict(zip(shown, plotting.sequence(max(len(shown), 2), "plasma"), strict=False))
    columns = 1 + len(shown)
    with plotting.style():
        fig, axes = plt.subplots(2, columns, figsize=(3.1 * columns, 5.2), squeeze=False)
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
        fig.draw_without_rendering()
    plt.close(fig)  # keeps it usable, takes it off the list of open figures
    return fig


def _name(report, index: int) -> str:
    return f"$W^{{{report.names[index][1:]}}}$"


def _losses(ax, report) -> None:
    from spectrax import plotting

    simulation = None
    if report.ensemble is not None:
        simulation = {name: _cut(x, report) for name, x in report.simulated_losses().items()}
    plotting.losses(ax, report.losses(), simulation=simulation)
    ax.set_title("losses" if not report.diverged else f"losses (diverged at {report.diverged_at})")


def _layer(axes, report, index: int, color) -> None:
    from spectrax import MarchenkoPastur, plotting

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
