r"""Whether losses scatter by amounts or by parts of themselves, and fits on the right scale.

Where noise is relative, everything is fitted to $y=\log L$: its scatter is the same at all rates
and widths, and a seed that multiplies a whole curve shifts y. Which scale is right, the runs say:
with $\sigma^2$ the variance of the losses and $\sigma_y^2$ that of their logarithms, of N
independent deviations at the better half of the rates, the log-likelihoods differ by

$$ \ell_y - \ell_L = \tfrac N2\log\frac{\sigma^2}{\sigma_y^2} - N\,\overline{\log L}. $$
"""

import numpy as np

from spectrax.transfer.tables.noise import Noise, noise_of, pooled
from spectrax.transfer.tables.runs import Curve, curves_of
from spectrax.transfer.tables.valley import Optimum

CLEAR = 2.0  # difference of log-likelihoods from which the noise is taken for relative


def scaled_curves(widths, lrs, losses, seeds) -> tuple[list[Curve], Noise]:
    """Curves of losses, or of their logarithms if `relative`, and their noise."""
    curves = curves_of(widths, lrs, losses, seeds)
    losses = np.asarray(losses, float)
    if np.all(losses[np.isfinite(losses)] > 0):
        with np.errstate(invalid="ignore"):
            logs = curves_of(
                widths, lrs, np.where(losses > 0, np.log(np.abs(losses)), np.inf), seeds
            )
        if _relative(curves, logs):
            return logs, noise_of(logs)._replace(relative=True)
    return curves, noise_of(curves)


def _relative(curves: list[Curve], logs: list[Curve]) -> bool:
    variance, freedom = pooled(curves)
    of_logs, _ = pooled(logs)
    level = np.concatenate([curve.loss[curve.near] for curve in logs]).mean()
    better = freedom / 2 * np.log(variance / of_logs) - freedom * level
    return bool(better > CLEAR)


def losses_again(
    curves: list[Curve], optima: list[Optimum], noise: Noise
) -> tuple[list[Curve], list[Optimum], Noise]:
    """The same in terms of losses: means are then geometric ones."""
    if not noise.relative:
        return curves, optima, noise
    heights = [np.exp(optimum.loss) for optimum in optima]
    optima = [
        o._replace(
            loss=float(h), loss_error=float(h * o.loss_error), curvature=float(h * o.curvature)
        )
        for o, h in zip(optima, heights, strict=True)
    ]
    losses = [np.exp(curve.loss) for curve in curves]
    rests = [
        np.where(np.isfinite(curve.loss), loss, 0.0)[:, None] * curve.rest
        for curve, loss in zip(curves, losses, strict=True)
    ]
    curves = [
        curve._replace(loss=loss, rest=rest)
        for curve, loss, rest in zip(curves, losses, rests, strict=True)
    ]
    return curves, optima, noise._replace(sigma=noise.sigma * np.array(heights))
