"""Sampled limit of a wide network, against damped Monte Carlo iteration, at equal error.

The iteration is how such equations are usually solved: guess all kernels, draw noise for every
neuron with them, run the neurons through the whole training, average new kernels, mix old and new,
repeat. Depth 3, tanh, 20 steps, 8 samples. Error: root mean square deviation of the last kernel of
activations from a much larger run, relative to its root mean square. As errors fall at least like
one over the root of the sites, time * error^2 compares cost at equal error; no compilation.

Then time and peak memory of one solve against sites S and directions K = steps * samples, each in a
process of its own.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # without installation, the checkout's own package
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from functools import partial  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import spectrax as sx  # noqa: E402
from spectrax import records  # noqa: E402
from spectrax.program.sampled import memory  # noqa: E402

FULL = {
    "depth": 3,
    "num_steps": 20,
    "samples": 8,
    "dimension": 20,
    "eta": 0.25,
    "gamma0": 3.0,
    "neurons": (1024, 4096, 16384),
    "reference": 65536,
    "repeats": 4,
    "sites": (1000, 10000),
    "damping": 0.5,
    "rounds": 30,
    "scaling": (
        (4096, 10),
        (4096, 20),
        (4096, 40),
        (4096, 80),
        (8192, 20),
        (16384, 20),
        (32768, 20),
    ),
}
QUICK = FULL | {
    "num_steps": 4,
    "samples": 2,
    "neurons": (256, 512),
    "reference": 2048,
    "repeats": 2,
    "sites": (100,),
    "rounds": 4,
    "scaling": ((256, 4),),
}


def build(settings: dict) -> sx.WideNetwork:
    """A single-index target on Gaussian inputs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(settings["samples"], settings["dimension"]))
    direction = rng.normal(size=settings["dimension"])
    y = np.tanh(2 * x @ direction / np.linalg.norm(direction))
    options = {"inputs": x, "targets": y, "eta": settings["eta"], "gamma0": settings["gamma0"]}
    return sx.WideNetwork(settings["depth"], settings["num_steps"], **options)


def sampled(model, num_neurons: int, seed: int):
    """Last kernel of activations, and the seconds without compilation."""
    limit = sx.SampledLimit(num_neurons, key=jax.random.key(seed))
    start = time.perf_counter()
    kernel = np.asarray(sx.solve(model, interpreter=limit).order.Ch[-1])
    return kernel, time.perf_counter() - start


def noise_factor(kernel):
    """A root of a covariance, negative eigenvalues cut."""
    values, vectors = jnp.linalg.eigh(kernel)
    return vectors * jnp.sqrt(jnp.maximum(values, 0.0)), jnp.maximum(values, 1e-4 * values[-1])


