"""Finite networks, many seeds: the simulation that theory is compared with."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from spectrax import _kind, _show, check
from spectrax.empirical.levels import top_eigenvalues
from spectrax.program.finite import Network, Trainer
from spectrax.simulation._tangent_kernel import kernel_eigenvalues, kernel_top
from spectrax.training.base import AbstractDMFT
from spectrax.training.order import backward_records, forward_records


class Estimate(eqx.Module):
    """Mean over seeds, and the standard error of that mean; +inf where not finite, never NaN.

    Args:
        mean: of any shape.
        stderr: of the same shape.
    """

    mean: Float[Array | np.ndarray, "..."]
    stderr: Float[Array | np.ndarray, "..."]

    __repr__ = _show.estimate


class EnsembleOrder(eqx.Module):
    """Correlation kernels of every layer, each an `Estimate`; names as in `Solution.order`."""

    Ch: tuple[Estimate | None, ...]
    Cg: tuple[Estimate | None, ...]

    __repr__ = _show.table


class Ensemble(eqx.Module):
    """What `simulate` returns: a solution's attributes, each with `.mean` and `.stderr`.

    Args:
        model: the model that was simulated: ratios are those of the rounded sizes.
        order: correlation kernels.
        train_loss, test_loss: mean squared errors, (num_steps,); None where there is none.
        predictions, test_predictions: outputs at each step; None where there are none.
        top_eigenvalues: largest eigenvalues of W^T W, (layers, spectrum_steps, num_top). Of a
            symmetric W: its num_top largest, then its num_top smallest.
        spectrum_steps: numbers of updates at which spectra were taken.
        eigenvalues: all eigenvalues of W^T W of every layer at the last of these steps,
            (seeds, cols) for each layer; None if not asked for.
        ntk_top: largest eigenvalue of the tangent kernel, (spectrum_steps,); None if not asked for.
        ntk_eigenvalues: all its eigenvalues at the last of these steps, (seeds, dimension); None if
            not asked for.
        size: D for deep linear networks, N otherwise.
        num_seeds: number of networks.
    """

    model: AbstractDMFT
    order: EnsembleOrder
    train_loss: Estimate | None
    test_loss: Estimate | None
    predictions: Estimate | None
    test_predictions: Estimate | None
    top_eigenvalues: Estimate
    spectrum_steps: tuple[int, ...] = eqx.field(static=True)
    eigenvalues: tuple[np.ndarray, ...] | None
    ntk_top: Estimate | None
    ntk_eigenvalues: np.ndarray | None
    size: int = eqx.field(static=True)
    num_seeds: int = eqx.field(static=True)

    __repr__ = _show.table


def simulate(
    model: AbstractDMFT,
    size: int,
    *,
    key: PRNGKeyArray,
    num_seeds: int = 4,
    spectrum_steps: tuple[int, ...] | None = None,
    num_top: int = 1,
    all_eigenvalues: bool = False,
    kernel: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Ensemble:
    """Train finite networks: the model's own program on sampled matrices.

    Args:
        model: e.g. `DeepLinear`.
        size: D for `DeepLinear`; the other dimensions follow from the ratios, rounded.
        key: explicit PRNG key.
        num_seeds: how many networks, trained one after the other.
        spectrum_steps: numbers of updates at which to take spectra; the last step by default.
        num_top: how many of the largest eigenvalues.
        all_eigenvalues: also return every eigenvalue at the last of `spectrum_steps`.
        kernel: "population" or "train": also take the spectrum of this tangent kernel.
        progress: called with the number of finished networks.

    Returns:
        An `Ensemble`.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import jax, spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 5, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> ensemble = sx.simulate(model, 100, key=jax.random.key(0), num_seeds=4)
        >>> ensemble.test_loss.mean.shape
        (5,)

    Source: theory page, section P.
    """
    _kind.model(model)
    _kind.key(key)
    size = check.integer("size", size, 2)
    num_seeds = check.integer("num_seeds", num_seeds, 2)
    num_top = check.integer("num_top", num_top, 1)
    stops = (model.num_steps,) if spectrum_steps is None else spectrum_steps
    stops = tuple(check.integer("spectrum_steps", int(s), 0, model.num_steps) for s in stops)
    if not stops:
        raise ValueError("Argument `spectrum_steps` must name at least one step, got none.")
    if kernel is not None:
        kernel = check.kernel(kernel)
    model, sizes = model.rounded(size)
    trainer = model.trainer(sizes)
    if kernel is not None and not hasattr(model, "tangent_kernel"):
        raise ValueError(f"Argument `kernel` must be None for this model, got {kernel!r}.")
    runs = []
    for seed, seed_key in enumerate(jax.random.split(key, num_seeds)):
        asked = (num_top, all_eigenvalues, kernel)
        runs.append(_run(model, trainer, seed_key, stops, *asked))
        if progress is not None:
            progress(seed + 1)
    return _collect(model, runs, stops, size)


_start = eqx.filter_jit(Trainer.start)


@eqx.filter_jit(donate="all-except-first")
def _train(how: tuple, network: Network) -> Network:
    trainer, key, until = how
    return trainer.train(network, key, until)


def _run(model, trainer: Trainer, key, stops, num_top, everything, kernel) -> dict:
    """One network, trained from stop to stop."""
    network, tops, sharp = _start(trainer, key), {}, {}
    names = [matrix.name for matrix in model.plan().matrices]
    symmetric = any(matrix.symmetric for matrix in model.plan().matrices)
    extreme = _both_ends if symmetric else top_eigenvalues
    spectra: dict[str, Any] = {}
    for stop in sorted(set(stops)):
        network = _train((trainer, key, jnp.asarray(stop)), network)
        found = [extreme(model.matrix(network, n), num_top) for n in names]
        tops[stop] = jnp.stack(found) if found else jnp.zeros((0, num_top))
        if kernel is not None:
            sharp[stop] = kernel_top(model, trainer, network, key, kernel)
        if everything and stop == max(stops):
            every = np.linalg.eigvalsh if symmetric else _all_eigenvalues
            spectra = {n: every(model.matrix(network, n)) for n in names}
            if kernel is not None:
                values = kernel_eigenvalues(model, trainer, network, key, kernel)
                spectra["kernel"] = np.asarray(values)
    network = _train((trainer, key, jnp.asarray(trainer.rates.shape[0])), network)
    top = jnp.stack([tops[stop] for stop in stops], axis=1)  # (layers, stops, num_top)
    sharpness = jnp.stack([sharp[stop] for stop in stops]) if sharp else None
    return {"top": top, "sharpness": sharpness, "spectra": spectra, **_observables(network)}


@eqx.filter_jit
def _observables(network: Network) -> dict:
    def gram(x):
        flat = x.reshape(-1, x.shape[-1])  # (time * width, dimension)
        return flat @ flat.T / x.shape[-1]

    def mean(k, x):
        return jnp.trace(x, axis1=1, axis2=2) / x.shape[-1] if k.endswith("_error") else x

    seen = {k: mean(k, x) for k, x in network.seen.items()}
    return {"grams": {k: gram(x) for k, x in network.records.items()}, "seen": seen}


def _both_ends(W: Float[Array, "n n"], count: int) -> Float[Array, " both"]:
    """The largest and the smallest eigenvalues of a symmetric matrix."""
    values = jnp.linalg.eigvalsh(W)
    return jnp.concatenate([values[::-1][:count], values[:count]])


def _all_eigenvalues(W: Float[Array, "n m"]) -> np.ndarray:
    values = np.asarray(jnp.linalg.svd(W, compute_uv=False)) ** 2
    return np.concatenate([values, np.zeros(max(0, W.shape[1] - W.shape[0]))])


def _estimate(*values: Float[Array, "..."]) -> Estimate:
    """Of one number in every network."""
    x = jnp.stack(values)
    mean, stderr = x.mean(0), x.std(0, ddof=1) / math.sqrt(len(values))
    fine = jnp.isfinite(x).all(0)
    return Estimate(jnp.where(fine, mean, jnp.inf), jnp.where(fine, stderr, jnp.inf))


def _collect(model: AbstractDMFT, runs: list[dict], stops, size: int) -> Ensemble:
    """Means and standard errors over seeds."""
    numbers = [{k: run[k] for k in ("top", "sharpness", "grams", "seen")} for run in runs]
    found = jax.tree.map(_estimate, *numbers)
    plan, seen = model.plan(), found["seen"]
    kernels = (
        tuple(None if name is None else found["grams"][name] for name in names)
        for names in (forward_records(plan, model.layers), backward_records(plan, model.layers))
    )
    order = EnsembleOrder(*kernels)
    spectra = kernel_spectra = None
    if runs[0]["spectra"]:
        if "kernel" in runs[0]["spectra"]:
            kernel_spectra = np.stack([run["spectra"]["kernel"] for run in runs])
        spectra = tuple(
            np.stack([run["spectra"][matrix.name] for run in runs]) for matrix in plan.matrices
        )
    return Ensemble(
        model,
        order,
        seen.get("train_error"),
        seen.get("test_error"),
        seen.get("predictions"),
        seen.get("test_predictions"),
        found["top"],
        stops,
        spectra,
        found["sharpness"],
        kernel_spectra,
        size,
        len(runs),
    )
