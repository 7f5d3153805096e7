"""Flax networks, trained by the loop of `models`, under the curves of the theory.

A wide tanh network on a single-index target, a deep linear network, and a two-layer linear network
with as many outputs as width after one step: losses, largest eigenvalues, and the moved bulk.
"""

from _common import Verdict, arguments, finish

import jax
import jax.numpy as jnp
import numpy as np

import spectrax as sx
from models.training import train
from models.twin import loss_of_theory, twin
from spectrax import plotting
from spectrax.plotting.style import draw_ensemble

FULL = {
    "wide": {"num_steps": 16, "eta": 0.3, "gammas": (1.0, 2.0, 4.0), "size": 1000},
    "linear": {"num_steps": 40, "eta": 0.02, "gammas": (3.0, 6.0, 10.0), "size": 300},
    "linear_ratios": {"alpha": 4.0, "nu": 1.0},
    "outputs": {"nu": 1.5, "omega": 1.0, "eta": 0.4, "gamma0": 1.5, "samples": 3.0, "size": 400},
    "etas": (0.15, 0.4, 0.8),
    "seeds": 16,
    "snapshots": 8,
    "neurons": 8192,
    "points": 200,
}
QUICK = FULL | {
    "wide": {"num_steps": 4, "eta": 0.3, "gammas": (2.0,), "size": 40},
    "linear": {"num_steps": 6, "eta": 0.02, "gammas": (4.0,), "size": 40},
    "outputs": FULL["outputs"] | {"size": 40},
    "etas": (0.4,),
    "seeds": 2,
    "snapshots": 2,
    "neurons": 256,
    "points": 8,
}


def wide_model(settings: dict, gamma0: float, seed: int) -> sx.WideNetwork:
    """A tanh network on a single-index target."""
    rng, s = np.random.default_rng(seed), settings["wide"]
    x, direction = rng.normal(size=(6, 20)), rng.normal(size=20)
    y = np.tanh(2 * x @ direction / np.linalg.norm(direction))
    return sx.WideNetwork(2, s["num_steps"], inputs=x, targets=y, eta=s["eta"], gamma0=gamma0)


def linear_model(settings: dict, gamma0: float, seed: int) -> sx.DeepLinear:
    """Two hidden layers; the data are those of each network's own seed."""
    s = settings["linear"]
    ratios = settings["linear_ratios"]
    model = sx.DeepLinear(2, s["num_steps"], eta=s["eta"], gamma0=gamma0, **ratios)
    return model.rounded(s["size"])[0]


def ensemble(model, size: int, settings: dict, key) -> dict:
    """Losses of every step, and the largest eigenvalue of the hidden weight at some."""
    count = min(settings["snapshots"], model.num_steps)
    steps = tuple(int(x) for x in np.linspace(0, model.num_steps, count + 1).round()[1:])
    losses, tops = [], []
    for seed_key in jax.random.split(key, settings["seeds"]):
        network, transformation, data = twin(model, size, key=seed_key)
        record = train(
            network,
            transformation,
            data,
            loss_of_theory(model),
            num_steps=model.num_steps,
            batch_size=data.batch_size,
            snapshots=steps,
        )
        losses.append(2 * record.losses)  # the theory reports the squared error without the half
        matrices = [record.weights(step)["W/1"] for step in steps]
        tops.append([sx.top_eigenvalues(W / W.shape[1] ** 0.5)[0] for W in matrices])
    return {"steps": steps, "losses": np.array(losses), "tops": np.array(tops, float)}


def estimate(values: np.ndarray) -> sx.Estimate:
    """Mean over networks, the first axis, and its standard error."""
    return sx.Estimate(values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5)


def compute(settings: dict, args, verdict: Verdict) -> dict:
    """Theory and networks of both kinds for every gamma0."""
    out, key = {}, jax.random.key(args.seed)
    limit = sx.SampledLimit(settings["neurons"], key=jax.random.key(1))
    for kind, build in (("wide", wide_model), ("linear", linear_model)):
        for gamma0 in settings[kind]["gammas"]:
            key, subkey = jax.random.split(key)
            model = build(settings, gamma0, args.seed)
            solution = sx.solve(model, interpreter=limit if kind == "wide" else None)
            path = sx.outlier_path(solution.weights(1))
            found = ensemble(model, settings[kind]["size"], settings, subkey)
            losses, tops = estimate(found["losses"]), estimate(found["tops"])
            verdict.measure(f"loss, {kind}", solution.train_loss, losses.mean, losses.stderr)
            steps = list(found["steps"])
            clear = np.asarray(path.strength[:, 0])[steps] > 1.3  # see README: near the edge
            if clear.any():
                theory = np.asarray(path.location[:, 0])[steps][clear]
                measured = (tops.mean[clear], tops.stderr[clear])
                verdict.measure(f"outlier, {kind}", theory, *measured)
            out[kind, gamma0] = {
                "theory_loss": np.asarray(solution.train_loss),
                "theory_top": np.asarray(path.location[:, 0]),
                **found,
            }
    return out


