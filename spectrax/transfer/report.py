"""The whole argument of learning-rate transfer for one network: widths, µP against NTK."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from spectrax import _kind, check
from spectrax.parameterization import Parameterization, mup, ntk
from spectrax.spectrum.kernel.ntk import ntk_path
from spectrax.spectrum.trajectory.escape import escape_time, outlier_path
from spectrax.training.solve import solve
from spectrax.transfer.exponents import Fit, fit_parameterization, width_ratios
from spectrax.transfer.gaps import LimitGaps, limit_gaps
from spectrax.transfer.optimum import optimal_lr
from spectrax.transfer.stability import max_stable_lr, with_eta
from spectrax.transfer.verdict import TheoryVerdict, theory_verdict

PARAMETERIZATIONS = {"mup": mup, "ntk": ntk}
START = (0.2, 0.2)  # exponents from which µP is looked for
OCTAVES = 2.0  # of learning rates below the smallest optimum
POINTS = 21
ASYMPTOTIC = (8.0, 16.0, 32.0, 64.0)  # widths at which exponents of width are fitted
STAGES = (
    "escape and sharpness",
    "largest stable rates",
    "optimal rates",
    "losses",
    "exponents by gradient",
)
INFINITE = 1e8  # stands for infinity: everything differs from its limit by order 1/width


class WidthReport(NamedTuple):
    """One parameterization at every width, (widths,) each.

    Escape step, outlier and sharpness at the model's own learning rate; the optimal and the largest
    stable learning rate; the loss at the optimal one. `sharpness` is the path (widths, steps).
    `escaped` tells whether there is an outlier at all: where not, `top_outlier` is the bulk edge.
    """

    escape_step: Float[np.ndarray, " widths"]
    top_outlier: Float[np.ndarray, " widths"]
    sharpness: Float[np.ndarray, "widths t"]
    max_stable_lr: Float[np.ndarray, " widths"]
    optimal_lr: Float[np.ndarray, " widths"]
    loss: Float[np.ndarray, " widths"]
    escaped: np.ndarray


class TransferReport(eqx.Module):
    """What `transfer_report` returns.

    Args:
        widths: width ratios, ascending.
        tables: a `WidthReport` for each parameterization.
        lrs: learning rates of the curves, (points,).
        losses: loss at the last step by parameterization, (widths, points), +inf if diverged.
        gaps: to the infinitely wide network, by parameterization; of the widths 8 … 64, where
            powers of the width can be read off.
        fit: exponents found by gradient at the widths 8 … 64.
        verdicts: a `TheoryVerdict` for each parameterization.
        recommended: width ratio and optimal learning rate there, by parameterization.
        fit_widths: 8 … 64.
    """

    widths: Float[np.ndarray, " widths"]
    tables: dict[str, WidthReport]
    lrs: Float[np.ndarray, " points"]
    losses: dict[str, Float[np.ndarray, "widths points"]]
    gaps: dict[str, LimitGaps]
    fit: Fit
    verdicts: dict[str, TheoryVerdict]
    recommended: dict[str, tuple[float, float]]
    fit_widths: Float[np.ndarray, " k"]


def transfer_report(
    model,
    widths: Sequence[float] | ArrayLike,
    *,
    progress: Callable[[str], None] = lambda stage: None,
    at: float | None = None,
) -> TransferReport:
    """Escape, sharpness, stable and optimal learning rates over widths, in µP and NTK.

    Exponents of width, of the parameterization and of the gaps, are fitted at the widths 8 … 64 and
    against the infinitely wide network, whatever `widths` are: below, powers of the width are not
    yet pure.

    Args:
        model: with a constant learning rate; its width and parameterization do not matter.
        widths: at least two width ratios.
        progress: called with the name of each of the `STAGES` before it starts.
        at: width ratio to recommend a learning rate for, the largest of `widths` if not given.

    Returns:
        A `TransferReport`.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Source: theory page, sections 3.6 and 7.
    """
    _kind.deep_linear(model)
    nu = jnp.sort(width_ratios(widths))
    wanted = float(nu[-1]) if at is None else float(check.positive("at", at))
    each = [_at_widths(model, nu, p) for p in PARAMETERIZATIONS.values()]
    together = jax.tree.map(lambda *x: jnp.concatenate(x), *each)
    progress(STAGES[0])
    spectra = _over(_spectra, together, jnp.broadcast_to(model.eta, len(each) * len(nu)))
    spectra = zip(*(np.split(np.asarray(x), len(each)) for x in spectra), strict=True)
    progress(STAGES[1])
    stable = np.split(np.asarray(_over(max_stable_lr, together)), len(each))
    progress(STAGES[2])
    every = jnp.concatenate([nu, jnp.array([*ASYMPTOTIC, INFINITE, wanted])])
    each = [_at_widths(model, every, p) for p in PARAMETERIZATIONS.values()]
    optima = [np.asarray(_over(optimal_lr, models)) for models in each]
    progress(STAGES[3])
    low = 2.0**-OCTAVES * min(best[: len(nu)].min() for best in optima)
    lrs = np.geomspace(low, 1.2 * np.max(stable), POINTS)
    losses = [
        np.asarray(_losses_over(models, np.concatenate([lrs, best])))
        for models, best in zip(each, optima, strict=True)
    ]
    progress(STAGES[4])
    fit = fit_parameterization(model, ASYMPTOTIC, start=START)

    widths = np.asarray(nu)
    found = map(functools.partial(_conclude, widths), spectra, stable, optima, losses)
    tables, curves, gaps, verdicts, best = (
        dict(zip(PARAMETERIZATIONS, x, strict=True)) for x in zip(*found, strict=True)
    )
    recommended = {name: (wanted, rate) for name, rate in best.items()}
    far = np.array(ASYMPTOTIC)
    return TransferReport(widths, tables, lrs, curves, gaps, fit, verdicts, recommended, far)


def _conclude(widths, spectra, stable, best, losses):
    """Of one parameterization: table, curves, gaps, verdict, best rate at the width asked for.

    Optimal rates `best` are those of `widths`, of the widths 8 … 64, of infinite width, and of the
    width asked for; losses of the same networks at the rates of the curves, then at all of `best`.
    """
    finite, far = slice(0, len(widths)), slice(len(widths), -2)
    limit = len(best) - 2
    curves, at_optima = losses[:, :POINTS], losses[:, POINTS:]  # (network, optimum of)
    lowest = np.diagonal(at_optima)
    escape, outlier, escaped, sharpness = spectra
    table = WidthReport(escape, outlier, sharpness, stable, best[finite], lowest[finite], escaped)
    cost = at_optima[limit, far]
    gaps = limit_gaps(
        np.array(ASYMPTOTIC), best[far], lowest[far], cost, best[limit], lowest[limit]
    )
    verdict = theory_verdict(
        widths, best[finite], at_optima[finite, finite], gaps, float(best[limit])
    )
    return table, curves[finite], gaps, verdict, float(best[-1])


def _at_widths(model, nu, parameterization: Parameterization):
    """The model at every width, stacked."""

    def at(nu):
        exponents = jax.tree.map(jnp.asarray, parameterization)
        return eqx.tree_at(lambda m: (m.nu, m.parameterization), model, (nu, exponents))

    return jax.vmap(at)(nu)


@eqx.filter_jit
def _over(function, models, *args):
    return jax.vmap(function)(models, *args)


@eqx.filter_jit
def _losses_over(models, rates):
    """Loss at the last step of each model at each rate."""

    def loss(model, eta):
        return solve(with_eta(model, eta), throw=False).test_loss[-1]

    return jax.vmap(jax.vmap(loss, (None, 0)), (0, None))(models, rates)


def _spectra(model, eta):
    solution = solve(with_eta(model, eta), throw=False)
    path = outlier_path(solution.weights(-1))
    sharpness = ntk_path(solution, kernel=model.governing_kernel)
    escape = escape_time(solution, layer=-1)
    return escape, path.location[-1, 0], path.escaped[-1, 0], sharpness
