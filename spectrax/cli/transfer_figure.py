"""`spectrax transfer` as a figure: losses against the learning rate, sharpness against the step."""

import numpy as np

TITLES = {"mup": "µP", "ntk": "NTK parameterization"}


def draw(report, eta: float):
    """A column for each parameterization: losses with minima and stability lines, sharpness."""
    import matplotlib.pyplot as plt

    from spectrax import plotting

    with plotting.style():
        fig, axes = plt.subplots(2, 2, figsize=(6.8, 5.2), sharey="row", sharex="row")
        for column, (name, table) in enumerate(report.tables.items()):
            top, bottom = axes[:, column]
            best = np.stack([table.optimal_lr, table.loss], axis=1)
            lrs = np.broadcast_to(report.lrs, report.losses[name].shape)
            lrs = np.concatenate([lrs, best[:, :1]], axis=1)  # the curve goes through its minimum
            losses = np.concatenate([report.losses[name], best[:, 1:]], axis=1)
            order = np.argsort(lrs, axis=1)
            plotting.learning_rates(
                top,
                np.take_along_axis(lrs, order, axis=1),
                np.take_along_axis(losses, order, axis=1),
                report.widths,
                best=best,
                stable=table.max_stable_lr,
            )
            plotting.sharpness(bottom, table.sharpness, [f"{w:g}" for w in report.widths])
            top.set_title(f"{TITLES[name]}: loss after training")
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
