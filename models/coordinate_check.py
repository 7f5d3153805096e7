"""Does a network keep its parameterization? A few steps at several widths, µP beside standard.

    python -m models.coordinate_check --model gpt --out results

Writes the sizes of all updates, their slopes against width and a figure, and prints a verdict.
"""

import argparse
import functools
import os
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.cnn import CNN
from models.coordinates import Coordinates, coordinate_check
from models.gpt import GPT
from models.loss import cross_entropy, token_cross_entropy
from models.optimizer import optimizer
from models.resnet import ResNet18

TOLERANCE = 0.1  # of |slope| in µP, two standard errors included
PARAMETERIZATIONS = {"mup": "µP", "standard": "standard"}
FIRST = ("input", "input_norm", "embedding")  # layers before the blocks


class Case(NamedTuple):
    """What one network is checked with: the rates that the experiments train with."""

    widths: tuple[int, ...]
    optimizer: str
    learning_rate: float
    num_samples: int
    num_seeds: int


CASES = {
    "cnn": Case((32, 64, 128, 256), "sgd", 0.03, 2, 96),
    "gpt": Case((64, 128, 256), "adam", 1e-2, 1, 32),
    "resnet": Case((16, 48, 128), "adam", 2e-3, 1, 16),
}


def network(model: str, base: int, parameterization: str, width: int, rngs: nnx.Rngs):
    """One of the networks; a readout that starts at zero for Adam (see `models.coordinates`)."""
    options = {"parameterization": parameterization, "base_width": base, "rngs": rngs}
    if model == "cnn":
        return CNN(width, 2, base_blocks=2, stride=2, **options)
    if model == "resnet":
        return ResNet18(width, num_classes=10, readout_sigma=0.0, **options)
    options |= {"base_layers": 2, "base_head_size": 16, "readout_sigma": 0.0}
    return GPT(width, width // 16, 2, vocab_size=64, **options)


def data(model: str, count: int, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Random images with random classes, or random tokens."""
    first, second = jax.random.split(key)
    if model == "gpt":
        tokens = jax.random.randint(first, (count, 17), 0, 64, jnp.int32)
        return tokens[:, :-1], tokens[:, 1:]
    size = 32 if model == "resnet" else 8
    images = jax.random.normal(first, (count, size, size, 3), jnp.float32)
    return images, jax.random.randint(second, (count,), 0, 10, jnp.int32)


def check(
    model: str,
    parameterization: str,
    *,
    widths: tuple[int, ...] | None = None,
    num_steps: int = 4,
    num_seeds: int | None = None,
    seed: int = 0,
) -> Coordinates:
    """Coordinate check of one network; the smallest width is the base width.

    Args:
        model: "cnn", "gpt" or "resnet".
        parameterization: "mup" or "standard".
        widths: those of `CASES` if not given.
        num_steps: steps of training.
        num_seeds: independent initial values; those of `CASES` if not given.
        seed: of data and initial values.

    Returns:
        Sizes of all updates and their slopes.
    """
    case = CASES[model]
    widths = case.widths if widths is None else widths
    for_data, for_networks = jax.random.split(jax.random.key(seed))
    inputs, targets = data(model, case.num_samples, for_data)

    def transformation(built):
        rates = {"learning_rate": case.learning_rate, "num_steps": num_steps}
        return optimizer(built, built.scaling, name=case.optimizer, **rates)

    return coordinate_check(
        functools.partial(network, model, widths[0], parameterization),
        widths,
        transformation=transformation,
        loss=token_cross_entropy if model == "gpt" else cross_entropy,
        inputs=inputs,
        targets=targets,
        num_steps=num_steps,
        num_seeds=case.num_seeds if num_seeds is None else num_seeds,
        key=for_networks,
    )


def ordered(names) -> list[str]:
    """Layers from the input to the readout."""
    return sorted(names, key=lambda name: name.split(".")[0] not in FIRST)


def draw(found: dict[str, Coordinates]):
    """Changes over their value at base width, one curve for each layer; and all slopes."""
    import matplotlib.pyplot as plt

    from spectrax import plotting

    names = ordered(found["mup"].outputs)
    with plotting.style():
        height = max(3.4, 0.6 + 0.13 * len(names))
        fig, axes = plt.subplots(1, 3, figsize=(10.2, height), width_ratios=(1, 1, 1.2))
        for ax, (key, title) in zip(axes, PARAMETERIZATIONS.items(), strict=False):
            draw_changes(ax, found[key], names)
            ax.set(title=title)
        low = min(ax.get_ylim()[0] for ax in axes[:2])
        high = max(ax.get_ylim()[1] for ax in axes[:2])
        for ax in axes[:2]:
            ax.set_ylim(low, high)
        draw_slopes(axes[2], found, names)
    plt.close(fig)
    return fig


def draw_changes(ax, coordinates: Coordinates, names: list[str]) -> None:
    """One curve for each layer, dark to bright from input to readout; ± the tolerance in grey."""
    from spectrax import plotting

    widths = np.array(coordinates.widths)
    for name, color in zip(names, plotting.sequence(len(names)), strict=True):
        size = np.mean(coordinates.outputs[name], axis=1)
        label = name if name in (names[0], names[-1]) else None
        ax.loglog(widths, size / size[0], "o-", ms=2.5, lw=0.9, color=color, label=label)
    ratio = widths / widths[0]
    ax.fill_between(widths, ratio**-TOLERANCE, ratio**TOLERANCE, color="0.85", lw=0, zorder=0)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.minorticks_off()
    ax.set(xlabel="width", ylabel="change of output / that at base width")
    ax.legend(loc="upper left")


def draw_slopes(ax, found: dict[str, Coordinates], names: list[str]) -> None:
    """Slopes with standard errors, one row for each layer."""
    rows = np.arange(len(names))
    ax.axvspan(-TOLERANCE, TOLERANCE, color="0.85", lw=0, zorder=0)
    for (key, label), color in zip(PARAMETERIZATIONS.items(), ("C0", "C3"), strict=True):
        slopes, stderr = found[key].slopes, found[key].stderr
        x, error = ([values[name] for name in names] for values in (slopes, stderr))
        ax.errorbar(x, rows, xerr=error, fmt="o", ms=3, lw=1, color=color, label=label)
    ax.set_yticks(rows, names, fontsize=5.5)
    ax.invert_yaxis()
    ax.set(xlabel="slope", title="log change against log width")
    ax.legend()


def judge(found: Coordinates) -> str:
    """Whether all slopes are within the tolerance, by two standard errors."""
    names = found.slopes | found.weight_slopes
    sizes = np.abs(list(names.values()))
    errors = 2 * np.array([found.stderr[name] for name in names])
    if (sizes - errors > TOLERANCE).any():
        return "FAILS"
    return "holds" if (sizes + errors <= TOLERANCE).all() else "cannot be judged (more seeds?)"


def verdict(found: dict[str, Coordinates]) -> str:
    """One line."""
    (name, value), (other, large) = (found[key].worst for key in PARAMETERIZATIONS)
    error = found["mup"].stderr[name]
    return (
        f"µP {judge(found['mup'])}: largest slope {value:+.3f} ± {error:.3f} ({name}), "
        f"tolerance {TOLERANCE}; standard parameterization: {large:+.3f} ({other})."
    )


def table(found: dict[str, Coordinates]) -> list[dict]:
    """One row for each layer."""
    mup, standard = found["mup"], found["standard"]
    return [
        {
            "layer": name,
            "mup": mup.slopes[name],
            "mup_stderr": mup.stderr[name],
            "standard": standard.slopes[name],
            "standard_stderr": standard.stderr[name],
        }
        for name in ordered(mup.slopes)
    ]


def main(argv: list[str] | None = None) -> None:
    """Check, draw, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=CASES, required=True)
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"), help="%(default)s"
    )
    parser.add_argument("--widths", type=int, nargs="+", help="the first one is the base width")
    parser.add_argument("--steps", type=int, default=4, help="%(default)s")
    parser.add_argument("--seeds", type=int, help="independent networks at each width")
    parser.add_argument("--seed", type=int, default=0, help="%(default)s")
    args = parser.parse_args(argv)
    os.environ.setdefault("MPLBACKEND", "Agg")
    from spectrax import records

    records.require_folder(parser, args.out)

    options = {"num_steps": args.steps, "num_seeds": args.seeds, "seed": args.seed}
    options["widths"] = args.widths and tuple(args.widths)
    found = {name: check(args.model, name, **options) for name in PARAMETERIZATIONS}
    rows, line = table(found), verdict(found)
    arrays = {"widths": np.array(found["mup"].widths)}
    for key, coordinates in found.items():
        for kind in ("outputs", "weights"):
            for name, values in getattr(coordinates, kind).items():
                arrays[f"{key}/{kind}/{name}"] = values
    record = {"model": args.model, "settings": CASES[args.model]._asdict(), "options": options}
    record |= {"slopes": rows, "verdict": line}
    record["weight_slopes"] = {key: found[key].weight_slopes for key in found}
    name = f"coordinate_check_{args.model}"
    paths = records.write(args.out, name, draw(found), arrays, record)
    print(f"{'layer':<32}{'µP':>8}{'± s.e.':>8}{'standard':>10}{'± s.e.':>8}")
    for row in rows:
        layer, *values = row.values()
        print(f"{layer:<32}{values[0]:>8.3f}{values[1]:>8.3f}{values[2]:>10.3f}{values[3]:>8.3f}")
    print(line)
    print("written:", *paths, sep="\n  ")


if __name__ == "__main__":
    main()
