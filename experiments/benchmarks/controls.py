"""How often noise is called structure, how often a spike is found, and what real weights say.

Noise of several kinds, with and without a spike, is measured with and without controls; the layers
of a checkpoint are measured as they are and with their entries shuffled.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # many small matrices
ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # without installation, the checkout's own package
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from tqdm import tqdm  # noqa: E402

from spectrax import records  # noqa: E402
from spectrax.checkpoints import open_checkpoint  # noqa: E402
from spectrax.empirical import measure_spectrum  # noqa: E402

FULL = {"shapes": ((100, 100), (300, 300), (400, 100), (100, 400)), "draws": 100}
QUICK = {"shapes": ((60, 60),), "draws": 3}
SPIKES = (1.5, 2.0, 3.0, 6.0, 12.0)  # strengths over the critical one of noise of that variance


def gains(rng, count: int) -> np.ndarray:
    """Gains of rows or columns, e^{0.2 g}."""
    return np.exp(0.2 * rng.normal(size=count))


NOISES = {
    "Gaussian": lambda r, N, M: r.normal(size=(N, M)),
    "row gains e^{0.2 g}": lambda r, N, M: r.normal(size=(N, M)) * gains(r, N)[:, None],
    "column gains e^{0.2 g}": lambda r, N, M: r.normal(size=(N, M)) * gains(r, M),
    "t, 3 degrees of freedom": lambda r, N, M: r.standard_t(3, size=(N, M)) / 3**0.5,
    "that with row gains": lambda r, N, M: (
        r.standard_t(3, size=(N, M)) / 3**0.5 * gains(r, N)[:, None]
    ),
    "exponential": lambda r, N, M: r.exponential(size=(N, M)),
    "mean 0.3": lambda r, N, M: r.normal(size=(N, M)) + 0.3,
    "means of columns, 0.3 g": lambda r, N, M: r.normal(size=(N, M)) + 0.3 * r.normal(size=M),
}


def called(found) -> bool:
    """Whether structure is claimed."""
    return found.regime == "bulk + outliers"


def false_positives(settings: dict, bar) -> list[dict]:
    """Fraction of matrices without structure that are said to have some."""
    rows = []
    for kind, noise in NOISES.items():
        rng, counts = np.random.default_rng(1), np.zeros(3)
        for N, M in settings["shapes"]:
            for _ in range(settings["draws"]):
                W = noise(rng, N, M)
                on, off = measure_spectrum(W), measure_spectrum(W, controls=False)
                counts += called(off), called(on), on.restructured
                bar.update()
        without, with_controls, restructured = counts / (
            len(settings["shapes"]) * settings["draws"]
        )
        rows.append(
            {
                "noise": kind,
                "without": without,
                "with": with_controls,
                "restructured": restructured,
            }
        )
    return rows


def detections(settings: dict, bar) -> list[dict]:
    """Fraction of spikes that are found, by strength, in the second of the shapes."""
    N, M = settings["shapes"][min(1, len(settings["shapes"]) - 1)]
    rows = []
    for kind, noise in NOISES.items():
        row = {"noise": kind, "strengths": SPIKES, "with": []}
        for strength in SPIKES:
            rng, found = np.random.default_rng(2), 0
            for _ in range(settings["draws"]):
                W = noise(rng, N, M)
                u, v = (x / np.linalg.norm(x) for x in (rng.normal(size=N), rng.normal(size=M)))
                size = W.std() * (strength * np.sqrt(N * M)) ** 0.5  # √M times √θ²
                with_controls = measure_spectrum(W + size * np.outer(u, v))
                overlaps = (with_controls.left @ u) ** 2 * (with_controls.right @ v) ** 2
                found += called(with_controls) and bool(np.max(overlaps, initial=0.0) > 0.04)
                bar.update()
            row["with"].append(found / settings["draws"])
        rows.append(row)
    return rows


def layers(path: pathlib.Path, bar) -> list[dict]:
    """Every weight of a checkpoint: without controls, with them, and with its entries shuffled."""
    checkpoint, rows = open_checkpoint(path), []
    rng = np.random.default_rng(3)
    for name in checkpoint.select():
        W = checkpoint.read(name)
        layout = checkpoint.layout(name)
        shuffled = rng.permuted(W.ravel()).reshape(W.shape)
        options = {"layout": layout}
        off = measure_spectrum(W, controls=False, **options)
        on, null = measure_spectrum(W, **options), measure_spectrum(shuffled, **options)
        rows.append(
            {
                "layer": name,
                "shape": on.shape,
                "without": off.regime,
                "with": on.regime,
                "outliers": None if on.restructured else len(on.location),
                "rejected": list(on.reasons),
                "equalised": None if on.equalised is None else on.equalised.regime,
                "equalised_outliers": None if on.equalised is None else len(on.equalised.location),
                "shuffled": null.regime,
                "shuffled_without": measure_spectrum(shuffled, controls=False, **options).regime,
            }
        )
        bar.update()
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"))
    parser.add_argument("--quick", action="store_true", help="tiny: does it run at all?")
    parser.add_argument("--checkpoint", type=pathlib.Path, help="measure its layers as well")
    args = parser.parse_args()
    settings = QUICK if args.quick else FULL
    records.require_folder(parser, args.out)
    with tqdm(desc="matrices", disable=None) as bar:
        record = {
            "benchmark": "controls",
            "settings": settings,
            "false": false_positives(settings, bar),
            "found": detections(settings, bar),
            "layers": [] if args.checkpoint is None else layers(args.checkpoint, bar),
            "versions": records.versions(),
        }
    record["ratio"] = record["found"][0]["with"][-1]  # plain noise, the largest spike: one
    path = args.out / "benchmark_controls.json"
    records.write_record(path, record)
    print("| noise | called structure, no controls | with controls | restructured |")
    for row in record["false"]:
        numbers = (100 * row[key] for key in ("without", "with", "restructured"))
        print(f"| {row['noise']} | " + " | ".join(f"{x:.1f} %" for x in numbers) + " |")
    print("| noise | spike found at", " | ".join(f"{x:g}" for x in SPIKES), "|")
    for row in record["found"]:
        print(f"| {row['noise']} | " + " | ".join(f"{x:.2f}" for x in row["with"]) + " |")
    for row in record["layers"]:
        print(*(row[key] for key in row), sep=" | ")
    print("written:", path)


if __name__ == "__main__":
    main()
