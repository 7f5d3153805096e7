"""Outliers escape from the bulk in training, the earlier the richer the training.

The largest eigenvalue of every weight matrix against the training step for several output
multipliers gamma0, theory over finite networks, and the final spectra of the richest training.
"""

import jax
import numpy as np
from _common import Verdict, arguments, counter, evenly, finish, layers, top

import spectrax as sx
from spectrax import plotting

MODEL = {"depth": 2, "num_steps": 48, "alpha": 4.0, "nu": 2.0, "eta": 0.01}
GAMMA0 = (2.0, 4.0, 6.0, 8.0, 10.0)
FULL = {"size": 500, "num_seeds": 8, "spectra": 8}
QUICK = {"size": 24, "num_seeds": 2, "spectra": 3}


def compute(gamma0: float, key, size: int, num_seeds: int, spectra: int):
    """Theory and networks of one training."""
    model = sx.DeepLinear(**MODEL, gamma0=gamma0)
    ensemble = sx.simulate(
        model,
        size,
        key=key,
        num_seeds=num_seeds,
        spectrum_steps=evenly(model.num_steps, spectra),
        all_eigenvalues=gamma0 == GAMMA0[-1],
        progress=counter(f"gamma0 = {gamma0:g}"),
    )
    return sx.solve(ensemble.model), ensemble


def draw(reports, ensembles):
    """Trajectories of both layers, and their final spectra."""
    import matplotlib.pyplot as plt

    colors = plotting.sequence(len(GAMMA0))
    with plotting.style():
        fig = plt.figure(figsize=(9.6, 3.6))
        grid = fig.add_gridspec(2, 3, width_ratios=(1, 1, 0.9))
        for layer in range(2):
            ax = fig.add_subplot(grid[:, layer])
            trajectories(ax, layer, reports, ensembles, colors)
            spectrum(fig.add_subplot(grid[layer, 2]), layer, reports[-1], ensembles[-1], colors[-1])
        legend(fig.axes[0], colors)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def trajectories(ax, layer: int, reports, ensembles, colors) -> None:
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
    ax.set_title(("first layer", "hidden layer")[layer] + f", $W^{layer}$")


def spectrum(ax, layer: int, report, ensemble, color) -> None:
    """The final spectrum of one layer."""
    item = report[layer]
    law = sx.MarchenkoPastur(item.aspect, float(item.sigma[-1]))
    outliers = item.location[-1][item.escaped[-1]]
    plotting.spectrum(
        ax, law, outliers, histogram=np.ravel(ensemble.eigenvalues[layer]), color=color
    )
    ax.set_title(rf"$W^{layer}$ after training, $\gamma_0$ = {GAMMA0[-1]:g}")


def legend(ax, colors) -> None:
    """One entry for each gamma0, the richest on top as in the figure."""
    for gamma0, color in reversed(list(zip(GAMMA0, colors, strict=True))):
        ax.plot([], [], "o", ms=3.5, color=color, label=rf"$\gamma_0$ = {gamma0:g}")
    ax.plot([], [], "k--", lw=1.2, label="theory")
    ax.plot([], [], "o", ms=4, mfc="white", mec="0.2", label="escape (theory)")
    ax.legend(loc="upper left")


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    keys = jax.random.split(jax.random.key(args.seed), len(GAMMA0))
    verdict, reports, ensembles, arrays = Verdict(), [], [], {"gamma0": np.array(GAMMA0)}
    for gamma0, key in zip(GAMMA0, keys, strict=True):
        solution, ensemble = compute(gamma0, key, **settings)
        verdict.add(f"gamma0 = {gamma0:g}", sx.compare(solution, ensemble))
        reports.append(layers(solution))
        ensembles.append(ensemble)
    for name in ("location", "escaped", "edge", "strength", "escape_step"):
        arrays[name] = np.array([[getattr(x, name) for x in report] for report in reports])
    tops = [ensemble.top_eigenvalues for ensemble in ensembles]
    arrays["simulation_steps"] = np.array(ensembles[0].spectrum_steps)
    arrays["simulation_mean"] = np.array([x.mean for x in tops])
    arrays["simulation_stderr"] = np.array([x.stderr for x in tops])
    for layer, values in enumerate(ensembles[-1].eigenvalues):
        arrays[f"eigenvalues_W{layer}"] = values
    parameters = {**MODEL, "gamma0": GAMMA0, **settings}
    finish(args, "outlier_escape", draw(reports, ensembles), arrays, verdict, parameters)
    for gamma0, report in zip(GAMMA0, reports, strict=True):
        steps = ", ".join(f"W{k} {x.escape_step:.2f}" for k, x in enumerate(report))
        print(f"escape step at gamma0 = {gamma0:g}: {steps}")


if __name__ == "__main__":
    main()
