"""Best learning rates of trained networks at several widths, in standard parameterization and µP.

Fully connected ReLU networks learn handwritten digits with Adam at every rate of a grid. Each table
of losses is judged as `spectrax transfer --table` judges anybody's.
"""

import time

from _common import arguments, counter

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import spectrax as sx
from models import data
from models.dense import Dense
from models.loss import cross_entropy
from models.optimizer import optimizer
from spectrax import plotting, records

NAME = "learning_rates_of_trained_networks"
PARAMETERIZATIONS = {"standard": "standard parameterization", "mup": "µP"}
SETTINGS = {
    "widths": (64, 128, 256, 512),
    "depth": 3,
    "rates": tuple(2.0 ** np.arange(-10, -3.9, 0.25)),
    "seeds": 3,
    "num_steps": 100,
    "batch_size": 64,
    "optimizer": "adam",
    "schedule": "cosine",
}
QUICK = {"widths": (8, 16), "seeds": 2, "num_steps": 3, "rates": (0.001, 0.004, 0.016)}


def train(settings: dict, parameterization: str, width: int, seed: int) -> np.ndarray:
    """Loss on all training images after training at every rate, one compilation for all rates."""
    images = data.digits(seed=seed)
    model = Dense(
        width,
        settings["depth"],
        inputs=images.inputs[0].size,
        outputs=images.num_classes,
        base_width=settings["widths"][0],
        parameterization=parameterization,
        rngs=nnx.Rngs(seed),
    )
    batches = [images.batch(t, settings["batch_size"]) for t in range(settings["num_steps"])]
    batches = jax.tree.map(lambda *x: jnp.stack(x), *batches)
    graph, params = nnx.split(model, nnx.Param)
    options = {"name": settings["optimizer"], "schedule": settings["schedule"]}
    # Updates of Adam and SGD are proportional to the rate, which multiplies them below.
    unit = optimizer(
        model, model.scaling, learning_rate=1.0, num_steps=settings["num_steps"], **options
    )

    def loss(params, inputs, targets):
        return cross_entropy(nnx.merge(graph, params), inputs, targets)

    def trained(rate, params, batches):
        def step(carry, batch):
            params, state = carry
            updates, state = unit.update(jax.grad(loss)(params, *batch), state, params)
            params = jax.tree.map(lambda x, u: x + rate * u, params, updates)
            return (params, state), None

        (params, _), _ = jax.lax.scan(step, (params, unit.init(params)), batches)
        return loss(params, images.inputs, images.labels)

    rates = jnp.asarray(settings["rates"], jnp.float32)
    losses = jax.jit(jax.vmap(trained, (0, None, None)))(rates, params, batches)
    return np.asarray(losses, float)


def table(settings: dict, parameterization: str, first_seed: int) -> np.ndarray:
    """Losses of all networks, (widths, rates, seeds)."""
    show = counter(parameterization)
    rows = []
    for width in settings["widths"]:
        rows.append([])
        for seed in range(first_seed, first_seed + settings["seeds"]):
            rows[-1].append(train(settings, parameterization, width, seed))
            show(sum(map(len, rows)))
    return np.moveaxis(np.array(rows), 1, 2)


def draw(settings: dict, losses: dict, found: dict):
    """Losses of each parameterization with their optima; the optima against width.

    Points are means over seeds as the verdict takes them (of logarithms where noise is a part of
    the loss), bars their standard errors.
    """
    import matplotlib.pyplot as plt

    widths, rates = settings["widths"], np.array(settings["rates"])
    colors = plotting.sequence(len(widths))
    with plotting.style():
        fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.1))
        for ax, (name, title) in zip(axes, PARAMETERIZATIONS.items(), strict=False):
            for k, (width, color) in enumerate(zip(widths, colors, strict=True)):
                mean = found[name].curves[k].loss
                error = mean * _stderr(np.log(losses[name][k]))
                ax.errorbar(rates, mean, error, fmt="o-", ms=2.5, lw=1.1, color=color, label=width)
            best = found[name].optimal_lr, found[name].optimal_loss
            ax.scatter(*best, s=34, facecolor="white", edgecolor=colors, linewidth=1.4, zorder=4)
            lowest = np.stack(list(losses.values())).mean(-1).min()
            ax.set(xscale="log", yscale="log", ylim=(0.8 * lowest, 100 * lowest), title=title)
            ax.set(xlabel=r"learning rate $\eta$", ylabel="loss on the training images")
        axes[0].legend(title="width")
        for name, color, marker in zip(PARAMETERIZATIONS, ("C3", "C0"), "so", strict=True):
            _optima(axes[2], found[name], color, marker, PARAMETERIZATIONS[name])
        axes[2].set(xscale="log", yscale="log", title="the best rate against width")
        axes[2].set(xlabel="width $N$", ylabel=r"best learning rate $\eta^*$")
        axes[2].set_xticks(widths, [f"{width}" for width in widths])
        axes[2].minorticks_off()
        low, high = axes[2].get_ylim()
        axes[2].set_ylim(low * (low / high) ** 0.6, high)  # room for the legend
        axes[2].legend(loc="lower left", fontsize="x-small")
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def _stderr(values) -> np.ndarray:
    """Standard error of the mean over seeds."""
    return values.std(-1, ddof=1) / values.shape[-1] ** 0.5


def _optima(ax, found, color, marker, title: str) -> None:
    """Optima with their errors, the fitted power of width with its interval, the verdict."""
    error = np.sqrt([optimum.variance for optimum in found.optima])
    factor = np.exp(np.where(np.isfinite(error), error, 0.0))
    best = found.optimal_lr
    bars = [best - best / factor, best * factor - best]
    label = f"{title}: {found.verdict},\n"
    label += rf"$\rho = {found.drift.exponent:.2f} \pm {found.drift.stderr:.2f}$"
    ax.errorbar(found.widths, best, bars, fmt=marker, ms=4, capsize=2, color=color, label=label)
    grid = np.geomspace(found.widths[0], found.widths[-1], 40)
    fit = [found.recommend(width) for width in grid]
    ax.plot(grid, [x.lr for x in fit], color=color, lw=1)
    ax.fill_between(
        grid, [x.low for x in fit], [x.high for x in fit], color=color, alpha=0.15, lw=0
    )


def main() -> None:
    """Train, judge, draw, write."""
    args = arguments(__doc__)
    settings = SETTINGS | (QUICK if args.quick else {})
    losses = {name: table(settings, name, args.seed) for name in PARAMETERIZATIONS}
    found = {
        name: sx.transfer_gaps(settings["widths"], settings["rates"], values)
        for name, values in losses.items()
    }
    record = {
        "experiment": NAME,
        "settings": settings,
        "quick": args.quick,
        "seed": args.seed,
        "verdict": {name: gaps.verdict for name, gaps in found.items()},
        "reason": {name: gaps.reason for name, gaps in found.items()},
        "drift": {name: gaps.drift._asdict() for name, gaps in found.items()},
        "seconds": round(time.perf_counter() - args.started, 1),
    }
    arrays = {"widths": settings["widths"], "rates": settings["rates"]}
    arrays |= {f"{name}_losses": values for name, values in losses.items()}
    for name, gaps in found.items():
        arrays |= {f"{name}_optimal_lr": gaps.optimal_lr, f"{name}_optimal_loss": gaps.optimal_loss}
    with plotting.style():
        paths = records.write(args.out, NAME, draw(settings, losses, found), arrays, record)
    for name, gaps in found.items():
        print(f"{PARAMETERIZATIONS[name]}\n{gaps}\n")
    print("written:", *paths, sep="\n  ")


if __name__ == "__main__":
    main()
