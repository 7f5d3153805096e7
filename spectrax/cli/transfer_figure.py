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


def draw_table(lrs, losses, gaps):
    """Measured losses, with the minima of their parabolas."""
    import matplotlib.pyplot as plt

    from spectrax import plotting

    with plotting.style():
        fig, ax = plt.subplots(figsize=(4.2, 3.2))
        best = np.stack([gaps.optimal_lr, gaps.optimal_loss], axis=1)
        plotting.learning_rates(ax, lrs, losses, gaps.widths, best=best)
        ax.set_title(gaps.verdict.split(";")[0])
        for line, width in zip(ax.lines[::2], gaps.widths, strict=True):
            line.set_label(f"width {width:g}")
        ax.legend()
        fig.draw_without_rendering()
    plt.close(fig)
    return fig
