"""What the experiments on trained Flax networks share: presets, trainings, spectra, claims.

`--preset small` runs offline in minutes on two cores; `--preset paper` has the paper's settings and
needs its data (`--data`); `--synthetic` replaces the data by noise of the right shapes. Trainings
are kept in `--work` and continued from there when they were interrupted.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # the checkout's own packages
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # see _common.py

import numpy as np  # noqa: E402

import spectrax as sx  # noqa: E402
from models.roles import hidden_kernels  # noqa: E402
from models.training import log_spaced, train  # noqa: E402
from spectrax import plotting, records  # noqa: E402
from spectrax.empirical.measure import FINITE, MISFIT  # noqa: E402


def arguments(doc: str) -> argparse.Namespace:
    """Options of every experiment on trained networks; single precision."""
    parser = argparse.ArgumentParser(description=doc.strip().splitlines()[0])
    add = parser.add_argument
    add("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"), help="%(default)s")
    add("--preset", choices=("small", "paper"), default="small", help="%(default)s")
    add("--data", type=pathlib.Path, help="folder of the data of the paper preset")
    add("--synthetic", action="store_true", help="noise of the right shapes instead of data")
    add("--steps", type=int, help="steps of every training, instead of the preset's")
    add("--batch-size", type=int, help="samples of every step, instead of the preset's")
    add("--narrowest", action="store_true", help="one network: the narrowest, the first seed")
    add("--work", type=pathlib.Path, help="folder of the trainings (OUT/NAME-trainings)")
    add("--quick", action="store_true", help="tiny networks: does it run at all?")
    add("--seed", type=int, default=0, help="of the first of the networks (%(default)s)")
    args = parser.parse_args()
    args.started = time.perf_counter()
    records.require_folder(parser, args.out)
    if args.preset == "paper" and not args.synthetic and args.data is None:
        parser.error("the paper preset needs --data FOLDER, or --synthetic to try it on noise")
    return args


def chosen(args: argparse.Namespace, presets: dict[str, dict], quick: dict, dials: tuple) -> dict:
    """The settings that the options ask for.

    Args:
        args: what `arguments` returned.
        presets: settings by name of the preset.
        quick: what `--quick` changes.
        dials: names of the settings that are swept, tuples of which `--narrowest` keeps the first.
    """
    settings = presets[args.preset] | (quick if args.quick else {})
    if args.steps is not None:
        settings |= {"num_steps": args.steps}
    if args.batch_size is not None:
        micro = min(settings.get("accumulate", 1), args.batch_size)
        settings |= {"batch_size": args.batch_size, "accumulate": micro}
    if args.narrowest:
        settings |= {name: settings[name][:1] for name in dials} | {"seeds": 1}
    return settings


def excess(found: sx.WeightSpectrum) -> float:
    """Distance of the bulk from the random law, in units of what `measure_spectrum` tolerates."""
    return found.ks / (MISFIT + FINITE / min(found.shape))


MEASURES = {
    "outliers": lambda found: found.beyond,
    "share": lambda found: found.beyond / min(found.shape),
    "top": lambda found: found.top / found.sigma**2,
    "over_edge": lambda found: found.top / found.edge,
    "edge": lambda found: found.edge * found.shape[1],
    "sigma": lambda found: found.sigma,
    "ks": lambda found: found.ks,
    "excess": excess,
}


def measured(
    args: argparse.Namespace,
    name: str,
    settings: dict,
    dials: dict,
    model,
    transformation,
    data,
    loss: Callable,
    kernels: list[str] | None = None,
) -> dict:
    """Train one network and measure its hidden kernels, square unfolding, at every snapshot.

    Args:
        args: what `arguments` returned.
        name: of the experiment.
        settings: of all its networks.
        dials: what is special to this one, the seed included.
        model: network; its kernels are named by `models.roles.hidden_kernels`.
        transformation: optimizer.
        data: of `models.data`.
        loss: of `models.loss`.
        kernels: those that are measured; all hidden ones by default.

    Returns:
        Steps, loss, the mean of every entry of MEASURES over the kernels (snapshots,), the final
        spectra by name, and where the training diverged, or None.
    """
    num_steps = settings["num_steps"]
    record = train(
        model,
        transformation,
        data,
        loss,
        num_steps=num_steps,
        batch_size=settings["batch_size"],
        accumulate=settings["accumulate"],
        snapshots=log_spaced(1, num_steps, max(2, settings["snapshots"])),
        folder=training_folder(args, name, dials),
        save_every=max(1, num_steps // 10),
        parameters=json.loads(records.to_json(settings | dials)),
    )
    kernels = list(hidden_kernels(model)) if kernels is None else kernels
    label = ", ".join(f"{key} {value:g}" for key, value in dials.items())
    print(f"{label}: {record.message}", flush=True)
    found = []
    for step in record.snapshots:
        weights = record.weights(step)
        try:
            spectra = {
                kernel: sx.measure_spectrum(weights[kernel.replace(".", "/")], layout="in_out")
                for kernel in kernels
            }
        except ValueError as error:  # weights that explode have no bulk
            print(f"{label}: spectra end before step {step}. {error}", flush=True)
            break
        found.append(spectra)
    means = {
        key: np.array([np.mean([measure(x) for x in spectra.values()]) for spectra in found])
        for key, measure in MEASURES.items()
    }
    return means | {
        "steps": np.array(record.snapshots[: len(found)]),
        "loss": np.where(np.isfinite(record.losses), record.losses, np.inf),
        "spectra": found[-1],
        "diverged_at": record.diverged_at,
    }


def sweep(run: Callable, settings: dict, first_seed: int, *dials: str) -> dict[tuple, dict]:
    """Results of all combinations of the dials' values and of the seeds, by those values."""
    values = [settings[name] for name in dials]
    return {
        (*setting, seed): run(*setting, first_seed + seed)
        for setting in itertools.product(*values)
        for seed in range(settings["seeds"])
    }


