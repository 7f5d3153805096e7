"""Loss against the learning rate at several widths: where it stops working, and where it is best.

In muP minima and stability lines of all widths coincide, in NTK parameterization they move.
Networks are trained up to the predicted line: beyond it finite networks deviate from each other.
"""

from _common import Verdict, arguments, counter, finish

import jax
import jax.numpy as jnp
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import draw_ensemble

MODEL = {"depth": 2, "alpha": 4.0, "gamma0": 4.0}
PARAMETERIZATIONS = {"mup": ("µP", sx.mup), "ntk": ("NTK parameterization", sx.ntk)}
FULL = {
    "num_steps": 12,
    "size": 300,
    "num_seeds": 12,
    "widths": (1, 2, 4),
    "points": 6,
}
QUICK = {"num_steps": 4, "size": 24, "num_seeds": 2, "widths": (1, 2), "points": 2}
CURVE = 49  # learning rates of the theory
OCTAVES = 2.0  # below the largest stable rate


def build(settings: dict, name: str, width, eta):
    """The model at one width and rate."""
    return sx.DeepLinear(
        **MODEL,
        num_steps=settings["num_steps"],
        nu=width,
        eta=eta,
        parameterization=PARAMETERIZATIONS[name][1],
    )


def theory(settings: dict, name: str) -> dict:
    """Largest stable and optimal rates of every width, and losses on a common range of rates."""
    widths = jnp.asarray(settings["widths"], float)

    @jax.jit
    @jax.vmap
    def rates(width):
        model = build(settings, name, width, 0.1)
        return sx.max_stable_lr(model), sx.optimal_lr(model)

    def loss(width, eta):
        return sx.solve(build(settings, name, width, eta), throw=False).test_loss[-1]

    stable, best = rates(widths)
    low, high = stable.min() * 2.0**-OCTAVES, 1.5 * stable.max()
    lrs = jnp.sort(jnp.concatenate([jnp.geomspace(low, high, CURVE), best]))
    losses = jax.jit(jax.vmap(jax.vmap(loss, (None, 0)), (0, None)))(widths, lrs)
    lowest = jax.jit(jax.vmap(loss))(widths, best)
    found = {"stable": stable, "best": best, "lowest": lowest, "lrs": lrs, "losses": losses}
    return {key: np.asarray(value) for key, value in found.items()}


def networks(settings: dict, name: str, stable, key, verdict: Verdict):
    """Means and errors of the last loss, (widths, points), at rates up to the largest stable."""
    lrs = stable[:, None] * 2.0 ** np.linspace(-OCTAVES, -0.1, settings["points"])
    mean, stderr = np.empty_like(lrs), np.empty_like(lrs)
    for i, width in enumerate(settings["widths"]):
        for k, eta in enumerate(lrs[i]):
            ensemble = sx.simulate(
                build(settings, name, float(width), float(eta)),
                settings["size"],
                key=jax.random.fold_in(key, 100 * i + k),
                num_seeds=settings["num_seeds"],
                progress=counter(f"{name}, width {width}, rate {eta:.3f}"),
            )
            mean[i, k], stderr[i, k] = ensemble.test_loss.mean[-1], ensemble.test_loss.stderr[-1]
            expected = sx.solve(ensemble.model).test_loss[-1]
            verdict.measure(f"last loss, {name}", expected, mean[i, k], stderr[i, k])
    return lrs, mean, stderr


def draw(results: dict, settings: dict):
    """A panel for each parameterization."""
    import matplotlib.pyplot as plt

    with plotting.style():
        fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), sharey=True, sharex=True)
        for ax, (name, (curves, (lrs, mean, stderr))) in zip(axes, results.items(), strict=True):
            best = np.stack([curves["best"], curves["lowest"]], axis=1)
            options = {"best": best, "stable": curves["stable"]}
            plotting.learning_rates(
                ax, curves["lrs"], curves["losses"], settings["widths"], **options
            )
            for color, *points in zip(plotting.sequence(len(lrs)), lrs, mean, stderr, strict=True):
                statistic = sx.Estimate(points[1], points[2])
                draw_ensemble(ax, points[0], statistic, color=color, points=True)
            ax.set_title(PARAMETERIZATIONS[name][0])
        axes[0].errorbar([], [], [], fmt="o", ms=3, capsize=2, color="0.3", label="networks ± s.e.")
        axes[0].plot([], [], "o", ms=5, mfc="white", mec="0.3", label="optimal, theory")
        axes[0].plot([], [], ":", color="0.3", lw=0.9, label="largest stable, theory")
        axes[0].legend(loc="lower left")
        axes[1].set_ylabel("")
        axes[0].set_ylim(0.3 * min(x[0]["lowest"].min() for x in results.values()), 3.0)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    key, verdict, results, arrays = jax.random.key(args.seed), Verdict(), {}, {}
    for k, name in enumerate(PARAMETERIZATIONS):
        curves = theory(settings, name)
        points = networks(settings, name, curves["stable"], jax.random.fold_in(key, k), verdict)
        results[name] = curves, points
        arrays |= {f"{name}_{key}": value for key, value in curves.items()}
        for part, value in zip(("lrs", "mean", "stderr"), points, strict=True):
            arrays[f"{name}_networks_{part}"] = value
    finish(
        args,
        "loss_against_learning_rate",
        draw(results, settings),
        arrays,
        verdict,
        {**MODEL, **settings},
    )
    for name, (curves, _) in results.items():
        for key in ("stable", "best"):
            print(f"{key} learning rate, {name}: {np.array2string(curves[key], precision=4)}")


if __name__ == "__main__":
    main()
