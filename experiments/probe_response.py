"""A probe that evolves under a trained weight in its own time sees the bulk and the outlier.

Overlaps of a growing probe, their growth rates, the trace response of a decaying probe, and Laplace
transforms of both responses against the resolvent: theory over finite networks.
"""

from _common import Verdict, arguments, counter, finish

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import BULK, THEORY, draw_ensemble
from spectrax.program.finite import Trainer

MODEL = {"depth": 2, "alpha": 4.0, "nu": 1.0, "eta": 0.01, "gamma0": 10.0}
LAYER = 1
FIELD = 1  # the probe starts from the forward field of this step
FULL = {"size": 1000, "num_seeds": 16, "steps": (2, 8, 10, 14, 30), "points": 13, "panels": 14}
QUICK = {"size": 60, "num_seeds": 2, "steps": (2, 12), "points": 5, "panels": 4}
GROWING, DECAYING = 6.0, 30.0  # last times
RATES = np.geomspace(0.4, 6.4, 9)  # Laplace variable p
FINE = np.geomspace(0.4, 6.4, 97)  # the same for the theory; every twelfth is one of RATES
LINES = (("trace", "trace", "C0"), ("decayed", "overlap", "C1"))


_start, _train = eqx.filter_jit(Trainer.start), eqx.filter_jit(Trainer.train)


def weights(model, size: int, steps, key):
    """One network: after each number of steps its weight, and the field that starts the probe."""
    _, sizes = model.rounded(size)
    trainer = model.trainer(sizes)
    network = _start(trainer, key)
    for step in steps:
        network = _train(trainer, network, key, jnp.asarray(step))
        field = network.records[f"W{LAYER}.forward"][FIELD, 0]
        yield model.matrix(network, f"W{LAYER}"), field


def panels(end: float, count: int):
    """Times and weights of a quadrature from 0 to end; panels are short where much happens."""
    nodes, weight = np.polynomial.legendre.leggauss(5)
    edges = end * np.linspace(0, 1, count + 1) ** 2
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weight).ravel()


def transform(times, weight, values):
    """Laplace transform at RATES of values given at the nodes of `panels`, last axis times."""
    return values @ (weight[:, None] * np.exp(-times[:, None] * RATES))


def measure(model, settings, key, times, nodes):
    """One network through the probes."""
    early, late = jax.random.split(key)
    found = {"grown": []}
    for W, h in weights(model, settings["size"], settings["steps"], early):
        grown = sx.probe(W, h, times, sign=1, fields=h[None]).values[:, 0]
        found["grown"].append(grown / (h @ h / h.size))
    found["decayed"] = sx.probe(W, h, nodes, fields=h[None]).values[:, 0] / (h @ h / h.size)
    signs = jax.random.rademacher(late, h.shape, float)  # the mean over signs is the trace
    found["trace"] = sx.probe(W, signs, nodes, fields=signs[None]).values[:, 0]
    return {name: np.array(values) for name, values in found.items()}


def predict(solution, steps, times, nodes):
    """The same in theory, from projected probes and the transfer matrix."""
    found = {"grown": [], "location": [], "escaped": []}
    for step in steps:
        spikes = sx.spikes(solution, LAYER, step)
        start = jnp.eye(spikes.K.shape[1])[:, FIELD : FIELD + 1]
        norm = spikes.Ce[FIELD, FIELD]
        grown = sx.projected_probe(spikes, times, sign=1, start=start).values
        top = sx.outliers(spikes, 1)
        found["grown"].append(grown[:, FIELD, 0] / norm)
        found["location"].append(top.location[0])
        found["escaped"].append(top.escaped[0])
    decayed = sx.projected_probe(spikes, nodes, start=start).values
    found["decayed"] = decayed[:, FIELD, 0] / norm
    found["trace"] = sx.trace_response(spikes, nodes)
    law = sx.MarchenkoPastur(spikes.aspect, spikes.sigma)
    resolvent = sx.resolvent_overlaps(spikes, -FINE)[:, FIELD, FIELD]
    found["transform_decayed"] = -resolvent / norm
    found["transform_trace"] = -law.stieltjes(-FINE)
    return {name: np.array(values) for name, values in found.items()}, law


def estimate(samples) -> sx.Estimate:
    """Mean and standard error over networks."""
    return sx.Estimate(samples.mean(0), samples.std(0, ddof=1) / np.sqrt(len(samples)))


def growth(times, values):
    """Rates of growth between successive times, and their middles."""
    return np.diff(np.log(values), axis=-1) / np.diff(times), (times[1:] + times[:-1]) / 2


