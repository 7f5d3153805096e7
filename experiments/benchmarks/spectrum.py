"""A large layer without its singular value decomposition: time and memory of measuring it.

Each way runs in a process of its own on the same single-precision matrix, noise with three spikes:
`lanczos` (products with 16 random vectors), `dense` (eigenvalues of W^T W in double precision), and
the singular values by LAPACK in double precision, as a reference. Ways take turns; ratios are taken
within a turn.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # without installation, the checkout's own package
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from spectrax import records  # noqa: E402
from spectrax.empirical import measure_spectrum  # noqa: E402

FULL = {"sizes": (2048, 4096), "turns": 3}
QUICK = {"sizes": (128,), "turns": 1}
WAYS = ("lanczos", "dense", "svd")
STRENGTHS = (9.0, 4.0, 1.5)  # in units of the noise; critical is 1


def matrix(size: int) -> np.ndarray:
    """Noise of standard deviation 0.02 with three orthogonal spikes, single precision."""
    rng = np.random.default_rng(0)
    W = 0.02 * rng.normal(size=(size, size)).astype(np.float32)
    u, v = (np.linalg.qr(rng.normal(size=(size, 3)))[0] for _ in range(2))
    W += (0.02 * np.sqrt(size) * (u * np.sqrt(STRENGTHS)) @ v.T).astype(np.float32)
    return W


def one(way: str, path: str) -> None:
    """Print the seconds of a first and a second call, the memory they add, and what they find."""
    measure_spectrum(np.random.default_rng(0).normal(size=(64, 64)))  # what any call needs
    W = np.load(path)
    size = len(W)
    before, seconds = peak_bytes(), []
    for _ in range(1 if way == "svd" else 2):
        start = time.perf_counter()
        if way == "svd":
            top = np.linalg.svd(W.astype(np.float64), compute_uv=False)[:3] ** 2 / size
            found = {"location": top.tolist()}
        else:
            spectrum = measure_spectrum(W, method=way)
            found = {"location": spectrum.location.tolist(), "sigma": spectrum.sigma}
            found |= {"sigma_stderr": spectrum.sigma_stderr, "regime": spectrum.regime}
        seconds.append(time.perf_counter() - start)
    added = peak_bytes() - before
    print(json.dumps({"seconds": seconds, "bytes": added, "matrix_bytes": W.nbytes, **found}))


def peak_bytes() -> int:
    """Largest memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def turn(size: int) -> dict:
    """Every way once, each in a new process."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "weights.npy"
        # In a child as well: a process starts with the peak memory of its parent.
        subprocess.run([sys.executable, __file__, "--make", str(path), str(size)], check=True)
        for way in WAYS:
            command = [sys.executable, __file__, "--one", way, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[way] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(size: int, turns: list[dict]) -> dict:
    """Medians over the turns."""
    rows = {}
    for way in WAYS:
        first, second = np.array([np.take(t[way]["seconds"], [0, -1]) for t in turns]).T
        ratios = [t["svd"]["seconds"][-1] / t[way]["seconds"][-1] for t in turns]
        rows[way] = {
            "seconds": float(np.median(second)),
            "seconds_first": float(np.median(first)),
            "svd_over": [float(x) for x in (np.median(ratios), min(ratios), max(ratios))],
            "bytes": float(np.median([t[way]["bytes"] for t in turns])),
            **{k: v for k, v in turns[0][way].items() if k not in ("seconds", "bytes")},
        }
    return {"size": size, "ways": rows}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"))
    parser.add_argument("--quick", action="store_true", help="tiny: does it run at all?")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FILE"), help="one way")
    parser.add_argument("--make", nargs=2, metavar=("FILE", "SIZE"), help="write the matrix")
    args = parser.parse_args()
    if args.make:
        np.save(args.make[0], matrix(int(args.make[1])))
        return
    if args.one:
        one(*args.one)
        return
    settings = QUICK if args.quick else FULL
    records.require_folder(parser, args.out)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rows = [summary(n, [turn(n) for _ in range(settings["turns"])]) for n in settings["sizes"]]
    record = {
        "benchmark": "spectrum",
        "settings": settings,
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "load": load},
        "rows": rows,
        "ratio": rows[-1]["ways"]["lanczos"]["svd_over"][0],
        "versions": records.versions(),
    }
    path = args.out / "benchmark_spectrum.json"
    records.write_record(path, record)
    for row in rows:
        for way, found in row["ways"].items():
            ratio, low, high = found["svd_over"]
            print(
                f"{row['size']} {way:<8} {found['seconds']:.2f} s (first "
                f"{found['seconds_first']:.2f}), svd / this {ratio:.1f} ({low:.1f}–{high:.1f}), "
                f"{found['bytes'] / 1e6:.0f} MB beside {found['matrix_bytes'] / 1e6:.0f} MB"
            )
    print("written:", path)


if __name__ == "__main__":
    main()
