"""Full batch against online data: the same number of samples in a step, reused or fresh.

With label noise the full batch learns the noise of its samples: the test loss rises again while the
outliers of both layers creep outward. Online, the test loss stays low; fresh noise goes on
accumulating in the first layer, whose outlier keeps growing, while the hidden one's slowly shrinks.
"""

from _common import Verdict, arguments, counter, evenly, finish, layers, top

import jax
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import THEORY, draw_ensemble

MODEL = {"depth": 2, "alpha": 1.0, "nu": 2.0, "eta": 0.01, "gamma0": 8.0, "label_noise": 0.25}
FULL = {"num_steps": 80, "size": 500, "num_seeds": 16, "spectra": 8}
QUICK = {"num_steps": 10, "size": 24, "num_seeds": 2, "spectra": 3}
KINDS = {"full_batch": "full batch", "online": "online"}


def compute(settings: dict, data: str, key):
    """Theory and networks for one kind of data."""
    model = sx.DeepLinear(**MODEL, data=data, num_steps=settings["num_steps"])
    ensemble = sx.simulate(
        model,
        settings["size"],
        key=key,
        num_seeds=settings["num_seeds"],
        spectrum_steps=evenly(model.num_steps, settings["spectra"]),
        progress=counter(KINDS[data]),
    )
    return sx.solve(ensemble.model), ensemble


def draw(found: dict):
    """Losses, and the largest eigenvalue of each layer."""
    import matplotlib.pyplot as plt

    colors = dict(zip(KINDS, plotting.sequence(3, "plasma"), strict=False))
    with plotting.style():
        fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.3))
        for data, (solution, ensemble) in found.items():
            losses(axes[0], data, solution, ensemble, colors[data])
            for layer, item in enumerate(layers(solution)):
                plotting.outlier_path(
                    axes[1 + layer],
                    item.location,
                    item.escaped,
                    edge=item.edge,
                    escape_step=item.escape_step,
                    color=colors[data],
                    label=f"{KINDS[data]}, networks ± s.e.",
                    simulation=top(ensemble, layer),
                    simulation_steps=ensemble.spectrum_steps,
                )
        finishing(axes)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def losses(ax, data: str, solution, ensemble, color) -> None:
    """Test loss, and the loss on the samples that are reused."""
    steps = np.arange(solution.model.num_steps)
    draw_ensemble(ax, steps, ensemble.test_loss, color=color, label=f"{KINDS[data]}, test")
    ax.plot(steps, solution.test_loss, **THEORY)
    if data == "full_batch":
        pale = (*color[:3], 0.45)
        draw_ensemble(ax, steps, ensemble.train_loss, color=pale, label=f"{KINDS[data]}, train")
        ax.plot(steps, solution.train_loss, **THEORY)


def finishing(axes) -> None:
    """Axes, titles, legends."""
    axes[0].plot([], [], **THEORY, label="theory")
    axes[0].set(yscale="log", xlabel="training step $t$", ylabel="mean squared error")
    axes[0].set_title("losses")
    axes[0].legend(loc="center right", bbox_to_anchor=(1.0, 0.54))
    for layer, ax in enumerate(axes[1:]):
        ax.set_title(("first layer", "hidden layer")[layer] + f" $W^{layer}$")
        ax.set_ylabel(r"largest eigenvalue of $W^\top W$")
        ax.text(0.03, 0.05, "bulk", color="0.45", fontsize=8, transform=ax.transAxes)
    axes[1].legend(loc="upper left")


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    keys = jax.random.split(jax.random.key(args.seed), len(KINDS))
    verdict, found, arrays = Verdict(), {}, {}
    for data, key in zip(KINDS, keys, strict=True):
        found[data] = solution, ensemble = compute(settings, data, key)
        verdict.add(KINDS[data], sx.compare(solution, ensemble))
        for name in ("train_loss", "test_loss"):
            arrays[f"{data}_{name}"] = np.asarray(getattr(solution, name))
            for part in ("mean", "stderr"):
                values = getattr(getattr(ensemble, name), part)
                arrays[f"{data}_networks_{name}_{part}"] = np.asarray(values)
        for name in ("location", "escaped", "strength", "escape_step", "edge"):
            arrays[f"{data}_{name}"] = np.array([getattr(x, name) for x in layers(solution)])
        for part in ("mean", "stderr"):
            values = getattr(ensemble.top_eigenvalues, part)
            arrays[f"{data}_networks_top_{part}"] = np.asarray(values)
        arrays["networks_steps"] = np.array(ensemble.spectrum_steps)
    name = "online_against_full_batch"
    finish(args, name, draw(found), arrays, verdict, {**MODEL, **settings})
    for data in KINDS:
        steps = ", ".join(f"W{k} {x:.2f}" for k, x in enumerate(arrays[f"{data}_escape_step"]))
        print(f"escape step, {KINDS[data]}: {steps}")


if __name__ == "__main__":
    main()
