"""Density of a law with many outputs, against roots and sampled matrices; cost of fields.

One law, that of W0 + kappa V^T Theta, in seven ways: its two equations (`closed`), the same as a
pencil of four fields (`pencil`), roots of the quartic for S that is left when R is eliminated, one
point after the other (`roots`) or all together (`companion`), the lowest in the complex plane
taken; the root followed from far above the axis (`continuation`); histograms of sampled matrices
(`eigvalsh`, `svd`). Then where those choices of a root fail, and the time of larger pencils. Every
measurement is a process of its own, one at a time; ways take turns and are compared within a turn.
Compilation is timed on its own.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # without installation, the checkout's own package
    sys.path.insert(0, str(ROOT))
# Threads of OpenBLAS that wait for each other make factorisations slower on shared cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from _quartic import followed, lowest, one_by_one, together  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402

import spectrax as sx  # noqa: E402
from spectrax import records  # noqa: E402

FULL = {
    "numbers": {"nu": 1.0, "omega": 1.0, "kappa": 1.0, "sigma": 1.0},
    "points": 2000,
    "top": 11.0,  # of the points: the law ends at 9.95
    "size": 2000,
    "matrices": 10,
    "bins": 50,
    "turns": 3,
    "others": 40,  # settings at which choices of a root are checked
    "factors": (2.0, 1.5),  # between heights of a continuation; the first one is timed
    # points of larger pencils, by depth of the network: whole batches, which the library fills up
    "scaling": {"1": 512, "2": 512, "3": 512, "4": 512, "5": 256, "6": 256, "two steps": 24},
}
QUICK = FULL | {
    "points": 40,
    "size": 40,
    "matrices": 2,
    "bins": 5,
    "turns": 1,
    "others": 2,
    "scaling": {"1": 4, "2": 4},
}
WAYS = ("closed", "pencil", "roots", "companion", "continuation", "eigvalsh", "svd")
LAWS, SAMPLES = WAYS[:2], WAYS[-2:]
RANGES = {"nu": (0.1, 10.0), "omega": (0.1, 10.0), "kappa": (0.1, 10.0), "sigma": (0.3, 2.0)}
SHORTEST = 0.2  # seconds: faster ways are run several times
LIMIT = 300  # seconds of one process


def make_law(name: str, nu, omega, kappa, sigma):
    """The two equations, the same as a pencil, or a larger pencil by its depth."""
    if name == "closed":
        return sx.one_step_outputs(nu, omega, kappa, sigma, sx.ntk)
    if name == "two steps":
        return sx.one_step_outputs(nu, omega, kappa, sigma, sx.ntk, gamma0=1.0, steps=2)
    return sx.one_step_multilayer(1 if name == "pencil" else int(name), 0, nu, omega, kappa, sigma)


def grid(points: int, top: float) -> np.ndarray:
    """Even in the singular value: the density of square matrices diverges at zero."""
    return top * ((np.arange(points) + 0.5) / points) ** 2


def timed(run) -> dict:
    """Seconds of the clock and of all cores, means over as many runs as SHORTEST asks for."""
    count, start, cores = 0, time.perf_counter(), time.process_time()
    while count == 0 or time.perf_counter() - start < SHORTEST:
        run()
        count += 1
    passed = time.perf_counter() - start, time.process_time() - cores
    return dict(zip(("seconds", "core_seconds"), (x / count for x in passed), strict=True))


def measure_law(name: str, settings: dict, x: np.ndarray) -> tuple[dict, np.ndarray]:
    """Seconds and density of a law."""
    law = make_law(name, **settings["numbers"])
    start = time.perf_counter()
    density = jax.jit(lambda law, x: law.density(x)).lower(law, x).compile()
    record = {"compile_seconds": time.perf_counter() - start}
    values = np.asarray(density(law, x))
    record |= timed(lambda: jax.block_until_ready(density(law, x)))
    if name in WAYS:  # outside of jax.jit: traced again at every call
        law.density(x).block_until_ready()
        plain = timed(lambda: jax.block_until_ready(law.density(x)))
        record["plain_seconds"] = plain["seconds"]
    else:
        record |= {"law": name, "points": len(x), "fields": len(law.spaces), "unknowns": law.size}
    return record, values


def measure_roots(way: str, settings: dict, x: np.ndarray) -> tuple[dict, np.ndarray]:
    """Seconds and density of a choice of root."""
    numbers = settings["numbers"]
    bound = float(make_law("closed", **numbers).bound())
    run = {
        "roots": lambda: lowest(one_by_one(x, numbers)),
        "companion": lambda: lowest(together(x, numbers)),
        "continuation": lambda: followed(x, numbers, bound, settings["factors"][0]),
    }[way]
    S = run()
    return timed(run), np.maximum(-S.imag, 0) / np.pi


def measure_samples(way: str, settings: dict) -> tuple[dict, np.ndarray]:
    """Seconds and singular values of finite matrices."""
    nu, omega, kappa, sigma = settings["numbers"].values()
    D = settings["size"]
    N, C = round(nu * D), round(omega * D)
    rng = np.random.default_rng(0)

    def singular_values():
        V, Theta = rng.normal(size=(C, N)) / np.sqrt(N), rng.normal(size=(C, D)) / np.sqrt(D)
        W = sigma * rng.normal(size=(N, D)) / np.sqrt(D) + kappa * V.T @ Theta
        if way == "svd":
            return np.linalg.svd(W, compute_uv=False)
        return np.sqrt(np.maximum(np.linalg.eigvalsh(W.T @ W), 0))

    found = []
    record = timed(lambda: found.extend(singular_values() for _ in range(settings["matrices"])))
    return record, np.stack(found[: settings["matrices"]])


def failures(settings: dict) -> dict:
    """At how many other settings, and points of them, a choice of root misses the law."""
    rng, shares = np.random.default_rng(0), []
    stieltjes = jax.jit(lambda law, z: law.stieltjes(z))
    for _ in range(settings["others"]):
        numbers = {k: float(np.exp(rng.uniform(*np.log(ends)))) for k, ends in RANGES.items()}
        law = make_law("closed", **numbers)
        bound = float(law.bound())
        z = grid(settings["points"], bound) + 0j
        above = z + 0.1j * bound
        axis, off = np.asarray(stieltjes(law, z)), np.asarray(stieltjes(law, above))
        chosen = {
            "lowest root, on the axis": (lowest(together(z, numbers)), axis),
            "lowest root, above it": (lowest(together(above, numbers)), off),
        }
        for factor in settings["factors"]:
            chosen[f"followed by factors of {factor}"] = followed(z, numbers, bound, factor), axis
        shares.append(
            {
                name: np.mean(np.abs(S.imag - known.imag) > 1e-6 * np.abs(known))
                for name, (S, known) in chosen.items()
            }
        )
    found = {name: np.array([share[name] for share in shares]) for name in shares[0]}
    return {name: {"settings": np.sum(x > 0), "points": x.mean()} for name, x in found.items()}


def one(name: str, path: str, settings: dict) -> None:
    """Print what one measurement says; its density or singular values go to a file."""
    if name == "failures":
        print(records.to_json(failures(settings)).replace("\n", " "))
        return
    if name in SAMPLES:
        record, values = measure_samples(name, settings)
    else:
        points = settings["scaling"].get(name, settings["points"])
        measure = measure_roots if name in WAYS[2:] else measure_law
        record, values = measure(name, settings, grid(points, settings["top"]))
    np.save(path, values)
    print(json.dumps(record))


def child(name: str, quick: bool) -> tuple[dict, np.ndarray | None]:
    """One measurement in a process of its own, alone on the machine."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "found.npy"
        command = [sys.executable, __file__, "--one", name, str(path)]
        command += ["--quick"] if quick else []
        options = {"stdout": subprocess.PIPE, "text": True, "check": True, "timeout": LIMIT}
        done = subprocess.run(command, **options)
        values = np.load(path) if path.exists() else None
    return json.loads(done.stdout.splitlines()[-1]), values


