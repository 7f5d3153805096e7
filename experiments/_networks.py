"""What the experiments on trained Flax networks share: presets, trainings, spectra, claims.

`--preset small` runs offline in minutes on two cores; `--preset paper` has the paper's settings and
needs its data (`--data`); `--synthetic` replaces the data by noise of the right shapes. Trainings
are kept in `--work` and continued from there when they were interrupted.
"""

import argparse
import dataclasses
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
from models.record import Record, log_spaced  # noqa: E402
from spectrax import plotting  # noqa: E402
from spectrax.cli import files  # noqa: E402


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
    args.out.mkdir(parents=True, exist_ok=True)
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


def snapshots(num_steps: int, count: int) -> tuple[int, ...]:
    """Log-spaced numbers of updates."""
    return log_spaced(1, num_steps, max(2, count))


def spectra(record: Record, names: list[str], steps=None) -> dict[int, dict]:
    """Spectrum of every hidden kernel (square unfolding), by step and name."""
    out = {}
    for step in record.snapshots if steps is None else steps:
        weights = record.weights(step)
        out[step] = {
            name: sx.measure_spectrum(weights[name.replace(".", "/")], layout="in_out")
            for name in names
        }
    return out


def mean_of(spectra: dict, value: Callable) -> float:
    """Mean over the kernels of one snapshot."""
    return float(np.mean([value(found) for found in spectra.values()]))


def excess(found: sx.WeightSpectrum) -> float:
    """Distance of the bulk from the random law, in units of what `measure_spectrum` tolerates."""
    from spectrax.empirical.measure import FINITE, MISFIT

    return found.ks / (MISFIT + FINITE / min(found.shape))


@dataclasses.dataclass(frozen=True)
class Claim:
    """A number that a claim bounds, measured once for each seed.

    Reproduced if every seed lies within the bounds, not reproduced if none does, else undecided.
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
        if inside.all():
            return "reproduced"
        return "undecided" if inside.any() else "not reproduced"

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
        found = f"{values.mean():.3g}{spread} ({len(values)} seeds; {', '.join(bounds)})"
        return f"{self.verdict:>14}: {self.text}: {found}"


def finish(args, name: str, figure, arrays: dict, claims: list[Claim], settings: dict) -> None:
    """Write figure, data and sidecar; print the verdicts."""
    record = {
        "experiment": name,
        "preset": args.preset,
        "quick": args.quick,
        "synthetic": args.synthetic,
        "seed": args.seed,
        "settings": settings,
        "claims": [claim.summary() for claim in claims],
        "seconds": round(time.perf_counter() - args.started, 1),
    }
    with plotting.style():  # its resolution
        paths = files.write(args.out, name, figure, arrays, record)
    print(*claims, sep="\n")
    print("written:", *paths, sep="\n  ")


def dial(ax, values, label: str) -> None:
    """A logarithmic axis with ticks at the values that were swept."""
    ax.set_xscale("log")
    ax.set_xticks(values, [f"{value:.3g}" for value in values])
    ax.minorticks_off()
    ax.set_xlabel(label)


def training_folder(args, name: str, **settings) -> pathlib.Path:
    """Where one training is kept."""
    work = args.work or args.out / f"{name}-trainings"
    label = "-".join(f"{key}_{value:g}" for key, value in settings.items())
    return work / label


def describe(settings: dict) -> dict:
    """Settings as the sidecar of a training holds them."""
    return json.loads(files.to_json(settings))
