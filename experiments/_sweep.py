"""One hyperparameter swept: outliers at the end of training, and the steps of their escape.

Theory is a continuous curve, one `vmap` over models; networks are trained at a few values. Their
escape is measured where a finite matrix shows it: the step at which the strength reaches 1.3 times
the critical one, read from the largest eigenvalue. Nearer to the edge finite size smears it.
"""

import functools
import types

from _common import Verdict, counter

import jax
import jax.numpy as jnp
import matplotlib.ticker as ticker
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import BULK, EDGE, THEORY, draw_ensemble

CLEAR = 1.3  # strength over critical, from which on finite matrices are compared
NAMES = ("first layer $W^0$", "hidden layer $W^1$")


@functools.partial(jax.jit, static_argnames=("build",))
def curves(build, values):
    """Theory at every value of the hyperparameter; axes (values, layers)."""

    def one(value):
        solution = sx.solve(build(value), throw=False)
        return [_layer(solution.weights(layer)) for layer in range(solution.num_layers)]

    found = jax.vmap(one)(values)
    return jax.tree.map(lambda *x: jnp.stack(x, axis=1), *found)


def _layer(weights) -> dict:
    path = sx.outlier_path(weights)
    critical = weights.sigma**2 * jnp.sqrt(weights.aspect)
    ratio = path.strength[:, 0] / critical
    return {
        "location": path.location[-1, 0],
        "escaped": path.escaped[-1, 0],
        "edge": sx.MarchenkoPastur(weights.aspect, weights.sigma).edges()[1],
        "ratio": ratio,  # (steps + 1,)
        "escape_step": sx.escape_time_of(weights),
        "level": sx.location(CLEAR * critical, weights.aspect, weights.sigma),
    }


def crossing(steps, values, level) -> float:
    """First time at which the polygon through the values reaches the level; +inf if it does not."""
    steps, values = np.asarray(steps, float), np.asarray(values, float)
    up = np.flatnonzero((values[:-1] < level) & (values[1:] >= level))
    if not up.size:
        return np.inf
    k = up[0]
    share = (level - values[k]) / (values[k + 1] - values[k])
    return float(steps[k] + share * (steps[k + 1] - steps[k]))


def clear_step(ratio) -> float:
    """Step at which the strength is clear of the edge, if it goes on growing from there."""
    ratio = np.asarray(ratio)
    grows = ratio[-1] > 1.2 * CLEAR
    return crossing(np.arange(ratio.size), ratio, CLEAR) if grows else np.inf


def stops(ratios, num_steps: int) -> tuple[int, ...]:
    """Steps around the clear one of each layer, and the last."""
    found = {num_steps}
    for ratio in ratios:
        step = clear_step(ratio)
        if np.isfinite(step):
            spacing = max(1, round(step / 8))
            around = round(step) + spacing * np.array([-2, -1, 0, 1, 2])
            found |= {int(x) for x in around if 0 <= x <= num_steps}
    return tuple(sorted(found))


def measure(build, value: float, settings: dict, key, verdict: Verdict, name: str) -> dict:
    """Networks at one value: the largest eigenvalue at the end, and the clear step, per layer."""
    model, _ = build(jnp.asarray(value)).rounded(settings["size"])
    solution = sx.solve(model)
    theory = [_layer(solution.weights(layer)) for layer in range(solution.num_layers)]
    ensemble = sx.simulate(
        model,
        settings["size"],
        key=key,
        num_seeds=settings["num_seeds"],
        spectrum_steps=stops([x["ratio"] for x in theory], model.num_steps),
        progress=counter(f"{name} = {value:g}"),
    )
    verdict.add(f"{name} = {value:g}", sx.compare(solution, ensemble))
    rows = [_measured(solution, ensemble, layer, x) for layer, x in enumerate(theory)]
    for row in rows:
        if np.isfinite(row["clear"]) and np.isfinite(row["clear_theory"]):
            verdict.measure(
                f"step of {CLEAR} x critical",
                row["clear_theory"],
                row["clear"],
                row["clear_stderr"],
            )
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def _measured(solution, ensemble, layer: int, theory: dict) -> dict:
    steps = np.array(ensemble.spectrum_steps)
    mean = np.asarray(ensemble.top_eigenvalues.mean)[layer, :, 0]
    stderr = np.asarray(ensemble.top_eigenvalues.stderr)[layer, :, 0]
    predicted = np.asarray(sx.outlier_path(solution.weights(layer)).location)[steps, 0]
    level, row = float(theory["level"]), {"top": mean[-1], "top_stderr": stderr[-1]}
    both = [crossing(steps, x, level) for x in (predicted, mean)]
    row |= {"clear_theory": both[0], "clear": both[1], "clear_stderr": np.inf}
    if np.isfinite(both).all() and np.isfinite(clear_step(theory["ratio"])):
        k = max(1, min(int(np.searchsorted(steps, both[0])), steps.size - 1))
        slope = (predicted[k] - predicted[k - 1]) / (steps[k] - steps[k - 1])
        row["clear_stderr"] = np.interp(both[0], steps, stderr) / slope
    else:
        row |= {"clear_theory": np.inf, "clear": np.inf}
    return row


