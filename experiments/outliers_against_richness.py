"""Outliers and the steps of their escape against the richness gamma0.

A continuous curve from theory, networks at a few values: below a critical gamma0 nothing ever
escapes; above it outliers come out sooner and go farther the richer the training.
"""

import functools

import _sweep
from _common import arguments, finish

import jax
import numpy as np

import spectrax as sx

MODEL = {"depth": 2, "alpha": 4.0, "nu": 2.0, "eta": 0.01}
FULL = {"num_steps": 64, "points": (2.0, 4.0, 6.0, 8.0, 10.0, 12.0), "size": 396, "num_seeds": 12}
QUICK = {"num_steps": 10, "points": (4.0, 12.0), "size": 24, "num_seeds": 2}


def build(gamma0, num_steps: int) -> sx.DeepLinear:
    """The model at one richness."""
    return sx.DeepLinear(**MODEL, gamma0=gamma0, num_steps=num_steps)


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    values = np.linspace(1.5, 12.5, 12 if args.quick else 89)
    at = functools.partial(build, num_steps=settings["num_steps"])
    theory, measured, verdict = _sweep.run(
        at, values, settings, jax.random.key(args.seed), "gamma0"
    )
    fig = _sweep.draw(
        values, theory, settings["points"], measured, r"richness $\gamma_0$", settings["num_steps"]
    )
    arrays = {"gamma0": values, **theory, "gamma0_networks": np.array(settings["points"])}
    arrays |= {f"networks_{key}": x for key, x in measured.items()}
    finish(args, "outliers_against_richness", fig, arrays, verdict, {**MODEL, **settings})
    for layer in range(MODEL["depth"]):
        critical = _sweep.crossing(values, theory["ratio"][:, layer].max(axis=1), 1.0)
        print(f"W{layer}: outliers from gamma0 = {critical:.2f} on")


if __name__ == "__main__":
    main()
