"""The whole transfer report by theory, against training the same grid of networks.

The report: loss over a grid of widths and learning rates in both parameterizations, largest stable
and optimal rates, escape steps, outliers, sharpness at every step, exponents by gradient. Networks
are trained for the grid of losses alone, with one spectrum of the hidden layer at the end; their
time is measured on every width and parameterization for a few rates and multiplied, because every
rate costs the same.
"""

import argparse
import os
import pathlib
import platform
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # without installation, the checkout's own package
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import spectrax as sx  # noqa: E402
from spectrax import records  # noqa: E402
from spectrax.transfer.report import PARAMETERIZATIONS, POINTS  # noqa: E402

MODEL = {"alpha": 4.0, "nu": 1.0, "eta": 0.03, "gamma0": 4.0}
FULL = {"depth": 2, "num_steps": 16, "widths": (1, 2, 4, 8), "size": 500, "seeds": 4, "rates": 1}
QUICK = {"depth": 1, "num_steps": 3, "widths": (1, 2), "size": 16, "seeds": 2, "rates": 1}


def report_seconds(settings: dict, model) -> tuple[float, list[float]]:
    """Seconds of a report with everything that has to be compiled, and of three more."""

    def run(eta) -> float:
        start = time.perf_counter()
        changed = eqx.tree_at(lambda m: m.eta, model, jnp.asarray(eta))
        jax.block_until_ready(sx.transfer_report(changed, settings["widths"]).fit)
        return time.perf_counter() - start

    first = run(MODEL["eta"])
    return first, [run(MODEL["eta"] * (1 + 0.01 * k)) for k in range(1, 4)]


def network_seconds(settings: dict, name: str, width: float) -> float:
    """Median seconds of one network, compilation excluded."""
    parameters = {**MODEL, "nu": width, "parameterization": PARAMETERIZATIONS[name]}
    model = sx.DeepLinear(settings["depth"], settings["num_steps"], **parameters)
    done: list[float] = []
    for _ in range(settings["rates"]):
        sx.simulate(
            model,
            settings["size"],
            key=jax.random.key(0),
            num_seeds=settings["seeds"] + 1,
            progress=lambda _: done.append(time.perf_counter()),
        )
    gaps = np.diff(np.array(done).reshape(settings["rates"], -1), axis=1)
    return float(np.median(gaps))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"))
    parser.add_argument("--quick", action="store_true", help="tiny: does it run at all?")
    args = parser.parse_args()
    sx.enable_x64()
    records.require_folder(parser, args.out)
    settings = QUICK if args.quick else FULL
    model = sx.DeepLinear(settings["depth"], settings["num_steps"], **MODEL)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    first, later = report_seconds(settings, model)
    networks = {
        name: [network_seconds(settings, name, float(w)) for w in settings["widths"]]
        for name in PARAMETERIZATIONS
    }
    grid = settings["seeds"] * POINTS * sum(map(sum, networks.values()))
    median = float(np.median(later))
    record = {
        "benchmark": "transfer",
        "settings": settings,
        "parameters": MODEL,
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "load": load},
        "rates_on_the_grid": POINTS,
        "report_first_seconds": first,
        "report_seconds": later,
        "network_seconds": networks,
        "grid_seconds": grid,
        "grid_over_first_report": grid / first,
        "grid_over_report": grid / median,
    }
    record["versions"] = records.versions()
    path = args.out / "benchmark_transfer.json"
    records.write_record(path, record)
    print(f"report: {first:.1f} s with compilation, then {median:.1f} s")
    for name, values in networks.items():
        print(f"one network, {name}, widths {settings['widths']}:", np.round(values, 3), "s")
    print(f"the grid ({POINTS} rates, {settings['seeds']} seeds): {grid:.0f} s")
    print(f"grid / report: {grid / first:.1f} with compilation, {grid / median:.0f} without")
    print("written:", path)


if __name__ == "__main__":
    main()