def draw(values, theory: dict, points, measured: dict, symbol: str, num_steps: int):
    """Outliers of each layer against the hyperparameter, over the steps of escape."""
    import matplotlib.pyplot as plt

    colors = plotting.sequence(3, "plasma")[:2]
    with plotting.style():
        fig, axes = plt.subplots(2, 2, figsize=(7.6, 5.4), sharex=True)
        axes[1, 1].sharey(axes[1, 0])
        for layer, color in enumerate(colors):
            part = {key: np.asarray(x)[:, layer] for key, x in theory.items()}
            seen = {key: np.asarray(x)[:, layer] for key, x in measured.items()}
            _outliers(axes[0, layer], values, part, points, seen, color)
            _escapes(axes[1, layer], values, part, points, seen, color)
            axes[0, layer].set_title(f"{NAMES[layer]} after {num_steps} steps")
            axes[1, layer].set_title("escape from the bulk")
            axes[1, layer].set_xlabel(symbol)
        axes[0, 0].legend(loc="upper left")
        axes[1, 0].legend(loc="best")
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def _outliers(ax, values, theory, points, seen, color) -> None:
    """The largest eigenvalue at the end over the bulk."""
    edge, location = theory["edge"], np.where(theory["escaped"], theory["location"], np.nan)
    ax.fill_between(values, edge, 0.0, color=BULK, linewidth=0, zorder=0)
    ax.plot(values, edge, **EDGE)
    networks = types.SimpleNamespace(mean=seen["top"], stderr=seen["top_stderr"])
    draw_ensemble(ax, points, networks, color=color, label="networks ± s.e.", points=True)
    ax.plot(values, location, **THEORY, label="theory")
    ax.set_ylabel(r"largest eigenvalue of $W^\top W$")
    top = max(theory["location"].max(), edge.max())
    ax.set_ylim(max(0.0, edge.min() - 0.35 * (top - edge.min())), 1.04 * top)
    ax.text(0.97, 0.05, "bulk", color="0.45", fontsize=8, ha="right", transform=ax.transAxes)
    ax.set_xlim(values[0], values[-1])


def _escapes(ax, values, theory, points, seen, color) -> None:
    """Steps of escape (solid), and of clear separation (dashed), which networks can show."""
    escape = r"escape, $\theta^2 = \sigma^2\sqrt{\alpha_W}$"
    ax.plot(values, _finite(theory["escape_step"]), color=color, label=escape)
    clear = [crossing(np.arange(x.size), x, CLEAR) for x in theory["ratio"]]
    label = rf"clear of it, $\theta^2 = {CLEAR}\,\sigma^2\sqrt{{\alpha_W}}$"
    ax.plot(values, _finite(clear), **THEORY, label=label)
    networks = types.SimpleNamespace(mean=seen["clear"], stderr=seen["clear_stderr"])
    draw_ensemble(ax, points, networks, color=color, points=True)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5)))
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylabel("training step $t$")


def _finite(values):
    values = np.array(values, float)
    return np.where(np.isfinite(values), values, np.nan)


def run(build, values, settings: dict, key, name: str):
    """Theory on all values, networks on some; the numbers of both, and the verdict."""
    points, verdict = settings["points"], Verdict()
    theory = jax.tree.map(np.asarray, curves(build, jnp.asarray(values)))
    rows = [
        measure(build, value, settings, key, verdict, name)
        for value, key in zip(points, jax.random.split(key, len(points)), strict=True)
    ]
    measured = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    return theory, measured, verdict