def draw(data, theory, law, steps):
    """Overlaps, growth rates, decaying responses, Laplace transforms."""
    import matplotlib.pyplot as plt

    with plotting.style():
        fig, axes = plt.subplots(2, 2, figsize=(7.4, 5.6))
        growing(*axes[0], data, theory, law, steps)
        decaying(axes[1, 0], data, theory)
        transforms(axes[1, 1], data, theory)
        for ax, letter in zip(axes.flat, "abcd", strict=True):
            ax.set_title(f"({letter})  {ax.get_title(loc='left')}")
        fig.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def growing(left, right, data, theory, law, steps) -> None:
    """Overlaps of the growing probe on the left, their growth rates on the right."""
    times, edge = data["times"], float(law.edges()[1])
    right.axhspan(0, edge, color=BULK, lw=0, zorder=0)
    for k, color in enumerate(plotting.sequence(len(steps))):
        found = estimate(data["grown"][:, k])
        draw_ensemble(left, times, found, color=color, points=True, label=f"{steps[k]}")
        left.plot(times, theory["grown"][k], **THEORY)
        rates, middle = growth(times, data["grown"][:, k])
        draw_ensemble(right, middle, estimate(rates), color=color, points=True)
        right.plot(middle, growth(times, theory["grown"][k])[0], **THEORY)
        if theory["escaped"][k]:
            right.axhline(theory["location"][k], color=color, ls=":", lw=1.3, zorder=1)
    left.set(yscale="log", xlabel=r"probe time $\tau$", ylabel=r"overlap $c(\tau)/c(0)$")
    left.set_title(r"growing probe, $\dot v = W^\top Wv$")
    left.legend(title="updates of training", loc="upper left", title_fontsize=7.5)
    right.set(xlabel=r"probe time $\tau$", ylabel=r"growth rate $d\log c/d\tau$", ylim=(0.8, None))
    right.set_title("its rate ends at the outlier (dotted)")
    right.text(0.97, 0.05, "bulk", ha="right", color="0.45", fontsize=8, transform=right.transAxes)


def decaying(ax, data, theory) -> None:
    """Trace response, and the overlap of the most trained weight."""
    for name, label, color in LINES:
        found = estimate(data[name])
        keep = data["nodes"] > 0.02
        at = sx.Estimate(found.mean[keep], found.stderr[keep])
        draw_ensemble(ax, data["nodes"][keep], at, color=color, label=label)
        ax.plot(data["nodes"][keep], theory[name][keep], **THEORY)
    ax.set(xscale="log", yscale="log", xlabel=r"probe time $\tau$", ylabel="response")
    ax.set_title(r"decaying probe, $\dot v = -W^\top Wv$")
    ax.legend(loc="lower left")


def transforms(ax, data, theory) -> None:
    """Laplace transforms of both responses, times p, over the resolvent at z = -p."""
    for name, label, color in LINES:
        found = estimate(RATES * transform(data["nodes"], data["weights"], data[name]))
        draw_ensemble(ax, RATES, found, color=color, points=True, label=label)
        ax.plot(FINE, FINE * theory[f"transform_{name}"], **THEORY)
    ax.set(
        xscale="log",
        xlabel="Laplace variable $p$",
        ylabel=r"$p\,\int e^{-p\tau}\,$response$\,d\tau$",
    )
    ticks = [0.5, 1, 2, 4]
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.minorticks_off()
    ax.set_title("Laplace transforms are resolvents at $z=-p$")
    for name, shift, label in (("trace", 0.05, r"$-p\,m(-p)$"), ("decayed", -0.08, "overlap")):
        height = FINE[40] * theory[f"transform_{name}"][40] + shift
        ax.text(FINE[40], height, label, fontsize=8, ha="right" if shift > 0 else "left")


def judge(data, theory) -> Verdict:
    """Every quantity of the figure, theory against networks."""
    verdict = Verdict()

    def enter(name, samples, expected):
        found = estimate(samples)
        verdict.measure(name, expected, found.mean, found.stderr)

    times, nodes, weight = (data[name] for name in ("times", "nodes", "weights"))
    enter("growing overlaps", data["grown"][..., 1:], theory["grown"][:, 1:])
    rates = growth(times, data["grown"])[0]
    enter("growth rates", rates, growth(times, theory["grown"])[0])
    for name, label, _ in LINES:
        enter(f"{label}, decaying", data[name], theory[name])
        exact = theory[f"transform_{name}"][::12]
        enter(f"{label}, transformed", transform(nodes, weight, data[name]), exact)
    return verdict


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    steps = settings["steps"]
    model = sx.DeepLinear(**MODEL, num_steps=steps[-1])
    model, _ = model.rounded(settings["size"])
    times = np.linspace(0.0, GROWING, settings["points"])
    nodes, weight = panels(DECAYING, settings["panels"])
    theory, law = predict(sx.solve(model), steps, times, nodes)
    count, runs = counter("probe_response"), []
    for seed, key in enumerate(jax.random.split(jax.random.key(args.seed), settings["num_seeds"])):
        runs.append(measure(model, settings, key, times, nodes))
        count(seed + 1)
    data = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    data |= {"times": times, "nodes": nodes, "weights": weight}
    arrays = data | {f"theory_{name}": values for name, values in theory.items()}
    arrays |= {"steps": np.array(steps), "p": RATES, "theory_p": FINE}
    figure = draw(data, theory, law, steps)
    verdict = judge(data, theory)
    finish(args, "probe_response", figure, arrays, verdict, {**MODEL, "layer": LAYER, **settings})


if __name__ == "__main__":
    main()
