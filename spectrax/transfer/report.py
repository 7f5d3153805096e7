"""The whole argument of learning-rate transfer for one network: widths, µP against NTK."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from spectrax import _kind
from spectrax.spectrum.escape import escape_time, outlier_path
from spectrax.spectrum.kernel import ntk_path
from spectrax.training.solve import solve
from spectrax.transfer.gaps import TransferGaps, gaps_of_optima
from spectrax.transfer.optimum import optimal_lr
from spectrax.transfer.parameterization import Parameterization, mup, ntk
from spectrax.transfer.search import Fit, fit_parameterization, width_ratios
from spectrax.transfer.stability import max_stable_lr, with_eta

PARAMETERIZATIONS = {"mup": mup, "ntk": ntk}
START = (0.2, 0.2)  # exponents from which µP is looked for
OCTAVES = 2.0  # of learning rates below the smallest optimum
POINTS = 21


class WidthReport(NamedTuple):
    """One parameterization at every width, (widths,) each.

    Escape step, outlier and sharpness at the model's own learning rate; the optimal and the largest
    stable learning rate; the loss at the optimal one. `sharpness` is the path (widths, steps).
    """

    escape_step: Float[np.ndarray, " widths"]
    top_outlier: Float[np.ndarray, " widths"]
    sharpness: Float[np.ndarray, "widths t"]
    max_stable_lr: Float[np.ndarray, " widths"]
    optimal_lr: Float[np.ndarray, " widths"]
    loss: Float[np.ndarray, " widths"]


class TransferReport(eqx.Module):
    """What `transfer_report` returns.

    Args:
        widths: width ratios, ascending.
        tables: a `WidthReport` for each parameterization.
        lrs: learning rates of the curves, (points,).
        losses: loss at the last step by parameterization, (widths, points), +inf if diverged.
        gaps: by parameterization.
        fit: exponents found by gradient.
    """

    widths: Float[np.ndarray, " widths"]
    tables: dict[str, WidthReport]
    lrs: Float[np.ndarray, " points"]
    losses: dict[str, Float[np.ndarray, "widths points"]]
    gaps: dict[str, TransferGaps]
    fit: Fit


def transfer_report(
    model,
    widths: Sequence[float] | ArrayLike,
    *,
    progress: Callable[[str], None] = lambda stage: None,
) -> TransferReport:
    """Escape, sharpness, stable and optimal learning rates over widths, in µP and NTK.

    Args:
        model: with a constant learning rate; its width and parameterization do not matter.
        widths: at least two width ratios.
        progress: called with the name of each stage before it starts.

    Returns:
        A `TransferReport`.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Source: theory page, sections 3.6 and 7.
    """
    _kind.deep_linear(model)
    nu = jnp.sort(width_ratios(widths))
    progress("learning rates")
    groups = {name: _at_widths(model, nu, p) for name, p in PARAMETERIZATIONS.items()}
    everything = jax.tree.map(lambda *x: jnp.concatenate(x), *groups.values())
    stable = _over(max_stable_lr, everything)
    best = _over(optimal_lr, everything)

    progress("losses and spectra")
    low, high = 2.0**-OCTAVES * jnp.min(best), 1.2 * jnp.max(stable)
    lrs = jnp.geomspace(low, high, POINTS)
    count = len(nu)
    # each model at the rates of the curves, and at the optimal rates of all widths
    optima = jnp.repeat(best.reshape(2, count), count, axis=0)  # (2 * count, count)
    rates = jnp.concatenate([jnp.broadcast_to(lrs, (2 * count, POINTS)), optima], axis=1)
    own = jnp.broadcast_to(model.eta, (2 * count,))
    escape, outlier, sharpness = _over(_spectra, everything, own)
    losses = np.asarray(_over(_losses, everything, rates))
    progress("exponents by gradient")
    fit = fit_parameterization(model, nu, start=START)

    tables, curves, gaps = {}, {}, {}
    for k, name in enumerate(groups):
        rows = slice(k * count, (k + 1) * count)
        at_optima = losses[rows, POINTS:]  # (width of the network, width of the optimum)
        values = (np.asarray(x[rows]) for x in (escape, outlier, sharpness, stable, best))
        tables[name] = WidthReport(*values, np.diagonal(at_optima))
        curves[name] = losses[rows, :POINTS]
        cost = np.maximum(0.0, at_optima[-1] - at_optima[-1, -1])
        gaps[name] = gaps_of_optima(
            np.asarray(nu),
            np.log2(tables[name].optimal_lr),
            tables[name].loss,
            cost[:-1],
            np.zeros(count, bool),
        )
    return TransferReport(np.asarray(nu), tables, np.asarray(lrs), curves, gaps, fit)


def _at_widths(model, nu, parameterization: Parameterization):
    """The model at every width, stacked."""

    def at(nu):
        exponents = jax.tree.map(jnp.asarray, parameterization)
        return eqx.tree_at(lambda m: (m.nu, m.parameterization), model, (nu, exponents))

    return jax.vmap(at)(nu)


@eqx.filter_jit
def _over(function, models, *args):
    return jax.vmap(function)(models, *args)


def _losses(model, rates):
    """Loss at the last step for each rate."""
    return jax.vmap(lambda eta: solve(with_eta(model, eta), throw=False).test_loss[-1])(rates)


def _spectra(model, eta):
    solution = solve(with_eta(model, eta), throw=False)
    weights = solution.weights(-1)
    sharpness = ntk_path(solution, kernel=model.governing_kernel)
    return escape_time(solution, layer=-1), outlier_path(weights).location[-1, 0], sharpness
