"""Outliers and the steps of their escape against the initialization sigma.

Learning decides where an outlier ends, initialization how far the bulk reaches: the threshold
sigma^2 sqrt(aspect) and the edge grow until they swallow what was learned. Small weights learn
late, large ones escape late or never: in between, the escape is earliest.
"""

import functools

import _sweep
from _common import arguments, finish

import jax
import numpy as np

import spectrax as sx

MODEL = {"depth": 2, "alpha": 4.0, "nu": 2.0, "eta": 0.01, "gamma0": 6.0}
FULL = {"num_steps": 80, "points": (0.4, 0.6, 0.8, 1.0, 1.2, 1.4), "size": 396, "num_seeds": 12}
QUICK = {"num_steps": 10, "points": (0.6, 1.2), "size": 24, "num_seeds": 2}


def build(sigma, num_steps: int) -> sx.DeepLinear:
    """The model at one initialization."""
    return sx.DeepLinear(**MODEL, sigma=sigma, num_steps=num_steps)


def main() -> None:
    """Compute, draw, write, compare."""
    args = arguments(__doc__)
    settings = QUICK if args.quick else FULL
    values = np.linspace(0.3, 1.5, 12 if args.quick else 97)
    at = functools.partial(build, num_steps=settings["num_steps"])
    theory, measured, verdict = _sweep.run(at, values, settings, jax.random.key(args.seed), "sigma")
    symbol = r"initialization scale $\sigma$"
    fig = _sweep.draw(values, theory, settings["points"], measured, symbol, settings["num_steps"])
    arrays = {"sigma": values, **theory, "sigma_networks": np.array(settings["points"])}
    arrays |= {f"networks_{key}": x for key, x in measured.items()}
    finish(args, "outliers_against_initialization", fig, arrays, verdict, {**MODEL, **settings})
    for layer in range(MODEL["depth"]):
        step, ratio = theory["escape_step"][:, layer], theory["ratio"][:, layer].max(axis=1)
        last, first = _sweep.crossing(values[::-1], ratio[::-1], 1.0), np.argmin(step)
        print(
            f"W{layer}: escape is earliest, at step {step[first]:.1f}, for sigma = "
            f"{values[first]:.2f}; no outlier beyond sigma = {last:.2f}"
        )


if __name__ == "__main__":
    main()