def turn(quick: bool) -> dict:
    """Every way once."""
    return {way: child(way, quick) for way in WAYS}


def away(found: dict, settings: dict) -> dict:
    """How far each way is from the two equations.

    Densities: largest difference over the density, or over 1 / top where that is larger. Samples:
    root mean square and largest difference of the shares of singular values in even bins, over the
    average share.
    """
    known, (points, top) = found["closed"][1], (settings["points"], settings["top"])
    out = {}
    for way in WAYS[1:-2]:
        difference = np.abs(found[way][1] - known) / np.maximum(known, 1 / top)
        out[way] = {"largest": difference.max()}
    u = (np.arange(points) + 0.5) / points
    share = (2 * top * u * known / points).reshape(settings["bins"], -1).sum(1)
    for way in SAMPLES:
        counts, _ = np.histogram(found[way][1], settings["bins"], (0, top**0.5))
        difference = (counts / found[way][1].size - share) * settings["bins"]
        out[way] = {"rms": np.sqrt(np.mean(difference**2)), "largest": np.abs(difference).max()}
    return out


def summary(turns: list[dict], settings: dict) -> dict:
    """Medians over the turns; ratios within them, with the lowest and the highest."""
    rows, distances = {}, away(turns[0], settings)
    for way in WAYS:
        records = [found[way][0] for found in turns]
        rows[way] = {key: np.median([x[key] for x in records]) for key in records[0]}
        ratios = [found[way][0]["seconds"] / found["closed"][0]["seconds"] for found in turns]
        rows[way]["over_closed"] = np.median(ratios), min(ratios), max(ratios)
        rows[way]["away"] = distances.get(way)
    return rows


