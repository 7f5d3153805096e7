"""Verdicts on transfer against tables whose drift is known: how often wrong, how well covered.

Every table is made of one curve, moved from width to width by an exact power and lowered by what
width gains: a parabola, or an asymmetric curve as real ones are. The range of a curve, of which
noise is a part, is what it falls from two octaves below its optimum. Rates are an octave apart, the
phase of the grid is random. For each cell (drift, curve, noise, seeds, number of widths): verdicts,
coverage of the 95 % intervals of the drift and of the rate at eight times the widest width, and
their width over that of a regression that knows the noise and that curves are parabolas.
"""

import argparse
import itertools
import os
import pathlib
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # without installation, the checkout's own package
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from spectrax.cli import files  # noqa: E402
from spectrax.transfer.tables.answer import transfer_gaps  # noqa: E402

OCTAVE = np.log(2.0)


def _wall(u):
    return u**2 + 25 * np.maximum(u - 0.3, 0.0) ** 2


def _broken(u):
    return np.where(u > 0.35, np.inf, u**2)


def _morse(u):
    return (1 - np.exp(u)) ** 2


def _cliff(u):
    return np.where(u > 0, np.inf, -u)


def _shoulder(u):
    right = np.where(u > 0.9, np.inf, 4 * u**2)
    return np.where(u < 0, np.log1p(2 * u**2), right)


# Loss above the optimum against the distance from it in log(lr).
CURVES = {
    "parabola": np.square,
    "wall": _wall,  # a steep wall .3 above the optimum
    "broken": _broken,  # divergence .35 above it
    "morse": _morse,  # flat on the left, exponential on the right
    "shoulder": _shoulder,  # a saturating left wing, a steep right one that diverges
    "cliff": _cliff,  # falls until it diverges
}
DRIFTS = (0.0, -0.25, -0.5, -1.0)
NOISES = (0.005, 0.02, 0.05)
SEEDS = (1, 3, 5)
COUNTS = (3, 4, 6)
FIRST, GROWTH = 64.0, 2.0  # narrowest width, and from width to width


def make_table(rng, curve: str, drift: float, noise: float, seeds: int, count: int, step=OCTAVE):
    """Widths, rates, losses (widths, rates, seeds), and the logarithm of the best rate at FIRST."""
    widths = FIRST * GROWTH ** np.arange(count)
    best = -5.0 + drift * np.log(widths / FIRST)
    start = best.min() - 2.5 * OCTAVE - step * rng.random()
    x = np.arange(start, best.max() + 2.5 * OCTAVE + step, step)
    shape = CURVES[curve]
    loss = shape(x - best[:, None]) + 2.0 + 4.0 * (widths[:, None] / FIRST) ** -0.5
    scale = noise * float(shape(np.array(-2 * OCTAVE)))
    noisy = loss[..., None] + scale * rng.normal(size=(*loss.shape, seeds))
    return widths, np.exp(x), noisy, -5.0, scale


def ideal_stderr(rng_table, count: int, seeds: int) -> float:
    """Standard error of the drift if curves are known to be parabolas and the noise is known."""
    widths, lrs, losses, first, scale = rng_table
    x, logs = np.log(lrs), np.log(widths)
    design = np.stack([np.ones_like(x), x - x.mean(), (x - x.mean()) ** 2], axis=1)
    covariance = np.linalg.inv(design.T @ design) * scale**2 / seeds
    errors = []
    for k in range(count):
        best = first + np.log(widths[k] / FIRST) * 0 - x.mean()
        direction = np.array([0.0, 1.0, 2 * best])
        errors.append(np.sqrt(direction @ covariance @ direction) / 2)
    return float(np.mean(errors) / np.sqrt(np.sum((logs - logs.mean()) ** 2)))


def measure_cell(curve, drift, noise, seeds, count, draws: int, step=OCTAVE) -> dict:
    """Fractions of verdicts, coverage and width of intervals in one cell."""
    key = (list(CURVES).index(curve), int(-100 * drift), int(1000 * noise), seeds, count)
    rng = np.random.default_rng(key)
    verdicts, inside, inside_at, ratio, reach, error = [], [], [], [], [], []
    for _ in range(draws):
        table = make_table(rng, curve, drift, noise, seeds, count, step)
        widths, lrs, losses, first, _ = table
        found = transfer_gaps(widths, lrs, losses)
        verdicts.append(found.verdict)
        inside.append(found.drift.low <= drift <= found.drift.high)
        at = 8 * widths[-1]
        rate = found.recommend(at)
        truth = np.exp(first + drift * np.log(at / FIRST))
        inside_at.append(rate.low <= truth <= rate.high)
        reach.append((found.drift.high - found.drift.low) / 2)
        ratio.append(found.drift.stderr / ideal_stderr(table, count, seeds))
        error.append(found.drift.exponent - drift)
    verdicts = np.array(verdicts)
    shares = {name: float(np.mean(verdicts == name)) for name in VERDICTS}
    wrong = shares["does not transfer"] if drift == 0 else shares["transfers"]
    return {
        "curve": curve,
        "drift": drift,
        "noise": noise,
        "seeds": seeds,
        "widths": count,
        "wrong": wrong,
        "cannot_judge": shares["cannot judge"],
        "coverage": float(np.mean(inside)),
        "coverage_at": float(np.mean(inside_at)),
        "half_width": float(np.median(reach)),
        "error": float(np.median(np.abs(error)) / 0.6745),
        "over_ideal": float(np.median(ratio)),
    }


VERDICTS = ("transfers", "does not transfer", "cannot judge")


def summary(cells: list[dict]) -> str:
    """One line for each curve and noise: the worst cell, and means."""
    head = f"{'curve':<10}{'noise':>7}{'wrong':>8}{'judged':>8}{'cover':>8}{'(min)':>7}"
    lines = [head + f"{'at':>7}{'(min)':>7}{'width':>8}{'/ideal':>8}"]
    for curve, noise in itertools.product(CURVES, NOISES):
        own = [c for c in cells if c["curve"] == curve and c["noise"] == noise]
        if not own:
            continue
        get = {key: np.array([c[key] for c in own]) for key in own[0] if key != "curve"}
        lines.append(
            f"{curve:<10}{noise:>7.3f}{get['wrong'].max():>8.2f}"
            f"{1 - get['cannot_judge'].mean():>8.2f}"
            f"{get['coverage'].mean():>8.3f}{get['coverage'].min():>7.2f}"
            f"{get['coverage_at'].mean():>7.3f}{get['coverage_at'].min():>7.2f}"
            f"{np.median(get['half_width']):>8.3f}{np.median(get['over_ideal']):>8.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"))
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="tiny: does it run at all?")
    parser.add_argument("--every", type=int, default=1, help="only every so many cells")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    grid = list(itertools.product(CURVES, DRIFTS, NOISES, SEEDS, COUNTS))
    draws = 2 if args.quick else args.draws
    cells = [measure_cell(*cell, draws) for cell in (grid[:: 40 if args.quick else args.every])]
    print(summary(cells))
    worst = max(cells, key=lambda cell: cell["wrong"])
    print(f"{len(cells)} cells of {draws} draws, {time.perf_counter() - start:.0f} s")
    print("worst cell:", worst)
    record = {"benchmark": "transfer_verdicts", "draws": draws, "cells": cells}
    record["versions"] = files.versions()
    path = args.out / "benchmark_transfer_verdicts.json"
    path.write_text(files.to_json(record) + "\n", encoding="utf-8")
    print("written:", path)


if __name__ == "__main__":
    main()
