"""Outliers escape from the bulk in training, the earlier the richer the training.

The largest eigenvalue of every weight matrix against the training step for several output
multipliers gamma0, theory over finite networks, and the final spectra of the richest training.
"""

from _common import Verdict, arguments, counter, evenly, finish, layers, legend, top

import jax
import numpy as np

import spectrax as sx
from spectrax import plotting

MODEL = {"depth": 2, "alpha": 4.0, "nu": 2.0, "eta": 0.01}
FULL = {
    "gamma0": (2.0, 4.0, 6.0, 8.0, 10.0),
    "num_steps": 48,
    "size": 396,
    "num_seeds": 16,
    "spectra": 8,
}
QUICK = {"gamma0": (2.0, 10.0), "num_steps": 12, "size": 24, "num_seeds": 2, "spectra": 3}


def compute(settings: dict, gamma0: float, key):
    """Theory and networks of one training."""
    model = sx.DeepLinear(**MODEL, gamma0=gamma0, num_steps=settings["num_steps"])
    ensemble = sx.simulate(
        model,
        settings["size"],
        key=key,
        num_seeds=settings["num_seeds"],
        spectrum_steps=evenly(model.num_steps, settings["spectra"]),
        all_eigenvalues=gamma0 == settings["gamma0"][-1],
        progress=counter(f"gamma0 = {gamma0:g}"),
    )
    return sx.solve(ensemble.model), ensemble


def draw(values, reports, ensembles):
    """Trajectories of both layers, and their final spectra."""
    import matplotlib.pyplot as plt

    colors = plotting.sequence(len(values))
    with plotting.style():
        fig = plt.figure(figsize=(9.6, 3.7))
        grid = fig.add_gridspec(2, 3, width_ratios=(1, 1, 0.85))
        for layer in range(2):
            ax = fig.add_subplot(grid[:, layer])
            trajectories(ax, layer, values, reports, ensembles, colors)
            ax = fig.add_subplot(grid[layer, 2])
            spectrum(ax, layer, reports[-1][layer], ensembles[-1], colors[-1])
            ax.set_title(rf"$W^{layer}$ at the end, $\gamma_0$ = {values[-1]:g}")
        fig.axes[1].set_xlabel("")
        legend(fig.axes[0])
        fig.get_layout_engine().set(w_pad=0.08)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def trajectories(ax, layer: int, values, reports, ensembles, colors) -> None:
    """The largest eigenvalue of one layer for every gamma0."""
    for report, ensemble, color in zip(reports, ensembles, colors, strict=True):
        item = report[layer]
        plotting.outlier_path(
            ax,
            item.location,
            item.escaped,
            edge=item.edge,
            escape_step=item.escape_step,
            color=color,
            simulation=top(ensemble, layer),
            simulation_steps=ensemble.spectrum_steps,
        )
    end = reports[0][layer].edge.size - 1
    for gamma0, report, color in zip(values, reports, colors, strict=True):
        last = report[layer]
        outside = last.escaped[-1, 0]
        ax.annotate(
            rf"$\gamma_0$ = {gamma0:g}" if gamma0 == values[-1] else f"{gamma0:g}",
            (end, last.location[-1, 0]),
            xytext=(0, 5 if outside else -7),
            textcoords="offset points",
            ha="right",
            va="bottom" if outside else "top",
            color=color,
            fontsize=8,
        )
    ax.text(0.03, 0.05, "bulk", color="0.45", fontsize=8, transform=ax.transAxes)
    ax.set_title(("first layer", "hidden layer")[layer] + f" $W^{layer}$")
    ax.set_ylabel(r"largest eigenvalue of $W^\top W$")


def spectrum(ax, layer: int, item, ensemble, color) -> None:
    """The final spectrum of one layer; a dot for the outlier of each network."""
    law = sx.MarchenkoPastur(item.aspect, float(item.sigma[-1]))
    outliers = item.location[-1][item.escaped[-1]]
    found = ensemble.eigenvalues[layer]
    plotting.spectrum(ax, law, outliers, histogram=np.ravel(found), color=color)
    largest = found.max(axis=1)
    where = ax.get_xaxis_transform()
    ax.plot(
        largest, np.full(largest.size, 0.17), ".", ms=4, alpha=0.5, color=color, transform=where
    )
    for x in outliers:
        ax.text(x, 0.23, "outlier", ha="center", fontsize=7.5, transform=where)


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    values = settings["gamma0"]
    keys = jax.random.split(jax.random.key(args.seed), len(values))
    verdict, reports, ensembles = Verdict(), [], []
    for gamma0, key in zip(values, keys, strict=True):
        solution, ensemble = compute(settings, gamma0, key)
        verdict.add(f"gamma0 = {gamma0:g}", sx.compare(solution, ensemble))
        reports.append(layers(solution))
        ensembles.append(ensemble)
    arrays = {"gamma0": np.array(values)}
    for name in ("location", "escaped", "edge", "strength", "escape_step"):
        arrays[name] = np.array([[getattr(x, name) for x in report] for report in reports])
    arrays["simulation_steps"] = np.array(ensembles[0].spectrum_steps)
    for name in ("mean", "stderr"):
        found = [getattr(ensemble.top_eigenvalues, name) for ensemble in ensembles]
        arrays[f"simulation_{name}"] = np.array(found)
    for layer, found in enumerate(ensembles[-1].eigenvalues):
        arrays[f"eigenvalues_W{layer}"] = found
    figure = draw(values, reports, ensembles)
    finish(args, "outlier_escape", figure, arrays, verdict, {**MODEL, **settings})
    for gamma0, report in zip(values, reports, strict=True):
        steps = ", ".join(f"W{k} {x.escape_step:.2f}" for k, x in enumerate(report))
        print(f"escape step at gamma0 = {gamma0:g}: {steps}")


if __name__ == "__main__":
    main()