def compute_outputs(settings: dict, args, verdict: Verdict) -> dict:
    """Spectra of W^T W of the first layer after one step with many outputs."""
    s, out = settings["outputs"], {}
    classes = round(s["omega"] * s["size"])
    for index, eta in enumerate(settings["etas"]):
        model = sx.DeepLinear(
            1,
            1,
            alpha=s["samples"],
            nu=s["nu"],
            eta=eta,
            gamma0=s["gamma0"],
            num_classes=classes,
            parameterization=sx.ntk,
        )
        key = jax.random.fold_in(jax.random.key(args.seed), 100 + index)
        values = []
        for seed_key in jax.random.split(key, max(2, settings["seeds"] // 4)):
            network, transformation, data = twin(model, s["size"], key=seed_key)
            loss = loss_of_theory(model)
            train(network, transformation, data, loss, num_steps=1, batch_size=data.batch_size)
            W = np.asarray(network.matrix(0), float)
            values.append(np.linalg.svd(W, compute_uv=False) ** 2)
        values = np.array(values)
        law = sx.one_step_outputs(
            s["nu"],
            classes / s["size"],
            eta * s["gamma0"],
            parameterization=sx.ntk,
            gamma0=s["gamma0"],
            samples=s["samples"],
        )
        low, high = (float(edge) for edge in law.edges())
        x = low + (high - low) * np.sin(np.linspace(0, np.pi / 2, settings["points"] + 2)) ** 2
        x = x[1:-1]
        density = np.asarray(jax.jit(lambda x, law=law: law.density(x))(jnp.asarray(x)))
        for power in (1, 2):
            moments = estimate((values**power).mean(1))
            verdict.measure(
                "moments, outputs", float(law.moment(power)), moments.mean, moments.stderr
            )
        out[eta] = {"x": x, "density": density, "eigenvalues": values}
    return out


def draw(settings: dict, trained: dict, outputs: dict):
    """Losses above, largest eigenvalues below, the moved bulk on the right."""
    import matplotlib.pyplot as plt

    titles = {"wide": "wide tanh network", "linear": "deep linear network"}
    with plotting.style():
        fig = plt.figure(figsize=(10.2, 5.6))
        grid = fig.add_gridspec(2, 3)
        for column, kind in enumerate(titles):
            loss, top = (fig.add_subplot(grid[row, column]) for row in range(2))
            gammas = settings[kind]["gammas"]
            for gamma0, color in zip(gammas, plotting.sequence(len(gammas)), strict=True):
                found = trained[kind, gamma0]
                steps = np.arange(len(found["theory_loss"]))
                loss.plot(steps, found["theory_loss"], "--", color=color)
                draw_ensemble(loss, steps, estimate(found["losses"]), color=color)
                label = rf"$\gamma_0 = {gamma0:g}$"
                top.plot(found["theory_top"], "--", color=color, label=label)
                tops = estimate(found["tops"])
                draw_ensemble(top, found["steps"], tops, color=color, points=True)
            top.axhline(4.0, color="0.6", lw=0.8, zorder=0)
            loss.set(title=titles[kind] + ", theory dashed", ylabel="loss", yscale="log")
            top.set(xlabel="step $t$", ylabel=r"$\lambda_{\max}$ of $W^1$")
            top.legend()
        ax = fig.add_subplot(grid[:, 2])
        colors = plotting.sequence(len(outputs))
        for (eta, found), color in zip(outputs.items(), colors, strict=True):
            ax.hist(found["eigenvalues"].ravel(), 40, density=True, color=color, alpha=0.35, lw=0)
            ax.plot(found["x"], found["density"], "--", color=color, label=rf"$\eta = {eta:g}$")
        ax.set(yscale="log", ylim=(1e-3, 3.0), title="as many outputs as inputs, one step")
        ax.set(xlabel=r"eigenvalue of $W^{0\top}W^0$", ylabel="density")
        ax.legend()
    plt.close(fig)
    return fig


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings, verdict = QUICK if args.quick else FULL, Verdict()
    trained = compute(settings, args, verdict)
    outputs = compute_outputs(settings, args, verdict)
    arrays = {
        f"{kind}_{gamma0:g}_{name}": np.asarray(value)
        for (kind, gamma0), found in trained.items()
        for name, value in found.items()
    }
    for eta, found in outputs.items():
        arrays |= {f"outputs_{eta:g}_{name}": value for name, value in found.items()}
    figure = draw(settings, trained, outputs)
    finish(args, "flax_networks_against_theory", figure, arrays, verdict, settings)


if __name__ == "__main__":
    main()
