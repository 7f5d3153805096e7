"""How long theory takes: solve, gradients, outlier trajectories, and networks to the same accuracy.

All items of one horizon T are run in turn, again and again, and compared within each turn, so that
whatever else the machine does hits both sides of a ratio. Compilation is timed on its own and is no
part of any ratio. Depth 2, one class, full batch.
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
# Threads of OpenBLAS that wait for each other would time the machine's other users.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import spectrax as sx  # noqa: E402
from spectrax import records  # noqa: E402

DEPTH, PRODUCTS = 2, 30
PARAMETERS = {"alpha": 4.0, "nu": 2.0, "eta": 0.01, "gamma0": 6.0, "sigma": 1.0}
SHORTEST = 0.2  # seconds: faster items are run several times in a turn
FULL = {"horizons": (100, 200, 400), "repeats": 7, "size": 396, "num_seeds": 12, "steps": 100}
QUICK = {"horizons": (12,), "repeats": 2, "size": 24, "num_seeds": 2, "steps": 12}


def model(parameters: dict, num_steps: int) -> sx.DeepLinear:
    """The model; all its hyperparameters may be traced."""
    return sx.DeepLinear(DEPTH, num_steps, **parameters)


def products(matrix):
    """Dense products, each waiting for the one before."""
    return jax.lax.fori_loop(0, PRODUCTS, lambda _, x: x @ matrix, matrix)


def solved(parameters: dict, num_steps: int):
    """Order parameters and losses: `solve` without its check of the answer."""
    solution = sx.solve(model(parameters, num_steps), throw=False)
    return solution.order, solution.train_loss, solution.test_loss


def checked(parameters: dict, num_steps: int):
    """All that `solve` returns, the residual of the self-consistency map included."""
    solution = sx.solve(model(parameters, num_steps), throw=False)
    return solution.order, solution.train_loss, solution.test_loss, dict(solution.stats)


def final_loss(parameters: dict, num_steps: int):
    """A scalar to differentiate."""
    return sx.solve(model(parameters, num_steps), throw=False).test_loss[-1]


def trajectories(solution: sx.Solution):
    """Outliers of every layer at every step."""
    return [sx.outlier_path(solution.weights(layer)) for layer in range(solution.num_layers)]


def compiled(function, *args):
    """The compiled function with its arguments, the seconds that took, and what it needs."""
    start = time.perf_counter()
    executable = jax.jit(function).lower(*args).compile()
    seconds = time.perf_counter() - start
    memory = executable.memory_analysis()
    temporary = None if memory is None else memory.temp_size_in_bytes
    return lambda: executable(*args), {"compile_seconds": seconds, "temp_bytes": temporary}


def make_items(num_steps: int) -> tuple[dict, dict, int]:
    """Everything to be timed at one horizon, what its compilation said, the size of the tapes."""
    parameters = {name: jnp.asarray(value) for name, value in PARAMETERS.items()}
    schedule = {**parameters, "eta": jnp.full(num_steps, PARAMETERS["eta"])}
    rest = {name: value for name, value in parameters.items() if name != "eta"}
    matrix, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (num_steps, num_steps)))

    def bind(function):
        return lambda parameters: function(parameters, num_steps)

    def of_schedule(eta):
        return final_loss({**rest, "eta": eta}, num_steps)

    solution = sx.solve(model(parameters, num_steps), throw=False)
    jobs = {
        "products": (products, matrix),
        "solve": (bind(solved), parameters),
        "solve, residual": (bind(checked), parameters),
        "gradient, 5": (jax.value_and_grad(bind(final_loss)), parameters),
        "gradient, schedule": (jax.value_and_grad(of_schedule), schedule["eta"]),
        "trajectory": (trajectories, solution),
    }
    made = {name: compiled(*job) for name, job in jobs.items()}
    tapes = sum(x.nbytes for x in jax.tree.leaves(solution.order.tapes))
    return {k: v[0] for k, v in made.items()}, {k: v[1] for k, v in made.items()}, tapes


def seconds(run) -> float:
    """One measurement: the mean over as many runs as SHORTEST asks for."""
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < SHORTEST:
        jax.block_until_ready(run())
        count += 1
    return (time.perf_counter() - start) / count


def interleaved(items: dict, repeats: int) -> dict[str, np.ndarray]:
    """Seconds of every item, (repeats,) each; the first turn warms up and is not counted."""
    turns = [{name: seconds(run) for name, run in items.items()} for _ in range(repeats + 1)]
    return {name: np.array([turn[name] for turn in turns[1:]]) for name in items}


def spread(values) -> dict:
    """Median, smallest, largest."""
    values = np.asarray(values)
    return {"median": np.median(values), "low": values.min(), "high": values.max()}


RATIOS = {
    "solve / 30 products": ("solve", "products"),
    "solve with residual / solve": ("solve, residual", "solve"),
    "value and gradient in 5 / solve": ("gradient, 5", "solve"),
    "value and gradient in schedule / solve": ("gradient, schedule", "solve"),
    "outlier trajectories / solve": ("trajectory", "solve"),
}


def horizon(num_steps: int, repeats: int) -> dict:
    """All measurements at one horizon."""
    items, notes, tapes = make_items(num_steps)
    times = interleaved(items, repeats)
    return {
        "num_steps": num_steps,
        "seconds": {name: spread(x) for name, x in times.items()},
        "ratios": {name: spread(times[a] / times[b]) for name, (a, b) in RATIOS.items()},
        "tapes_bytes": tapes,
        "temp_over_tapes": {
            k: v["temp_bytes"] and v["temp_bytes"] / tapes for k, v in notes.items()
        },
        "compile_seconds": {name: note["compile_seconds"] for name, note in notes.items()},
    }


def against_networks(settings: dict) -> dict:
    """Theory (solve and trajectories) against networks whose standard errors are 1 %.

    The networks needed follow from a smaller ensemble, as its error falls with the square root of
    their number; its finite-size bias, which more networks do not cure, is left out. A network is
    trained to the end, with one spectrum of each layer there; theory gives all steps.
    """
    num_steps, count = settings["steps"], settings["num_seeds"]
    parameters = {name: jnp.asarray(value) for name, value in PARAMETERS.items()}
    network, _ = model(parameters, num_steps).rounded(settings["size"])

    def theory(model):
        solution = sx.solve(model, throw=False)
        return solution.test_loss, trajectories(solution)

    run, _ = compiled(theory, network)
    done: list[float] = []
    ensemble = sx.simulate(
        network,
        settings["size"],
        key=jax.random.key(0),
        num_seeds=count,
        progress=lambda _: done.append(time.perf_counter()),
    )
    per_network = float(np.median(np.diff(done)))  # the first one compiles
    theory_seconds = np.array([seconds(run) for _ in range(settings["repeats"])])
    loss, paths = run()
    values = {
        "outlier of the hidden layer": (
            paths[-1].location[-1, 0],
            ensemble.top_eigenvalues.stderr[-1, -1, 0],
        ),
        "test loss, a decade below its start": _decade(loss, ensemble.test_loss.stderr),
    }
    record = {"seconds_per_network": per_network, "theory_seconds": spread(theory_seconds)}
    record |= {"size": settings["size"], "num_seeds": count, "num_steps": num_steps}
    for name, (value, stderr) in values.items():
        error = float(stderr / value)
        needed = max(1.0, count * (error / 0.01) ** 2)
        ratio = spread(needed * per_network / theory_seconds)
        record[name] = {"relative_stderr": error, "networks_needed": needed, "speedup": ratio}
    return record


def _decade(loss, stderr):
    """Loss and its error at the first step at which it is below a tenth of its first value."""
    step = int(np.argmax(np.asarray(loss) < 0.1 * float(loss[0])))
    return loss[step], stderr[step]


def show(record: dict) -> str:
    """The measurements as a table."""
    lines = [f"{'':<46}" + "".join(f"T = {x['num_steps']:<19}" for x in record["horizons"])]

    def row(name, cells):
        lines.append(f"{name:<46}" + "".join(f"{cell:<23}" for cell in cells))

    for name in RATIOS:
        found = [x["ratios"][name] for x in record["horizons"]]
        row(name, [f"{x['median']:.2f} ({x['low']:.2f}-{x['high']:.2f})" for x in found])
    for name in ("products", "solve", "gradient, 5", "trajectory"):
        found = [x["seconds"][name] for x in record["horizons"]]
        row(f"{name}: ms", [f"{1e3 * x['median']:.1f}" for x in found])
    row("tapes: MB", [f"{x['tapes_bytes'] / 1e6:.1f}" for x in record["horizons"]])
    for name in ("solve", "gradient, 5", "gradient, schedule"):
        found = [x["temp_over_tapes"][name] for x in record["horizons"]]
        row(f"{name}: temporary memory / tapes", ["?" if x is None else f"{x:.1f}" for x in found])
    for name in ("solve", "gradient, 5", "trajectory"):
        row(
            f"{name}: s to compile",
            [f"{x['compile_seconds'][name]:.1f}" for x in record["horizons"]],
        )
    networks = record["networks"]
    lines.append(
        f"networks of D = {networks['size']}, T = {networks['num_steps']}: "
        f"{networks['seconds_per_network']:.2f} s each; theory with trajectories "
        f"{1e3 * networks['theory_seconds']['median']:.0f} ms"
    )
    for name, x in networks.items():
        if isinstance(x, dict) and "speedup" in x:
            lines.append(
                f"  {name}: {x['relative_stderr']:.1%} from {networks['num_seeds']} networks, 1 % "
                f"from {x['networks_needed']:.0f}: theory {x['speedup']['median']:.0f} times faster"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"))
    parser.add_argument("--quick", action="store_true", help="tiny: does it run at all?")
    parser.add_argument("--horizons", type=int, nargs="+", metavar="T", help="instead of all")
    args = parser.parse_args()
    sx.enable_x64()
    settings = dict(QUICK if args.quick else FULL)
    settings["horizons"] = tuple(args.horizons or settings["horizons"])
    records.require_folder(parser, args.out)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    record = {"benchmark": "solve", "settings": settings, "parameters": PARAMETERS}
    record["machine"] = {"cores": os.cpu_count(), "platform": platform.platform(), "load": load}
    record["horizons"] = [horizon(T, settings["repeats"]) for T in settings["horizons"]]
    record["networks"] = against_networks(settings)
    record["versions"] = records.versions()
    path = args.out / "benchmark_solve.json"
    records.write_record(path, record)
    print(show(record), f"written: {path}", sep="\n")


if __name__ == "__main__":
    main()
