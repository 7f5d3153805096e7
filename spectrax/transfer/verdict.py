"""The verdict on transfer where theory knows every optimum, and that of infinite width."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spectrax.transfer.gaps import LimitGaps
from spectrax.transfer.tables.drift import Drift, fit_line
from spectrax.transfer.tables.judge import CANNOT, DOES_NOT, MATTERS, TRANSFERS

RESOLUTION = 1e-8  # of the logarithm of an optimal rate


class TheoryVerdict(NamedTuple):
    r"""Whether a rate carries over from width to width, in theory.

    Attributes:
        drift: $\rho$ in $\eta^*(n)\propto n^\rho$ over the widths asked for; its error is how much
            the optima bend away from a power.
        verdict: "transfers", "does not transfer" or "cannot judge".
        reason: one sentence.
        cost: loss of the widest network with the rates of narrower ones, above its own optimum,
            (m,).
        gain: what the loss gains from these widths to the widest, (m,).
    """

    drift: Drift
    verdict: str
    reason: str
    cost: Float[np.ndarray, " m"]
    gain: Float[np.ndarray, " m"]


def theory_verdict(widths, optimal_lr, losses, gaps: LimitGaps, limit_lr: float) -> TheoryVerdict:
    r"""Over these widths the drift must be small; beyond them the limit must be reached fast.

    Args:
        widths: ascending, (n,).
        optimal_lr: of each width, (n,).
        losses: of each width (rows) with the optimal rate of each width (columns), (n, n).
        gaps: between wide networks and the infinite one.
        limit_lr: optimal rate of the infinite network.
    """
    error = np.full(len(widths), RESOLUTION**2)
    x = np.log(optimal_lr)[:, None]
    drift = fit_line(np.log(widths), x, np.ones(1), error, error, 1.0)
    cost = np.maximum(0.0, losses[-1, :-1] - losses[-1, -1])
    gain = np.diagonal(losses)[:-1] - losses[-1, -1]
    change = optimal_lr[-1] / optimal_lr[0]
    speed = "settle" if gaps.fast else "do not settle"
    sign = ">" if gaps.fast else "<="
    reason = (
        f"from width {widths[0]:g} to {widths[-1]:g} the best rate changes by a factor of "
        f"{change:.3g} (drift {drift.exponent:.3f}), to infinity by {limit_lr / optimal_lr[-1]:.3g}"
        f" more; rates {speed} faster than the square root of the loss (beta = {gaps.beta:.2f} "
        f"{sign} alpha/2 = {gaps.alpha / 2:.2f})."
    )
    if len(widths) < 3:
        verdict = CANNOT
        reason = "two widths cannot tell a law from chance; " + reason
    elif abs(drift.exponent) >= MATTERS:
        verdict = DOES_NOT
    elif gaps.fast:
        verdict = TRANSFERS
    else:
        verdict = CANNOT
    return TheoryVerdict(drift, verdict, reason, cost, gain)
