"""Sharpness against the step: it rises towards the edge of stability, at every width in muP only.

Full-batch training, so the kernel is the one on the training samples. In NTK parameterization the
kernel of wide networks does not move: their limit is a flat line, stable at larger rates.
"""

from _common import Verdict, arguments, counter, evenly, finish

import jax
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import THEORY, draw_ensemble

# learning rate and output multiplier for each depth: all but reach the edge at width ratio 1
DEPTHS = {1: (0.19, 3.0), 2: (0.068, 4.0), 3: (0.0235, 6.0)}
PARAMETERIZATIONS = {"µP": sx.mup, "NTK": sx.ntk}
FULL = {"num_steps": 30, "size": 240, "num_seeds": 12, "widths": (1, 2, 4), "spectra": 6}
QUICK = {"num_steps": 6, "size": 24, "num_seeds": 2, "widths": (1, 2), "spectra": 2}
ALPHA = 4.0
WIDE = 1000.0  # as good as infinite


@jax.jit
def path(model):
    """Sharpness on the training samples, before each update."""
    return sx.ntk_path(sx.solve(model, throw=False), kernel="train")


def compute(settings: dict, depth: int, name: str, key, verdict: Verdict) -> dict:
    """Theory at every width and in the wide limit, and networks."""
    eta, gamma0 = DEPTHS[depth]
    found = {}
    for width, seed in zip(settings["widths"], jax.random.split(key, 8), strict=False):
        model = sx.DeepLinear(
            depth,
            settings["num_steps"],
            alpha=ALPHA,
            nu=float(width),
            eta=eta,
            gamma0=gamma0,
            parameterization=PARAMETERIZATIONS[name],
        )
        ensemble = sx.simulate(
            model,
            settings["size"],
            key=seed,
            num_seeds=settings["num_seeds"],
            spectrum_steps=evenly(model.num_steps - 1, settings["spectra"]),
            kernel="train",
            progress=counter(f"{name}, depth {depth}, width {width}"),
        )
        found[width] = np.asarray(path(ensemble.model)), ensemble
        steps = np.array(ensemble.spectrum_steps)
        escaped = found[width][0][steps] > 1.05 * found[width][0][0]
        values = (found[width][0][steps], ensemble.ntk_top.mean, ensemble.ntk_top.stderr)
        verdict.measure(f"sharpness, depth {depth}", *(np.asarray(x)[escaped] for x in values))
    wide = sx.DeepLinear(
        depth,
        settings["num_steps"],
        alpha=ALPHA,
        nu=WIDE,
        eta=eta,
        gamma0=gamma0,
        parameterization=PARAMETERIZATIONS[name],
    )
    return {"finite": found, "wide": np.asarray(path(wide)), "bound": 2 / eta}


def draw(results: dict, settings: dict):
    """Rows: parameterizations; columns: depths."""
    import matplotlib.pyplot as plt

    widths = settings["widths"]
    with plotting.style():
        fig, axes = plt.subplots(2, len(DEPTHS), figsize=(9.0, 5.0), sharex=True, sharey="col")
        for (name, depth), result in results.items():
            ax = axes[list(PARAMETERIZATIONS).index(name), list(DEPTHS).index(depth)]
            colors = plotting.sequence(len(widths))
            for color, (width, (theory, ensemble)) in zip(
                colors, result["finite"].items(), strict=True
            ):
                label = rf"networks, $\nu = {width}$"
                steps = ensemble.spectrum_steps
                draw_ensemble(ax, steps, ensemble.ntk_top, color=color, label=label, points=True)
                ax.plot(np.arange(len(theory)), theory, **THEORY)
            ax.plot(result["wide"], color="0.55", lw=1.2, label=r"theory, $\nu \to \infty$")
            ax.axhline(result["bound"], color="0.3", ls=":", lw=0.9)
            ax.text(
                0.02, result["bound"], r"$2/\eta$", va="bottom", fontsize=8, transform=_mixed(ax)
            )
            layers = "hidden layer" + "s" * (depth > 1)
            ax.set_title(f"{name}, {depth} {layers}")
        for ax in axes[-1]:
            ax.set_xlabel("training step $t$")
        for ax in axes[:, 0]:
            ax.set_ylabel(r"sharpness $\hat\kappa(t)$")
        axes[0, 0].plot([], [], **THEORY, label="theory")
        axes[0, 0].legend(loc="lower right")
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def _mixed(ax):
    """X in parts of the axes, y in data."""
    import matplotlib.transforms as transforms

    return transforms.blended_transform_factory(ax.transAxes, ax.transData)


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    key, verdict, results, arrays = jax.random.key(args.seed), Verdict(), {}, {}
    for k, name in enumerate(PARAMETERIZATIONS):
        for depth in DEPTHS:
            seed = jax.random.fold_in(key, 10 * k + depth)
            results[name, depth] = result = compute(settings, depth, name, seed, verdict)
            stem = f"{'mup' if name == 'µP' else 'ntk'}_depth{depth}"
            arrays[f"{stem}_theory"] = np.stack([x[0] for x in result["finite"].values()])
            arrays[f"{stem}_wide"] = result["wide"]
            tops = [x[1].ntk_top for x in result["finite"].values()]
            arrays[f"{stem}_networks_mean"] = np.stack([np.asarray(x.mean) for x in tops])
            arrays[f"{stem}_networks_stderr"] = np.stack([np.asarray(x.stderr) for x in tops])
            arrays["networks_steps"] = np.array(
                next(iter(result["finite"].values()))[1].spectrum_steps
            )
    figure = draw(results, settings)
    parameters = {**settings, "alpha": ALPHA, "eta_and_gamma0_of_each_depth": DEPTHS}
    finish(args, "sharpness_over_training", figure, arrays, verdict, parameters)


if __name__ == "__main__":
    main()
