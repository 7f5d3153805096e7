"""Wide nonlinear networks: kernels, and outliers of the hidden weights, theory against networks.

A single-index target y = tanh(2 w.x / |w|) on Gaussian inputs, three hidden layers, full batch.
In the heat maps the lower triangle is the theory, the upper one the mean over networks.
"""

from _common import Verdict, arguments, counter, evenly, finish, top

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import draw_ensemble

FULL = {
    "depth": 3,
    "num_steps": 16,
    "samples": 6,
    "dimension": 20,
    "eta": 0.3,
    "gammas": (1.0, 2.0, 4.0),
    "sizes": (300, 1000),
    "num_seeds": 16,
    "neurons": 8192,
    "curve": 9,
}
QUICK = FULL | {
    "num_steps": 4,
    "samples": 2,
    "gammas": (2.0, 4.0),
    "sizes": (20, 40),
    "num_seeds": 2,
    "neurons": 256,
    "curve": 3,
}


def build(settings: dict, gamma0, seed: int = 0) -> sx.WideNetwork:
    """The model; inputs and targets are those of the seed."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(settings["samples"], settings["dimension"]))
    direction = rng.normal(size=settings["dimension"])
    y = np.tanh(2 * x @ direction / np.linalg.norm(direction))
    return sx.WideNetwork(
        settings["depth"],
        settings["num_steps"],
        inputs=x,
        targets=y,
        eta=settings["eta"],
        gamma0=gamma0,
    )


def theory(settings: dict, args, limit) -> tuple[dict, dict]:
    """Solutions for every gamma0, and escape steps on a finer range."""
    solutions = {
        g: sx.solve(build(settings, g, args.seed), interpreter=limit) for g in settings["gammas"]
    }
    gammas = np.geomspace(min(settings["gammas"]), 1.5 * max(settings["gammas"]), settings["curve"])

    @jax.jit
    def escapes(gamma0):
        model = eqx.tree_at(lambda m: m.gamma0, build(settings, 1.0, args.seed), gamma0)
        solution = sx.solve(model, interpreter=limit, throw=False)
        return jnp.stack([sx.escape_time(solution, layer=layer) for layer in solution.layers])

    found = np.array([escapes(jnp.asarray(g)) for g in gammas])
    return solutions, {"gammas": gammas, "escape_steps": found}


def networks(settings: dict, solutions: dict, key, verdict: Verdict) -> dict:
    """Ensembles for every gamma0 and width; the widest are held against the theory."""
    out = {}
    for i, (gamma0, solution) in enumerate(solutions.items()):
        for k, size in enumerate(settings["sizes"]):
            out[gamma0, size] = sx.simulate(
                solution.model,
                size,
                key=jax.random.fold_in(key, 10 * i + k),
                num_seeds=settings["num_seeds"],
                spectrum_steps=evenly(settings["num_steps"], 8),
                progress=counter(f"gamma0 = {gamma0}, N = {size}"),
            )
        verdict.add(f"gamma0 = {gamma0}", sx.compare(solution, out[gamma0, size]))
    return out


def draw_outliers(ax, settings: dict, solutions: dict, ensembles: dict, index: int) -> None:
    """Largest eigenvalue of one weight against the step."""
    colors = plotting.sequence(len(solutions))
    for (gamma0, solution), color in zip(solutions.items(), colors, strict=True):
        layer = solution.layers[index]
        path = sx.outlier_path(solution.weights(layer)).location[:, 0]
        ax.plot(path, color=color, ls="--", label=f"$\\gamma_0 = {gamma0:g}$")
        widest = ensembles[gamma0, settings["sizes"][-1]]
        draw_ensemble(ax, widest.spectrum_steps, top(widest, index), color=color, points=True)
    ax.axhline(4.0, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="step $t$", ylabel=r"$\lambda_{\max}$", title=f"$W^{layer}$, theory dashed")


def draw_kernel(fig, ax, theory, estimate, title: str) -> None:
    """Theory below the diagonal, networks above."""
    lower = np.tri(len(theory), dtype=bool)
    both = np.where(lower, np.asarray(theory), np.asarray(estimate.mean))
    bound = np.abs(both).max()
    image = ax.imshow(both, cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    ax.set(title=title, xlabel="(step, sample)", ylabel="(step, sample)")
    fig.colorbar(image, ax=ax, shrink=0.8)


def draw(settings: dict, solutions: dict, curve: dict, ensembles: dict):
    """Outliers and escapes above; kernels and losses below."""
    import matplotlib.pyplot as plt

    rich, widest = settings["gammas"][-1], settings["sizes"][-1]
    solution, ensemble = solutions[rich], ensembles[rich, widest]
    with plotting.style():
        fig, axes = plt.subplots(2, 3, figsize=(9.6, 5.8))
        for index in range(2):
            draw_outliers(axes[0, index], settings, solutions, ensembles, index)
        axes[0, 0].legend()
        for index, color in enumerate(plotting.sequence(2)):
            steps = curve["escape_steps"][:, index]
            axes[0, 2].plot(
                curve["gammas"], steps, "o-", ms=3, color=color, label=f"$W^{index + 1}$"
            )
        axes[0, 2].set(xlabel=r"$\gamma_0$", ylabel="escape step", title="theory")
        axes[0, 2].legend()
        title = rf", $\gamma_0 = {rich:g}$, $N = {widest}$"
        depth = settings["depth"]
        draw_kernel(
            fig,
            axes[1, 0],
            solution.order.Ch[depth],
            ensemble.order.Ch[depth],
            rf"$\Phi^{depth}$" + title,
        )
        draw_kernel(fig, axes[1, 1], solution.order.Cg[1], ensemble.order.Cg[1], "$G^1$" + title)
        steps = np.arange(settings["num_steps"])
        for (gamma0, found), color in zip(
            solutions.items(), plotting.sequence(len(solutions)), strict=True
        ):
            axes[1, 2].plot(steps, found.train_loss, color=color, ls="--")
            for size, marker in zip(settings["sizes"], (0.35, 1.0), strict=True):
                loss = ensembles[gamma0, size].train_loss
                axes[1, 2].errorbar(
                    steps,
                    loss.mean,
                    loss.stderr,
                    fmt="o",
                    ms=2.5,
                    lw=0.8,
                    color=color,
                    alpha=marker,
                )
        axes[1, 2].set(
            xlabel="step $t$",
            ylabel="loss",
            yscale="log",
            title=f"$N = {settings['sizes'][0]}$ pale, {widest} full",
        )
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    limit = sx.SampledLimit(settings["neurons"], key=jax.random.key(args.seed))
    verdict = Verdict()
    solutions, curve = theory(settings, args, limit)
    ensembles = networks(settings, solutions, jax.random.key(args.seed + 1), verdict)
    arrays = dict(curve)
    for (gamma0, size), ensemble in ensembles.items():
        name = f"gamma0_{gamma0:g}_N_{size}"
        arrays[f"{name}_top_mean"] = np.asarray(ensemble.top_eigenvalues.mean)[..., 0]
        arrays[f"{name}_top_stderr"] = np.asarray(ensemble.top_eigenvalues.stderr)[..., 0]
        arrays[f"{name}_loss_mean"] = np.asarray(ensemble.train_loss.mean)
    for gamma0, solution in solutions.items():
        arrays[f"gamma0_{gamma0:g}_loss"] = np.asarray(solution.train_loss)
        arrays[f"gamma0_{gamma0:g}_top"] = np.stack(
            [sx.outlier_path(solution.weights(k)).location[:, 0] for k in solution.layers]
        )
    figure = draw(settings, solutions, curve, ensembles)
    finish(args, "hidden_outliers_of_wide_networks", figure, arrays, verdict, settings)
    print("escape steps (gamma0; W1, W2):")
    for gamma0, steps in zip(curve["gammas"], curve["escape_steps"], strict=True):
        print(f"  {gamma0:6.2f}  {steps.round(2)}")


if __name__ == "__main__":
    main()
