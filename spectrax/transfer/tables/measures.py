"""Three measures of transfer: quality of the scaling law, robustness, asymptotic loss."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import curve_fit

from spectrax.transfer.tables.cost import Valley
from spectrax.transfer.tables.drift import Drift
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Optimum


class Measures(NamedTuple):
    r"""Three numbers, each None where the table does not support it; `reason` says why.

    They are of the kinds that arXiv:2605.21486 names; the definitions are our own.

    Attributes:
        fit_error: root mean square of $\log\eta^*_n$ about the fitted power law (three optima).
        extrapolation_loss: loss of the widest network, above its optimum, at the rate that the
            power law of all narrower ones predicts (three narrower optima, and the widest).
        asymptotic_loss: $L_\infty$ of $L_n(\eta^*_n) = L_\infty + A n^{-\alpha}$ (four optima whose
            losses fall). Its difference between two parameterizations of one network is the penalty
            for choosing one of them.
        reason: one sentence, empty if everything is there.
    """

    fit_error: float | None
    extrapolation_loss: float | None
    asymptotic_loss: float | None
    reason: str


def measures_of(curves: list[Curve], optima: list[Optimum], drift: Drift) -> Measures:
    """What the table supports of the three."""
    inside = [k for k, optimum in enumerate(optima) if optimum.inside]
    fit = drift.residual if len(inside) >= 3 else None
    missing = [] if fit is not None else ["the fit needs three optima inside their grids"]
    logs = np.log([curves[k].width for k in inside])
    x = np.array([optima[k].x for k in inside])
    extrapolation = asymptotic = None
    if len(inside) >= 4 and optima[-1].inside:
        predicted = np.polyval(np.polyfit(logs[:-1], x[:-1], 1), logs[-1])
        extrapolation = float(Valley(curves[-1], optima[-1]).excess(predicted))
        losses = np.array([optima[k].loss for k in inside])
        errors = np.array([optima[k].loss_error for k in inside])
        asymptotic = _asymptote(np.exp(logs - logs[0]), losses, errors)
        if asymptotic is None:
            missing.append("the losses follow no falling power law above a limit")
    else:
        missing.append("the others need four optima, that of the widest network among them")
    return Measures(fit, extrapolation, asymptotic, "; ".join(missing))


def _asymptote(widths, losses, errors) -> float | None:
    """Limit of L + A n^-alpha; None if the fall is not clear of the noise."""
    fall = losses[0] - losses[-1]
    if fall <= 3 * np.hypot(errors[0], errors[-1]):
        return None

    def law(n, limit, scale, alpha):
        return limit + scale * n**-alpha

    start = (losses[-1] - 0.3 * fall, 1.3 * fall, 0.5)
    bounds = ([-np.inf, 0.0, 0.05], [np.inf, np.inf, 5.0])
    try:
        found, _ = curve_fit(law, widths, losses, start, errors, bounds=bounds)
    except RuntimeError:
        return None
    clear = 0.051 < found[2] < 4.99 and found[0] < losses[-1]  # a limit lies below what it limits
    return float(found[0]) if clear else None