@partial(jax.jit, static_argnames=("depth", "steps", "sites"))
def one_round(key, order, x, y, eta, gamma0, *, depth: int, steps: int, sites: int):
    """New kernels and errors from neurons that feel the old ones (sigma = 1)."""
    Phi, G, RPhi, RG, error = order
    P = x.shape[0]
    K, c = steps * P, eta * gamma0 / P
    Kx = jnp.tile(x @ x.T / x.shape[1], (steps, steps))
    earlier = (jnp.arange(K)[:, None] // P) > (jnp.arange(K)[None] // P)
    upto = (jnp.arange(K)[:, None] // P) >= (jnp.arange(K)[None] // P)
    new_Phi, new_G, new_RPhi, new_RG = [], [], [], []
    for layer in range(depth):
        key, first, second = jax.random.split(key, 3)
        covariance = Kx if layer == 0 else Phi[layer - 1]
        root, values_u = noise_factor(covariance)
        xi = jax.random.normal(first, (K, sites))
        u = root @ xi
        last = layer == depth - 1
        back, values_r = noise_factor(jnp.ones((K, K)) if last else G[layer + 1])
        eta_ = jax.random.normal(second, (K, sites))
        r = back @ eta_
        A = jnp.where(earlier, c * covariance * error, 0.0)
        if layer:
            A = A + jnp.where(earlier, RPhi[layer - 1], 0.0)
        memory = jnp.ones((K, K)) if last else G[layer + 1]
        B = jnp.where(earlier, c * memory * error, 0.0)
        if not last:
            B = B + jnp.where(upto, RG[layer + 1], 0.0)

        def step(carry, t, A=A, B=B, u=u, r=r):
            e, g = carry
            rows = jax.lax.dynamic_slice_in_dim(jnp.arange(K), t * P, P)
            h = u[rows] + A[rows] @ g
            e = jax.lax.dynamic_update_slice_in_dim(e, jnp.tanh(h), t * P, 0)
            z = r[rows] + B[rows] @ e
            g_now = (1 - jnp.tanh(h) ** 2) * z
            g = jax.lax.dynamic_update_slice_in_dim(g, g_now, t * P, 0)
            return (e, g), jnp.mean(jnp.tanh(h) * z, axis=1)

        blank = jnp.zeros((K, sites))
        (e, g), products = jax.lax.scan(step, (blank, blank), jnp.arange(steps))
        new_Phi.append(e @ e.T / sites)
        new_G.append(g @ g.T / sites)
        # responses by Stein's lemma with the inverse covariance, small eigenvalues raised
        new_RPhi.append((e @ eta_.T / sites) * jnp.sqrt(1 / values_r) @ back_vectors(back).T)
        new_RG.append((g @ xi.T / sites) * jnp.sqrt(1 / values_u) @ back_vectors(root).T)
    f = products.reshape(K) / gamma0
    return [jnp.stack(x) for x in (new_Phi, new_G, new_RPhi, new_RG)] + [jnp.tile(y, steps) - f]


def back_vectors(root):
    """The orthonormal columns of a root made of eigenvectors."""
    norm = jnp.linalg.norm(root, axis=0)
    return root / jnp.where(norm > 0, norm, 1.0)


def iterated(model, settings: dict, sites: int, seed: int):
    """Last kernel after all rounds, the mean over the second half of them, and the seconds."""
    depth, steps = settings["depth"], settings["num_steps"]
    K = steps * settings["samples"]
    blank = jnp.zeros((depth, K, K))
    y = model.targets[:, 0]
    order = [blank + jnp.eye(K), blank + jnp.eye(K), blank, blank, jnp.tile(y, steps)]
    options = {"depth": depth, "steps": steps, "sites": sites}
    arrays = (model.inputs, y, model.eta, model.gamma0)
    jax.block_until_ready(one_round(jax.random.key(seed), order, *arrays, **options))
    start, kernels = time.perf_counter(), []
    for k in range(settings["rounds"]):
        key = jax.random.fold_in(jax.random.key(seed), k)
        new = one_round(key, order, *arrays, **options)
        mix = settings["damping"]
        order = [(1 - mix) * a + mix * b for a, b in zip(order, new, strict=True)]
        kernels.append(np.asarray(order[0][-1]))
    seconds = time.perf_counter() - start
    return np.mean(kernels[len(kernels) // 2 :], axis=0), seconds


def row(name: str, runs: list, reference) -> dict:
    """Error, seconds and cost at 0.3 % of one way."""
    scale = np.sqrt(np.mean(reference**2))
    errors = [np.sqrt(np.mean((kernel - reference) ** 2)) / scale for kernel, _ in runs]
    error = float(np.sqrt(np.mean(np.square(errors))))
    seconds = float(np.median([seconds for _, seconds in runs]))
    cost = seconds * (error / 0.003) ** 2
    return {"name": name, "error": error, "seconds": seconds, "seconds_at_0.3_percent": cost}


def peak_bytes() -> int:
    """Largest memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def one_solve(settings: dict, num_neurons: int, num_steps: int) -> None:
    """Print seconds without compilation and the memory that one solve adds to the process."""
    model = build(settings | {"num_steps": num_steps})
    sampled(build(settings | {"num_steps": 2}), 256, 0)  # what any solve needs
    before = peak_bytes()
    sampled(model, num_neurons, 0)  # compiles
    seconds = min(sampled(model, num_neurons, 1)[1] for _ in range(2))
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes() - before}))


def scaling(settings: dict, quick: bool) -> list[dict]:
    """Time and memory against sites and directions."""
    out = []
    for num, steps in settings["scaling"]:
        command = [sys.executable, __file__, "--one", str(num), str(steps)]
        command += ["--quick"] if quick else []
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        plan = build(settings | {"num_steps": steps}).task().plan
        size = {"neurons": num, "directions": steps * settings["samples"]}
        found = json.loads(done.stdout.splitlines()[-1])
        out.append(size | found | {"estimated_bytes": memory(plan, steps, num)})
    return out


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("spectrax-results"))
    parser.add_argument("--quick", action="store_true", help="tiny: does it run at all?")
    parser.add_argument("--one", type=int, nargs=2, metavar=("SITES", "STEPS"), help="one solve")
    args = parser.parse_args()
    sx.enable_x64()
    settings = QUICK if args.quick else FULL
    if args.one:
        one_solve(settings, *args.one)
        return
    records.require_folder(parser, args.out)
    model, plan = build(settings), build(settings).task().plan
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    sizes = scaling(settings, args.quick)  # first: a child counts the memory of its parent
    reference = np.mean([sampled(model, settings["reference"], 100 + k)[0] for k in range(2)], 0)
    rows = []
    for num in settings["neurons"]:
        sampled(model, num, 0)  # compiles
        runs = [sampled(model, num, 1 + k) for k in range(settings["repeats"])]
        found = row(f"sampled limit, {num} neurons", runs, reference)
        rows.append(found | {"tapes_bytes": memory(plan, settings["num_steps"], num)})
    for sites in settings["sites"]:
        runs = [iterated(model, settings, sites, k) for k in range(settings["repeats"])]
        rows.append(row(f"damped iteration, {sites} sites", runs, reference))
    best = {
        kind: min(x["seconds_at_0.3_percent"] for x in rows if x["name"].startswith(kind))
        for kind in ("sampled", "damped")
    }
    record = {
        "benchmark": "wide",
        "settings": settings,
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "load": load},
        "rows": rows,
        "scaling": sizes,
        "ratio": best["damped"] / best["sampled"],
        "versions": records.versions(),
    }
    path = args.out / "benchmark_wide.json"
    records.write_record(path, record)
    for found in rows:
        print(
            f"{found['name']:<34} error {found['error']:.2%}, {found['seconds']:.2f} s, "
            f"at 0.3 %: {found['seconds_at_0.3_percent']:.1f} s"
        )
    for found in record["scaling"]:
        print(
            f"S = {found['neurons']}, K = {found['directions']}: {found['seconds']:.2f} s, "
            f"{found['peak_bytes'] / 1e9:.2f} GB (estimate {found['estimated_bytes'] / 1e9:.2f})"
        )
    print(f"damped iteration / sampled limit at equal error: {record['ratio']:.0f}")
    print("written:", path)


if __name__ == "__main__":
    main()
