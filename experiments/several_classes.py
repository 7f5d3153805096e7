"""Three classes with correlated teachers: three outliers in every layer.

Each eigenvector of the teachers' Gram matrix is learned at its own pace and sends out an outlier of
its own: the larger the eigenvalue, the sooner and the farther.
"""

from _common import Verdict, arguments, counter, evenly, finish, layers, legend, top

import jax
import numpy as np

import spectrax as sx
from spectrax import plotting

GRAM = ((1.0, 0.6, 0.3), (0.6, 1.0, 0.3), (0.3, 0.3, 1.0))
MODEL = {"depth": 2, "alpha": 4.0, "nu": 2.0, "eta": 0.005, "gamma0": 10.0}
MODEL |= {"num_classes": 3, "teacher_gram": GRAM}
FULL = {"num_steps": 56, "size": 600, "num_seeds": 16, "spectra": 8}
QUICK = {"num_steps": 10, "size": 24, "num_seeds": 2, "spectra": 3}
COUNT = 3


def escape_steps(item) -> np.ndarray:
    """Interpolated first crossing of the threshold by each strength; +inf without one."""
    ratio = item.strength / item.critical[:, None]  # (steps + 1, count)
    found = []
    for r in ratio.T:
        k = int(np.argmax(r > 1))
        found.append(k - (r[k] - 1) / (r[k] - r[k - 1]) if r[k] > 1 else np.inf)
    return np.array(found)


def draw(solution, ensemble):
    """Losses, and the three largest eigenvalues of each layer."""
    import matplotlib.pyplot as plt

    colors = plotting.sequence(COUNT)
    with plotting.style():
        fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.3))
        theory = {"train": solution.train_loss, "test": solution.test_loss}
        networks = {"train": ensemble.train_loss, "test": ensemble.test_loss}
        pair = plotting.sequence(3, "plasma")[:2]
        plotting.losses(axes[0], theory, simulation=networks, colors=pair)
        axes[0].set_title("losses, mean over classes")
        for layer, item in enumerate(layers(solution, COUNT)):
            trajectories(axes[1 + layer], layer, item, ensemble, colors)
        legend(axes[1])
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def trajectories(ax, layer: int, item, ensemble, colors) -> None:
    """The largest eigenvalues of one layer."""
    for k, (color, step) in enumerate(zip(colors, escape_steps(item), strict=True)):
        plotting.outlier_path(
            ax,
            item.location[:, k],
            item.escaped[:, k],
            edge=item.edge,
            escape_step=step,
            color=color,
            simulation=top(ensemble, layer, k),
            simulation_steps=ensemble.spectrum_steps,
        )
    eigenvalues = np.linalg.eigvalsh(np.array(GRAM))[::-1]
    for k, (color, eigenvalue) in enumerate(zip(colors, eigenvalues, strict=True)):
        name = "teachers' eigenvalue " if k == 0 else ""
        place = (item.edge.size - 1, item.location[-1, k])
        look = {"ha": "right", "va": "bottom", "color": color, "fontsize": 8}
        ax.annotate(f"{name}{eigenvalue:.2f}", place, (0, 5), textcoords="offset points", **look)
    ax.text(0.03, 0.05, "bulk", color="0.45", fontsize=8, transform=ax.transAxes)
    ax.set_title(("first layer", "hidden layer")[layer] + f" $W^{layer}$")
    ax.set_ylabel(r"largest eigenvalues of $W^\top W$")


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    model = sx.DeepLinear(**MODEL, num_steps=settings["num_steps"])
    ensemble = sx.simulate(
        model,
        settings["size"],
        key=jax.random.key(args.seed),
        num_seeds=settings["num_seeds"],
        spectrum_steps=evenly(model.num_steps, settings["spectra"]),
        num_top=COUNT,
        progress=counter("three classes"),
    )
    solution, verdict = sx.solve(ensemble.model), Verdict()
    verdict.add("three classes", sx.compare(solution, ensemble))
    items = layers(solution, COUNT)
    arrays = {"escape_steps": np.array([escape_steps(item) for item in items])}
    for name in ("location", "escaped", "strength", "edge"):
        arrays[name] = np.array([getattr(item, name) for item in items])
    for name in ("train_loss", "test_loss"):
        arrays[name] = np.asarray(getattr(solution, name))
        for part in ("mean", "stderr"):
            values = getattr(getattr(ensemble, name), part)
            arrays[f"networks_{name}_{part}"] = np.asarray(values)
    for part in ("mean", "stderr"):
        arrays[f"networks_top_{part}"] = np.asarray(getattr(ensemble.top_eigenvalues, part))
    arrays["networks_steps"] = np.array(ensemble.spectrum_steps)
    figure = draw(solution, ensemble)
    finish(args, "several_classes", figure, arrays, verdict, {**MODEL, **settings})
    for layer, steps in enumerate(arrays["escape_steps"]):
        print(f"W{layer}: escape steps " + ", ".join(f"{step:.2f}" for step in steps))


if __name__ == "__main__":
    main()
