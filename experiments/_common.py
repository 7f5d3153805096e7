"""What the experiments share: arguments, theory of every layer, verdict, files.

Every script is used from a checkout: `python experiments/NAME.py`, or `spectrax figure NAME`.
"""

import argparse
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # without installation, the checkout's own package
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("MPLBACKEND", "Agg")
# Threads of OpenBLAS that wait for each other make small singular value problems ten times slower
# on a busy machine; this has an effect only before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

import spectrax as sx  # noqa: E402
from spectrax import plotting, records  # noqa: E402
from spectrax.simulation.comparison import deviation_row, deviation_table  # noqa: E402
from spectrax.spectrum.trajectory.layer import LayerReport, layer_report  # noqa: E402


def arguments(doc: str) -> argparse.Namespace:
    """Options of every experiment; switches JAX to double precision."""
    parser = argparse.ArgumentParser(description=doc.strip().splitlines()[0])
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"), help="%(default)s"
    )
    parser.add_argument("--quick", action="store_true", help="tiny networks: does it run at all?")
    parser.add_argument("--seed", type=int, default=0, help="of all networks (%(default)s)")
    args = parser.parse_args()
    records.require_folder(parser, args.out)
    args.started = time.perf_counter()
    sx.enable_x64()
    return args


def layers(solution: sx.Solution, count: int = 1) -> list[LayerReport]:
    """Outliers of every weight matrix at every step that exists, as NumPy arrays."""
    valid = min(int(solution.stats["diverged_at"]), solution.model.num_steps)
    return [layer_report(solution.weights(k), count, valid) for k in range(solution.num_layers)]


def evenly(num_steps: int, count: int) -> tuple[int, ...]:
    """`count` evenly spaced steps, the last one included, step 0 not."""
    return tuple(int(x) for x in np.linspace(0, num_steps, count + 1).round()[1:])


def top(ensemble: sx.Ensemble, layer: int, which: int = 0) -> sx.Estimate:
    """One of the largest eigenvalues of a layer at the steps at which spectra were taken."""
    mean, stderr = ensemble.top_eigenvalues.mean, ensemble.top_eigenvalues.stderr
    return sx.Estimate(np.asarray(mean)[layer, :, which], np.asarray(stderr)[layer, :, which])


def counter(name: str):
    """A callback for `simulate` that counts networks where somebody watches."""

    def count(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{name}: network {done}   ", end="", file=sys.stderr, flush=True)

    return count


def legend(ax) -> None:
    """What the lines and marks of outlier trajectories are."""
    ax.errorbar([], [], [], fmt="o", ms=3, capsize=2, lw=1, color="0.3", label="networks ± s.e.")
    ax.plot([], [], "k--", lw=1.2, label="theory")
    ax.plot([], [], "o", ms=4, mfc="white", mec="0.3", label="escape, theory")
    ax.legend(loc="lower right", borderaxespad=0.2)


class Verdict:
    """Theory against simulation in standard errors, pooled over the settings of an experiment."""

    def __init__(self):
        self.deviations: dict[str, list] = {}
        self.errors: dict[str, list] = {}
        self.settings: dict[str, float] = {}

    def add(self, setting: str, comparison: sx.Comparison) -> None:
        """Take in what `compare` found for one setting; kernels of all layers are pooled."""
        for name, values in comparison.deviations.items():
            pooled = "kernel diagonals" if name.endswith("diagonal") else name.replace("_", " ")
            self._enter(pooled, values, comparison.relative_errors[name])
        self.settings[setting] = comparison.worst

    def measure(self, name: str, theory, mean, stderr) -> None:
        """Take in a quantity that `compare` does not know."""
        theory, mean, stderr = (np.ravel(np.asarray(x, float)) for x in (theory, mean, stderr))
        self._enter(name, (mean - theory) / stderr, stderr / np.abs(theory))

    def _enter(self, name: str, deviations, errors) -> None:
        self.deviations.setdefault(name, []).append(np.ravel(deviations))
        self.errors.setdefault(name, []).append(np.ravel(errors))

    def rows(self) -> list[dict]:
        """One row for each quantity."""
        return [
            deviation_row(name, np.concatenate(parts), np.concatenate(self.errors[name]))
            for name, parts in self.deviations.items()
        ]

    def __str__(self) -> str:
        return f"(simulation - theory) / standard error\n{deviation_table(self.rows())}"


def finish(args, name: str, figure, arrays: dict, verdict: Verdict, parameters: dict) -> None:
    """Write figure, data and sidecar; print the verdict."""
    record = {
        "experiment": name,
        "settings": "ours",
        "quick": args.quick,
        "seed": args.seed,
        "parameters": parameters,
        "verdict": verdict.rows(),
        "worst_of_each_setting": verdict.settings,
        "seconds": round(time.perf_counter() - args.started, 1),
    }
    with plotting.style():  # its resolution
        paths = records.write(args.out, name, figure, arrays, record)
    print(verdict)
    print("written:", *paths, sep="\n  ")
