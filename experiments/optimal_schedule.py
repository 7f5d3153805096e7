"""The learning-rate schedule with the lowest last loss, found by gradient through the theory.

Fresh samples with label noise at every step: a constant rate learns fast or averages the noise,
a schedule does both. One reverse pass gives the derivative in the rates of all steps at once; the
schedule of one width is then tried on the others.
"""

from _common import Verdict, arguments, counter, finish

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import spectrax as sx
from spectrax import plotting
from spectrax.plotting.style import draw_ensemble

MODEL = {"depth": 2, "alpha": 1.0, "gamma0": 4.0, "label_noise": 0.25, "data": "online"}
FULL = {"num_steps": 60, "size": 500, "num_seeds": 16, "widths": (1, 2, 4), "iterations": 300}
QUICK = {"num_steps": 6, "size": 24, "num_seeds": 2, "widths": (1, 2), "iterations": 3}


def build(settings: dict, width, eta) -> sx.DeepLinear:
    """The model at one width; eta is a rate or a schedule."""
    return sx.DeepLinear(**MODEL, num_steps=settings["num_steps"], nu=width, eta=eta)


@eqx.filter_jit
def descend(settings: dict, width):
    """Best constant rate, best schedule, and the last loss along the descent in log rates."""

    def loss(log_eta):
        return sx.solve(build(settings, width, jnp.exp(log_eta)), throw=False).test_loss[-1]

    constant = sx.optimal_lr(build(settings, width, 0.1))
    start = jnp.full(settings["num_steps"], jnp.log(constant))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, settings["iterations"]))

    def step(carry, _):
        log_eta, state, best = carry
        value, slope = jax.value_and_grad(loss)(log_eta)
        best = jax.tree.map(
            lambda new, old: jnp.where(value < best[0], new, old), (value, log_eta), best
        )
        updates, state = optimizer.update(jnp.nan_to_num(slope), state)
        return (log_eta + updates, state, best), value

    carry = (start, optimizer.init(start), (jnp.inf, start))
    (_, _, (_, log_eta)), values = jax.lax.scan(step, carry, length=settings["iterations"])
    return constant, jnp.exp(log_eta), values


def theory(settings: dict) -> dict:
    """Rates, schedules, descents of every width; losses with the schedule of every other width."""
    widths = [jnp.asarray(float(w)) for w in settings["widths"]]
    found = [descend(settings, width) for width in widths]
    constants, schedules, descents = (jnp.stack(x) for x in zip(*found, strict=True))

    @jax.jit
    def path(width, eta):
        eta = jnp.broadcast_to(eta, (settings["num_steps"],))
        return sx.solve(build(settings, width, eta), throw=False).test_loss

    own = {"constant": constants, "schedule": schedules}
    losses = {
        name: np.stack([path(w, eta) for w, eta in zip(widths, rates, strict=True)])
        for name, rates in own.items()
    }
    moved = np.array([[path(w, eta)[-1] for eta in schedules] for w in widths])
    return {
        "constants": np.asarray(constants),
        "schedules": np.asarray(schedules),
        "descents": np.asarray(descents),
        "losses_constant": losses["constant"],
        "losses_schedule": losses["schedule"],
        "last_loss_with_schedule_of": moved,
    }


def networks(settings: dict, found: dict, key, verdict: Verdict) -> dict:
    """Test losses of networks of the first width, with its best rate and its best schedule."""
    out, width = {}, float(settings["widths"][0])
    for k, name in enumerate(("constant", "schedule")):
        ensemble = sx.simulate(
            build(settings, width, found[f"{name}s"][0]),
            settings["size"],
            key=jax.random.fold_in(key, k),
            num_seeds=settings["num_seeds"],
            progress=counter(name),
        )
        out[name] = ensemble.test_loss
        verdict.add(name, sx.compare(sx.solve(ensemble.model), ensemble))
    return out


def draw(found: dict, simulated: dict, settings: dict):
    """Schedules of all widths; losses of the first width.

    The rate of the last step is left out: nothing is measured after it.
    """
    import matplotlib.pyplot as plt

    steps = np.arange(settings["num_steps"])
    with plotting.style():
        fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.2))
        colors = plotting.sequence(len(settings["widths"]))
        for i, (width, color) in enumerate(zip(settings["widths"], colors, strict=True)):
            left.plot(
                steps[:-1], found["schedules"][i][:-1], color=color, label=f"$\\nu = {width}$"
            )
            left.axhline(found["constants"][i], color=color, ls=":", lw=0.9)
        left.plot([], [], ":", color="0.3", lw=0.9, label="best constant rate")
        left.set(xlabel="step $t$", ylabel=r"learning rate $\eta_t$", yscale="log")
        left.set_title("best schedule of each width")
        left.legend(loc="lower left")
        for name, color in zip(("constant", "schedule"), ("0.45", colors[0]), strict=True):
            estimate = simulated[name]
            points = sx.Estimate(np.asarray(estimate.mean)[::4], np.asarray(estimate.stderr)[::4])
            draw_ensemble(right, steps[::4], points, color=color, points=True)
            label = {"constant": "best constant rate", "schedule": "best schedule"}[name]
            right.plot(steps, found[f"losses_{name}"][0], color=color, label=f"{label}, theory")
        right.errorbar([], [], [], fmt="o", ms=3, capsize=2, color="0.3", label="networks ± s.e.")
        right.set(xlabel="step $t$", ylabel="test loss", yscale="log")
        right.set_title(f"$\\nu = {settings['widths'][0]}$")
        right.legend()
        fig.draw_without_rendering()
    plt.close(fig)
    return fig


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    verdict, found = Verdict(), theory(settings)
    simulated = networks(settings, found, jax.random.key(args.seed), verdict)
    arrays = dict(found)
    for name, estimate in simulated.items():
        arrays |= {
            f"networks_{name}_mean": estimate.mean,
            f"networks_{name}_stderr": estimate.stderr,
        }
    figure = draw(found, simulated, settings)
    finish(args, "optimal_schedule", figure, arrays, verdict, {**MODEL, **settings})
    print("last test loss with")
    print("  the best constant rate:", found["losses_constant"][:, -1])
    print("  the best schedule:     ", found["losses_schedule"][:, -1])
    print("  width (row) with the schedule of width (column):")
    print(found["last_loss_with_schedule_of"])


if __name__ == "__main__":
    main()