def show(record: dict) -> None:
    """The measurements as a table."""
    for way, found in record["ways"].items():
        ratio, low, high = found["over_closed"]
        line = f"{way:<12} {found['seconds']:8.4f} s (all cores {found['core_seconds']:.4f} s), "
        line += f"this / closed {ratio:.2f} ({low:.2f}–{high:.2f})"
        if "compile_seconds" in found:
            line += f", compiles {found['compile_seconds']:.1f} s"
            line += f", without jit {found['plain_seconds']:.1f} s"
        for name, value in (found["away"] or {}).items():
            line += f", {name} difference {value:.1e}"
        print(line)
    for name, found in record["failures"].items():
        print(
            f"{name}: fails at {found['points']:.2%} of the points, in {found['settings']} of "
            f"{record['settings']['others']} settings"
        )
    for found in record["scaling"]:
        print(
            f"{found['law']:<9} {found['fields']} fields, {found['unknowns']} unknowns: compiles "
            f"{found['compile_seconds']:.1f} s, {found['seconds_per_1000_points']:.2f} s (all "
            f"cores {found['core_seconds_per_1000_points']:.2f} s) per 1000 points "
            f"(from {found['points']})"
        )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"))
    parser.add_argument("--quick", action="store_true", help="tiny: does it run at all?")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FILE"), help="one measurement")
    args = parser.parse_args()
    settings = QUICK if args.quick else FULL
    if args.one:
        sx.enable_x64()
        one(*args.one, settings)
        return
    records.require_folder(parser, args.out)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    rows = summary([turn(args.quick) for _ in range(settings["turns"])], settings)
    scaling = [child(name, args.quick)[0] for name in settings["scaling"]]
    for found in scaling:
        for kind in ("seconds", "core_seconds"):
            found[f"{kind}_per_1000_points"] = 1000 * found[kind] / found["points"]
    record = {
        "benchmark": "outputs",
        "settings": settings,
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "load": load},
        "ways": rows,
        "failures": child("failures", args.quick)[0],
        "scaling": scaling,
        "ratio": rows["eigvalsh"]["over_closed"][0],
        "versions": records.versions(),
    }
    path = args.out / "benchmark_outputs.json"
    records.write_record(path, record)
    show(record)
    print("written:", path)


if __name__ == "__main__":
    main()
