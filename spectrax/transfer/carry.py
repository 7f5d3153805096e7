"""From the best learning rate at one width to that at another, by theory."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from spectrax import check
from spectrax.parameterization import Parameterization, mup, ntk
from spectrax.transfer.optimum import optimal_lr
from spectrax.transfer.tables.judge import CANNOT, DOES_NOT, MATTERS, TRANSFERS

FURTHEST = 1e6  # ratio of widths; beyond 1e8 inputs the theory loses digits without a sign of it


class Carried(NamedTuple):
    r"""A rate taken from one width to another.

    Attributes:
        lr, low, high: the rate there, and its range over the input dimensions considered.
        ratios: $\eta^*(n')/\eta^*(n)$ for each of them.
        drift: $\rho$ of $(n'/n)^\rho$ of `lr`; `drift_error` half its range.
        verdict: whether the rate may as well be kept: "transfers", "does not transfer", or "cannot
            judge" where that depends on the input dimension.
        reason: one sentence.
    """

    lr: float
    low: float
    high: float
    ratios: tuple[float, ...]
    drift: float
    drift_error: float
    verdict: str
    reason: str


def carry_rate(model, parameterization, width: float, lr: float, at: float, ratios) -> Carried:
    r"""Take a rate to another width, $\eta(n') = \eta(n)\,\eta^*(n')/\eta^*(n)$.

    Args:
        model: its width, learning rate and parameterization do not matter.
        parameterization: "mup", "ntk", a `Parameterization` or its two exponents.
        width: where the best rate is known.
        lr: the best rate there.
        at: the other width.
        ratios: values of `width` over input dimension to consider; the middle one is recommended.

    Raises:
        ValueError: one sentence: `at` is further than a factor of 1e6 from `width`, or best rates
            are no finite numbers there.
    """
    for name, value in {"width": width, "lr": lr, "at": at, "ratios": ratios}.items():
        check.positive(name, value)
    if not 1 / FURTHEST <= at / width <= FURTHEST:
        lowest, highest = width / FURTHEST, width * FURTHEST
        raise ValueError(
            f"Argument `at` must be {lowest:g} to {highest:g}, as `width` is {width:g}, got {at:g}."
        )
    if isinstance(parameterization, str):
        parameterization = {"mup": mup, "ntk": ntk}[parameterization]
    elif not isinstance(parameterization, Parameterization):
        parameterization = Parameterization(*parameterization)
    start = jnp.asarray(ratios, float)
    nu = jnp.concatenate([start, start * (at / width)])
    exponents = jax.tree.map(lambda x: jnp.asarray(x, float), parameterization)  # one program
    best = np.asarray(_optima(model, nu, exponents))
    with np.errstate(all="ignore"):
        found = best[len(start) :] / best[: len(start)]
    if not np.all((lr * found > 0) & np.isfinite(lr * found)):  # NaN included
        raise ValueError(
            f"Argument `parameterization` must have best rates that are positive numbers, got "
            f"{best[: len(start)].tolist()} at width {width:g} and {best[len(start) :].tolist()} "
            f"at {at:g}."
        )
    middle = float(found[len(found) // 2])
    low, high = lr * float(found.min()), lr * float(found.max())
    distance = np.log(at / width)
    drifts = np.log(found) / distance if distance else 0 * found
    drift, error = float(drifts[len(drifts) // 2]), float(np.ptp(drifts) / 2)
    small = np.abs(drifts) < MATTERS
    verdict = TRANSFERS if small.all() else CANNOT if small.any() else DOES_NOT
    reason = (
        f"in theory the best rate changes by a factor of {middle:.3g} from width {width:g} to "
        f"{at:g}, a drift of {drift:.3f} ({drifts.min():.3f} to {drifts.max():.3f} as the input "
        "dimension goes from small to large)."
    )
    ratios = tuple(float(x) for x in found)
    return Carried(lr * middle, low, high, ratios, drift, error, verdict, reason)


@eqx.filter_jit
def _optima(model, nu, parameterization):
    def at(nu):
        where = lambda m: (m.nu, m.parameterization)  # noqa: E731
        return optimal_lr(eqx.tree_at(where, model, (nu, parameterization)))

    return jax.vmap(at)(nu)