def over_training(ax, group: list[dict], name: str, *, factor=1, style="o-", **options) -> None:
    """Mean over seeds of one measure against the step times a factor, and its range.

    Only steps that every seed has reached: a training that diverged ends early.
    """
    steps = functools.reduce(np.intersect1d, [found["steps"] for found in group])
    x = factor * np.where(steps > 0, steps, 0.5)  # the start, on the logarithmic axis
    values = np.array([found[name][np.isin(found["steps"], steps)] for found in group])
    (line,) = ax.plot(x, values.mean(0), style, ms=3, **options)
    low, high = values.min(0), values.max(0)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, lw=0)
    ax.set_xscale("log")


def at_the_end(ax, x, groups: list[list[dict]], name: str, **options) -> None:
    """Mean over seeds of one measure at the end of training, with standard errors."""
    values = np.array([[found[name][-1] for found in group] for group in groups])
    count = values.shape[1]
    stderr = values.std(1, ddof=1) / count**0.5 if count > 1 else None
    ax.errorbar(x, values.mean(1), stderr, fmt="o-", ms=3, **options)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A number that a claim bounds, measured once for each seed.

    Reproduced if every seed lies within the bounds, not reproduced if none does, else undecided;
    a single seed decides nothing.
    """

    text: str
    values: np.ndarray
    low: float = -np.inf
    high: float = np.inf

    @property
    def verdict(self) -> str:
        """In one word or two."""
        values = np.asarray(self.values, float)
        inside = (values >= self.low) & (values <= self.high)
        if len(values) < 2 or inside.any() != inside.all():
            return "undecided"
        return "reproduced" if inside.all() else "not reproduced"

    def summary(self) -> dict:
        """For the sidecar."""
        values = np.asarray(self.values, float)
        return {
            "claim": self.text,
            "verdict": self.verdict,
            "mean": values.mean(),
            "spread": values.std(ddof=1) if len(values) > 1 else None,
            "values": values,
            "at_least": self.low if np.isfinite(self.low) else None,
            "at_most": self.high if np.isfinite(self.high) else None,
        }

    def __str__(self) -> str:
        values = np.asarray(self.values, float)
        spread = f" ± {values.std(ddof=1):.2g}" if len(values) > 1 else ""
        bounds = [f"at least {self.low:g}"] * bool(np.isfinite(self.low))
        bounds += [f"at most {self.high:g}"] * bool(np.isfinite(self.high))
        seeds = f"{len(values)} seed{'s' * (len(values) > 1)}"
        found = f"{values.mean():.3g}{spread} ({seeds}; {', '.join(bounds)})"
        return f"{self.verdict:>14}: {self.text}: {found}"


def finish(
    args: argparse.Namespace,
    name: str,
    settings: dict,
    results: dict[tuple, dict],
    label: Callable,
    claims: list[Claim],
    figure,
) -> None:
    """Write figure, data and sidecar; print the verdicts.

    Args:
        args: what `arguments` returned.
        name: of the experiment.
        settings: of all its networks.
        results: of `sweep`.
        label: from a setting to the first part of the names of its arrays.
        claims: to be judged.
        figure: to be written.
    """
    labelled = {label(*key): found for key, found in results.items()}
    arrays = {
        f"{first}_{key}": found[key]
        for first, found in labelled.items()
        for key in ("steps", "loss", *MEASURES)
    }
    ends = {first: found["diverged_at"] for first, found in labelled.items()}
    record = {
        "experiment": name,
        "preset": args.preset,
        "quick": args.quick,
        "synthetic": args.synthetic,
        "seed": args.seed,
        "settings": settings,
        "claims": [claim.summary() for claim in claims],
        "diverged_at": {first: step for first, step in ends.items() if step is not None},
        "seconds": round(time.perf_counter() - args.started, 1),
    }
    with plotting.style():  # its resolution
        paths = records.write(args.out, name, figure, arrays, record)
    print(*claims, sep="\n")
    print("written:", *paths, sep="\n  ")


def dial(ax, values, label: str) -> None:
    """A logarithmic axis with ticks at the values that were swept."""
    ax.set_xscale("log")
    ax.set_xticks(values, [f"{value:.3g}" for value in values])
    ax.minorticks_off()
    ax.set_xlabel(label)


def training_folder(args: argparse.Namespace, name: str, dials: dict) -> pathlib.Path:
    """Where one training is kept."""
    work = args.work or args.out / f"{name}-trainings"
    return work / "-".join(f"{key}_{value:g}" for key, value in dials.items())
