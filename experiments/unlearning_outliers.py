"""A network that unlearns its own activity: outliers leave its symmetric matrix on the left.

dx/dt = -mu x + J x, the matrix gets -kappa x x^T / N per unit of time. Extreme eigenvalues against
time and the final spectrum, theory at steps of 0.1 against networks at the same steps; then
the limit of continuous time: the theory at ever shorter steps against networks whose ODE is solved.
"""

from _common import Verdict, arguments, counter, evenly, finish

import jax
import jax.numpy as jnp
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import draw_ensemble

MODEL = {"mu": -0.8, "decay": 0.1, "sigma": 1.0}
FULL = {
    "time": 3.0,
    "kappas": (1.0, 2.0, 3.0),
    "steps": (15, 30, 60, 120, 240),
    "compared": 30,
    "size": 1000,
    "num_seeds": 12,
    "spectra": 10,
    "flow_times": (1.0, 3.0),
}
QUICK = FULL | {
    "kappas": (2.0, 3.0),
    "steps": (15, 30, 60),
    "compared": 15,
    "size": 40,
    "num_seeds": 2,
    "spectra": 3,
}


def build(settings: dict, kappa: float, num_steps: int) -> sx.AntiHebbian:
    """The model with so many steps in the given time."""
    return sx.AntiHebbian(num_steps, dt=settings["time"] / num_steps, kappa=kappa, **MODEL)


def smallest(ensemble: sx.Ensemble) -> sx.Estimate:
    """Smallest eigenvalue at the steps at which spectra were taken."""
    tops = ensemble.top_eigenvalues
    return sx.Estimate(np.asarray(tops.mean)[0, :, 1], np.asarray(tops.stderr)[0, :, 1])


def at_equal_steps(settings: dict, key, verdict: Verdict) -> dict:
    """Theory and networks for every kappa, by steps of equal length."""
    out = {}
    for k, kappa in enumerate(settings["kappas"]):
        model = build(settings, kappa, settings["compared"])
        solution = sx.solve(model)
        ensemble = sx.simulate(
            model,
            settings["size"],
            key=jax.random.fold_in(key, k),
            num_seeds=settings["num_seeds"],
            spectrum_steps=evenly(model.num_steps, settings["spectra"]),
            all_eigenvalues=True,
            progress=counter(f"kappa = {kappa:g}"),
        )
        path = sx.outlier_path(solution.weights(0), side="below")
        out[kappa] = solution, path, ensemble
        stops = np.array(ensemble.spectrum_steps)
        clear = np.asarray(path.strength[stops, 0] < -1.3 * MODEL["sigma"])
        lowest = smallest(ensemble)
        parts = path.location[stops, 0], lowest.mean, lowest.stderr
        verdict.measure("outliers", *(x[clear] for x in parts))
        activity = solution.observed["activity"]
        kernel = ensemble.order.Ch[0]
        verdict.measure("activity", activity, jnp.diag(kernel.mean), jnp.diag(kernel.stderr))
    return out


def in_continuous_time(settings: dict, key, verdict: Verdict) -> dict:
    """Outliers at two times by ever shorter steps, their limit, and those of the ODE."""
    kappa, times = settings["kappas"][-1], np.array(settings["flow_times"])
    found = []
    for num_steps in settings["steps"]:
        solution = sx.solve(build(settings, kappa, num_steps))
        steps = np.rint(times / settings["time"] * num_steps).astype(int)
        spikes = [sx.spikes(solution, 0, step) for step in steps]
        found.append([sx.outliers(x, 1, side="below").location[0] for x in spikes])
    found = np.array(found)  # (dt, times)
    limit = (8 * found[-1] - 6 * found[-2] + found[-3]) / 3  # each step length half the one before
    model, runs = build(settings, kappa, settings["compared"]), []
    for k, seed_key in enumerate(jax.random.split(key, settings["num_seeds"])):
        runs.append(sx.flow(model, settings["size"], key=seed_key, times=times).smallest)
        counter("continuous time")(k + 1)
    mean, stderr = np.mean(runs, 0), np.std(runs, 0, ddof=1) / len(runs) ** 0.5
    verdict.measure("outliers, dt = 0", limit, mean, stderr)
    dt = settings["time"] / np.array(settings["steps"])
    return {"dt": dt, "outliers": found, "limit": limit, "mean": mean, "stderr": stderr}


