"""`spectrax transfer` as a figure: losses against the learning rate, sharpness against the step."""

import numpy as np

from spectrax.plotting.style import finite

THIN = {"lw": 0.8, "alpha": 0.6, "zorder": 1}
TITLES = {"mup": "µP", "ntk": "NTK parameterization"}


def draw(report, eta: float):
    """A column for each parameterization: losses with minima and stability lines, sharpness."""
    import matplotlib.pyplot as plt

    from spectrax import plotting

    with plotting.style():
        fig, axes = plt.subplots(2, 2, figsize=(6.8, 5.2), sharey="row", sharex="row")
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
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def draw_losses(ax, lrs, losses, widths, table) -> None:
    """Curves through their minima; thin where training is neither stable nor at its best.

    There the motion is bounded, but does not converge, and a loss is where it happens to be.
    """
    from spectrax import plotting

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
    import matplotlib.pyplot as plt

    from spectrax import plotting

    with plotting.style():
        fig, ax = plt.subplots(figsize=(4.6, 3.4))
        plotting.measured_rates(ax, found)
        ax.set_title(f"{found.verdict}: drift {found.drift.exponent:.2f}")
        ax.legend()
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def draw_ratio(found, width: float, at: float):
    """The rate at both widths, with its range."""
    import matplotlib.pyplot as plt

    from spectrax import plotting

    with plotting.style():
        fig, ax = plt.subplots(figsize=(4.2, 3.2))
        start = found.lr * (width / at) ** found.drift
        ax.plot([width, at], [start, found.lr], "o-", mfc="white")
        ax.fill_between([width, at], [start, found.low], [start, found.high], alpha=0.25, lw=0)
        ax.set(xscale="log", yscale="log", xlabel="width", ylabel=r"learning rate $\eta$")
        ax.set_title(found.verdict)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig
