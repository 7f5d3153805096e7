"""With as many outputs as width one gradient step moves the whole bulk.

Spectra of the first layer of a two-layer network after one step, theory over sampled matrices, for
several step sizes, numbers of outputs and widths; one step against two; the upper edge in muP and
NTK parameterization against width; its distance from infinite width, rescaled; and how fast sampled
spectra approach the law.
"""

from functools import partial

from _common import Verdict, arguments, finish
from _distances import draw as draw_distances
from _distances import judge as judge_distances

import jax
import jax.numpy as jnp
import numpy as np

import spectrax as sx
from spectrax import plotting
from spectrax.spectrum.laws.cumulative import cumulative

BASE = {"nu": 2.0, "omega": 1.0, "kappa0": 1.0}
FULL = {
    "sweeps": {"kappa0": (0.3, 0.7, 1.2), "omega": (0.25, 1.0, 4.0), "nu": (1.0, 4.0, 16.0)},
    "size": 800,
    "seeds": 4,
    "points": 300,
    "widths": tuple(float(x) for x in np.geomspace(1, 256, 9)),
    "sampled_widths": (1.0, 2.0, 4.0, 8.0),
    "omegas": (0.25, 1.0, 4.0),
    "steps": {"nu": 1.5, "omega": 1.0, "eta": 0.4, "gamma": 1.0},
    "step_points": 60,
    "distance_sizes": (50, 100, 200, 400, 800),
    "distance_seeds": 32,
    "distance_kappas": (0.3, 1.2),
    "distance_steps": 2,
    "nodes": 64,
}
QUICK = FULL | {
    "sweeps": {"kappa0": (0.3, 1.2), "omega": (0.25, 1.0), "nu": (1.0, 4.0)},
    "size": 60,
    "seeds": 2,
    "points": 40,
    "widths": (1.0, 4.0, 16.0),
    "sampled_widths": (1.0, 4.0),
    "omegas": (0.25, 1.0),
    "step_points": 6,
    "distance_sizes": (10, 20, 40),
    "distance_seeds": 4,
    "distance_steps": 1,  # the law of two steps takes minutes
    "nodes": 16,
}


def eigenvalues(W: np.ndarray) -> np.ndarray:
    """Of W^T W, descending."""
    return np.linalg.eigvalsh(W.T @ W)[::-1]


def sampled(rng, size: int, nu, omega, kappa0, exponent: float = 0.5) -> np.ndarray:
    """Eigenvalues of one finite W^T W / nu after one step."""
    D, N, C = size, round(nu * size), round(omega * size)
    W0, V = rng.normal(size=(N, D)) / np.sqrt(D), rng.normal(size=(C, N)) / np.sqrt(N)
    Theta = rng.normal(size=(C, D)) / np.sqrt(D)
    W = W0 + kappa0 * nu**exponent * V.T @ Theta
    return eigenvalues(W) / nu


def trained(rng, size: int, steps: int, nu, omega, eta, gamma) -> np.ndarray:
    """Eigenvalues after steps of both layers, own output in the error."""
    D, N, C = size, round(nu * size), round(omega * size)
    W, V = rng.normal(size=(N, D)) / np.sqrt(D), rng.normal(size=(C, N)) / np.sqrt(N)
    Theta = rng.normal(size=(C, D)) / np.sqrt(D)
    for _ in range(steps):
        E = Theta - V @ W / gamma
        W, V = W + eta * gamma * V.T @ E, V + eta * gamma / nu * E @ W.T
    return eigenvalues(W)


def curve(law, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Density on sine-spaced points between the edges."""
    low, high = (float(edge) for edge in law.edges())
    x = low + (high - low) * np.sin(np.linspace(0, np.pi / 2, points + 2)[1:-1]) ** 2
    return x, np.asarray(jax.jit(lambda x: law.density(x))(jnp.asarray(x)))


def compute_sweeps(settings: dict, rng, verdict: Verdict) -> dict:
    """Densities and samples for every value of every parameter, eigenvalues over nu."""
    out = {}
    for name, values in settings["sweeps"].items():
        for value in values:
            numbers = BASE | {name: value}
            law = sx.one_step_outputs(**numbers).scaled(1 / numbers["nu"])
            seeds = range(settings["seeds"])
            found = np.stack([sampled(rng, settings["size"], **numbers) for _ in seeds])
            out[name, value] = (*curve(law, settings["points"]), found)
            for power in (1, 2):
                moments = (found**power).mean(1)
                stderr = moments.std(ddof=1) / len(moments) ** 0.5
                theory = float(law.moment(power))
                verdict.measure("moments of the spectrum", theory, moments.mean(), stderr)
    return out


def compute_edges(settings: dict, rng) -> dict:
    """Upper edges of W^T W / nu against nu."""

    @jax.jit
    def edge(nu, omega, exponent):
        parameterization = sx.Parameterization(exponent, 0.0)
        law = sx.one_step_outputs(nu, omega, BASE["kappa0"], 1.0, parameterization)
        return law.edges()[1] / nu

    widths = np.array(settings["widths"])
    out = {"widths": widths}
    for name, exponent in (("mup", 0.5), ("ntk", 0.0)):
        out[name] = np.array([edge(nu, BASE["omega"], exponent) for nu in widths])
        tops = [
            np.mean(
                [
                    sampled(rng, settings["size"], nu, BASE["omega"], BASE["kappa0"], exponent)[0]
                    for _ in range(2)
                ]
            )
            for nu in settings["sampled_widths"]
        ]
        out[f"{name}_sampled"] = np.array(tops)
    out["initial"] = (1 + np.sqrt(widths)) ** 2 / widths
    for omega in settings["omegas"]:
        limit, slope = (float(x) for x in sx.wide_edge(omega, BASE["kappa0"]))
        found = np.array([edge(nu, omega, 0.5) for nu in widths])
        out[f"shift_{omega:g}"] = np.stack([widths / slope, found / limit - 1])
    return out


def trained_law(steps: int, nu, omega, eta, gamma) -> sx.Pencil:
    """The law of `trained`."""
    return sx.one_step_outputs(nu, omega, eta * gamma, 1.0, sx.ntk, gamma0=gamma, steps=steps)


def compute_steps(settings: dict, rng) -> dict:
    """One step against two, own output in the error."""
    s, out = settings["steps"], {}
    for steps in (1, 2):
        law = trained_law(steps, **s)
        values = np.concatenate(
            [trained(rng, settings["size"], steps, **s) for _ in range(settings["seeds"])]
        )
        x = np.linspace(0.02, 1.02 * values.max(), settings["step_points"])
        density = np.asarray(jax.jit(lambda x, law=law: law.density(x))(jnp.asarray(x)))
        out[steps] = (x, density, values)
    return out


def compute_distances(settings: dict, rng, verdict: Verdict) -> dict:
    """Distances of single matrices from their laws: name, (sizes, seeds)."""
    cases = {}
    for kappa0 in settings["distance_kappas"]:
        numbers = BASE | {"kappa0": kappa0}
        law = sx.one_step_outputs(**numbers).scaled(1 / numbers["nu"])
        cases[rf"$\kappa_0$ = {kappa0:g}"] = law, partial(sampled, rng, **numbers)
    steps, s = settings["distance_steps"], settings["steps"]
    case = partial(trained, rng, steps=steps, **s)
    cases[f"{steps} step" + "s" * (steps > 1)] = trained_law(steps, **s), case
    sizes, seeds, out = settings["distance_sizes"], range(settings["distance_seeds"]), {}
    for name, (law, case) in cases.items():
        function = cumulative(law, settings["nodes"])
        found = [[function.distance(case(size)) for _ in seeds] for size in sizes]
        out[name] = np.array(found)
        judge_distances(verdict, sizes, out[name])
    return out


def draw_spectra(ax, curves: dict, title: str, label) -> None:
    """Densities dashed over histograms."""
    for (value, (x, density, values)), color in zip(
        curves.items(), plotting.sequence(len(curves)), strict=True
    ):
        ax.hist(np.ravel(values), 70, density=True, color=color, alpha=0.35, lw=0)
        ax.plot(x, density, "--", color=color, lw=1.3, label=label(value))
    ax.set(title=title, ylabel="density")
    ax.legend()


def draw(settings: dict, sweeps: dict, edges: dict, steps: dict, distances: dict):
    """Spectra above; edges, their approach to infinite width, and distances below."""
    import matplotlib.pyplot as plt

    names = {"kappa0": r"$\kappa_0$", "omega": r"$\omega = C/D$", "nu": r"$\nu = N/D$"}
    with plotting.style():
        fig = plt.figure(figsize=(10.2, 5.8))
        grid = fig.add_gridspec(2, 12)
        for k, (name, symbol) in enumerate(names.items()):
            ax = fig.add_subplot(grid[0, 3 * k : 3 * k + 3])
            chosen = {value: found for (key, value), found in sweeps.items() if key == name}
            draw_spectra(ax, chosen, f"one step, {symbol}", lambda value: f"{value:g}")
            top = max(np.max(density[len(x) // 10 :]) for x, density, _ in chosen.values())
            ax.set(xlabel=r"eigenvalue of $W^\top W/\nu$", ylim=(0, 1.2 * top))
            if k:
                ax.set_ylabel("")
        ax = fig.add_subplot(grid[0, 9:])
        draw_spectra(ax, steps, "own output", lambda n: f"{n} step" + "s" * (n > 1))
        top = max(np.max(density[len(x) // 6 :]) for x, density, _ in steps.values())
        ax.set(xlabel=r"eigenvalue of $W^\top W$", ylim=(0, 1.3 * top), ylabel="")
        draw_edges(fig.add_subplot(grid[1, :4]), settings, edges)
        draw_collapse(fig.add_subplot(grid[1, 4:8]), settings, edges)
        ax = fig.add_subplot(grid[1, 8:])
        draw_distances(ax, settings["distance_sizes"], distances)
    plt.close(fig)
    return fig


def draw_edges(ax, settings: dict, edges: dict) -> None:
    """Upper edges against width, theory dashed, matrices as points."""
    for name, color in (("mup", "C0"), ("ntk", "C3")):
        label = {"mup": "µP", "ntk": "NTK"}[name]
        ax.semilogx(edges["widths"], edges[name], "--", color=color, label=label)
        ax.plot(settings["sampled_widths"], edges[f"{name}_sampled"], "o", ms=4, color=color)
    ax.plot(edges["widths"], edges["initial"], ":", color="0.4", label="at initialization")
    ax.set(xlabel=r"$\nu$", ylabel=r"upper edge of $W^\top W/\nu$", title="only µP moves it")
    ax.legend()


def draw_collapse(ax, settings: dict, edges: dict) -> None:
    """Distances of the edges from infinite width on one line."""
    omegas = settings["omegas"]
    for omega, color in zip(omegas, plotting.sequence(len(omegas)), strict=True):
        x, shift = edges[f"shift_{omega:g}"]
        ax.loglog(x, shift, "o--", ms=3.5, color=color, label=rf"$\omega$ = {omega:g}")
    grid = np.array([x.min(), x.max()])
    ax.plot(grid, 1 / grid, "k:", lw=1, label="first order")
    ax.set(xlabel=r"$\nu\,/\,[\sqrt{\omega}+\sigma^2/\kappa_0^2(1+\sqrt{\omega})]$")
    ax.set(ylabel="relative distance from infinite width", title="edges collapse")
    ax.legend()


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings, verdict = QUICK if args.quick else FULL, Verdict()
    rng = np.random.default_rng(args.seed)
    sweeps = compute_sweeps(settings, rng, verdict)
    edges, steps = compute_edges(settings, rng), compute_steps(settings, rng)
    distances = compute_distances(settings, rng, verdict)
    arrays = {f"edges_{name}": value for name, value in edges.items()}
    for (name, value), (x, density, values) in sweeps.items():
        arrays[f"{name}_{value:g}"] = np.stack([x, density])
        arrays[f"{name}_{value:g}_eigenvalues"] = values
    for count, (x, density, values) in steps.items():
        arrays[f"steps_{count}"] = np.stack([x, density])
        arrays[f"steps_{count}_eigenvalues"] = values
    for k, found in enumerate(distances.values()):
        arrays[f"distances_{k}"] = found
    figure = draw(settings, sweeps, edges, steps, distances)
    finish(args, "many_outputs", figure, arrays, verdict, BASE | settings)


if __name__ == "__main__":
    main()