def draw_paths(ax, settings: dict, compared: dict) -> None:
    """Smallest eigenvalues against time."""
    for color, (kappa, (solution, path, ensemble)) in zip(
        plotting.sequence(len(compared)), compared.items(), strict=True
    ):
        dt = float(solution.model.dt)
        time = dt * np.arange(path.location.shape[0])
        ax.plot(time, path.location[:, 0], "--", color=color, label=rf"$\kappa$ = {kappa:g}")
        stops = dt * np.array(ensemble.spectrum_steps)
        draw_ensemble(ax, stops, smallest(ensemble), color=color, points=True)
        escape = float(sx.escape_time(solution, 0))
        if np.isfinite(escape):
            ax.plot(escape, -2 * MODEL["sigma"], "o", ms=5, mfc="white", mec=color, zorder=5)
    ax.axhspan(-2 * MODEL["sigma"], -1.6, color="0.92", zorder=0)
    ax.text(0.02 * settings["time"], -1.65, "bulk", color="0.45", va="top")
    ax.set(xlabel="time", ylabel=r"$\lambda_{\min}(J)$", ylim=(None, -1.6))
    ax.set_title(f"steps of {dt:g}, theory dashed, o: escape")
    ax.legend(loc="lower left")


def draw_limit(ax, error_ax, found: dict, times) -> None:
    """Outliers against the step length, and their distance from the limit."""
    for k, color in enumerate(plotting.sequence(len(times), "plasma")):
        label = f"time {times[k]:g}"
        ax.plot(found["dt"], found["outliers"][:, k], "o--", ms=3.5, color=color, label=label)
        ax.plot(0, found["limit"][k], "x", ms=4.5, mew=1.2, color="black", zorder=6)
        ax.errorbar(
            0, found["mean"][k], found["stderr"][k], fmt="s", ms=8, capsize=5, color=color, mfc="w"
        )
        error = np.abs(found["outliers"][:, k] - found["limit"][k])
        error_ax.loglog(found["dt"], error, "o-", ms=3.5, color=color, label=label)
    line = error[-1] * found["dt"] / found["dt"][-1]
    error_ax.loglog(found["dt"], line, ":", color="0.4", label="first order")
    ax.set(xlabel="step length dt", ylabel="outlier")
    ax.set_title("theory (x: limit), networks by ODE at dt = 0")
    ax.legend()
    ax.set_xticks(np.linspace(0, found["dt"].max(), 5))
    error_ax.set_xticks(found["dt"], [f"{dt:g}" for dt in found["dt"]])
    error_ax.minorticks_off()
    error_ax.set(xlabel="step length dt", ylabel="distance from the limit")
    error_ax.set_title("theory converges at first order")
    error_ax.legend()


def draw(settings: dict, compared: dict, found: dict):
    """Paths and spectrum above, continuous time below."""
    import matplotlib.pyplot as plt

    kappa = settings["kappas"][-1]
    solution, path, ensemble = compared[kappa]
    with plotting.style():
        fig, axes = plt.subplots(2, 2, figsize=(7.6, 5.8))
        draw_paths(axes[0, 0], settings, compared)
        values = np.ravel(ensemble.eigenvalues[0])
        last = sx.outliers(sx.spikes(solution, 0, solution.model.num_steps), 3, side="below")
        places = np.asarray(last.location)[np.asarray(last.escaped)]
        plotting.spectrum(
            axes[0, 1], sx.Semicircle(MODEL["sigma"]), places, histogram=values, bins=80
        )
        title = rf"$\kappa$ = {kappa:g}, time {settings['time']:g}"
        axes[0, 1].set(title=title, xlabel="eigenvalue of $J$")
        draw_limit(axes[1, 0], axes[1, 1], found, settings["flow_times"])
    plt.close(fig)
    return fig


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings, verdict = QUICK if args.quick else FULL, Verdict()
    first, second = jax.random.split(jax.random.key(args.seed))
    compared = at_equal_steps(settings, first, verdict)
    found = in_continuous_time(settings, second, verdict)
    arrays = {f"limit_{name}": np.asarray(value) for name, value in found.items()}
    for kappa, (solution, path, ensemble) in compared.items():
        arrays[f"theory_{kappa:g}"] = np.asarray(path.location[:, 0])
        arrays[f"networks_{kappa:g}"] = np.asarray(ensemble.top_eigenvalues.mean[0])
        arrays[f"networks_{kappa:g}_stderr"] = np.asarray(ensemble.top_eigenvalues.stderr[0])
        arrays[f"escape_{kappa:g}"] = np.asarray(sx.escape_time(solution, 0))
        arrays[f"eigenvalues_{kappa:g}"] = np.asarray(ensemble.eigenvalues[0])
    figure = draw(settings, compared, found)
    finish(args, "unlearning_outliers", figure, arrays, verdict, MODEL | settings)


if __name__ == "__main__":
    main()
