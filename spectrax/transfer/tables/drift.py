r"""The drift of the best learning rate: $\rho$ in $\eta^*(n)\propto n^\rho$."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special

from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Minima, Optimum, least_error, weights

# Of the spacing. Corners between two rates are not seen, so that the optima of all widths may lie
# a third of the spacing (two standard deviations) to one side of those of smooth curves.
CORNER = 1 / 6
EXCESS = 0.05  # probability of a scatter about the line below which errors are taken for too small


class Drift(NamedTuple):
    r"""$\log\eta^*(n) = c + \rho\,(\log n - m)$, by weighted least squares.

    Attributes:
        exponent: $\rho$; 0 if fewer than two optima are known.
        stderr: its standard error, +inf if fewer than two optima are known.
        low, high: interval of 95 %.
        level, center: c and m.
        freedom: degrees of freedom of the errors: t quantiles.
        count: number of optima used.
        chi2: squared residuals over squared errors; `scale` the factor by which errors grew.
        residual: root mean square residual of $\log\eta^*$ about the line.
        covariance: of (c, $\rho$).
    """

    exponent: float
    stderr: float
    low: float
    high: float
    level: float
    center: float
    freedom: float
    count: int
    chi2: float
    scale: float
    residual: float
    covariance: Float[np.ndarray, "2 2"]

    def interval(self, confidence: float) -> tuple[float, float]:
        """Interval of the exponent."""
        if not np.isfinite(self.stderr):
            return -np.inf, np.inf
        reach = quantile(self.freedom, confidence) * self.stderr
        return self.exponent - reach, self.exponent + reach

    def at(self, width: float) -> tuple[float, float]:
        """Logarithm of the best rate at a width, and its standard error."""
        if not np.isfinite(self.stderr):
            return self.level, np.inf
        where = np.array([1.0, np.log(width) - self.center])
        x = self.level + self.exponent * where[1]
        return x, float(np.sqrt(where @ self.covariance @ where))


def quantile(freedom: float, confidence: float) -> float:
    """Two-sided quantile of Student's t."""
    return float(special.stdtrit(freedom, 0.5 + confidence / 2))


def drift_of(
    curves: list[Curve], minima: list[Minima], optima: list[Optimum], freedom: float
) -> Drift:
    """The line through the optima that are inside their grids.

    One line for each model of the valleys, the same at all widths, and their weighted mean: what a
    model gets wrong at all widths alike is no drift.
    """
    inside = np.array([o.inside for o in optima])
    kept = np.flatnonzero(inside)
    logs = np.log([curves[k].width for k in kept])
    if len(kept) < 2:
        level = optima[kept[0]].x if len(kept) else float(np.mean([o.x for o in optima]))
        center = float(logs[0]) if len(kept) else float(np.mean(np.log([c.width for c in curves])))
        return unknown(level, center, len(kept))
    own = np.array([optima[k].variance for k in kept])
    shape = np.array([optima[k].shape for k in kept]) ** 2
    floor = np.array([least_error(curves[k]) for k in kept]) ** 2
    apart = floor + _phases(curves, optima, kept) * np.mean(shape - floor)
    score = sum(np.where(minima[k].kind == "inside", minima[k].score, np.inf) for k in kept)
    p = weights(score)
    if p.any():
        used = p > 0
        p = p[used]
        x = np.stack([minima[k].x[used] for k in kept])  # (widths, models)
        variance = np.stack([minima[k].variance[used] for k in kept]) @ p + apart
    else:  # no model fits all widths: each has its own mean
        p, x = np.ones(1), np.array([[optima[k].x] for k in kept])
        variance = own
    spacing = np.array([optima[k].spacing for k in kept])
    together = float(np.mean(shape - floor + (CORNER * spacing) ** 2))
    return fit_line(logs, x, p, variance, own, freedom, together)


def _phases(curves, optima, kept) -> float:
    """How differently the optima lie between the rates of their grids: 0 if alike, 1 if evenly.

    Optima in like places have like errors from the shape of the curves, which are no drift.
    """
    places = [(optima[k].x - curves[k].x[curves[k].lowest]) / optima[k].spacing for k in kept]
    return min(1.0, 12 * float(np.var(places)))


def fit_line(logs, x, p, variance, own, freedom: float, together: float = 0.0) -> Drift:
    r"""Mean of weighted regressions.

    Args:
        logs: logarithms of the widths, (n,).
        x: $\log\eta^*$ of each width and model, (n, s).
        p: weights of the models, (s,).
        variance: of the optima within a model, independent from width to width, (n,).
        own: of the optima with everything, for the weights of the widths, (n,).
        freedom: degrees of freedom of the variances.
        together: variance that all optima share.
    """
    # An error that is small by chance must not rule: half of it is that of all widths.
    w = 2 / (own + own.mean())
    center = float(w @ logs / w.sum())
    design = np.stack([np.ones_like(logs), logs - center])  # (2, n)
    to_line = design * w / np.sum(w * design**2, axis=1)[:, None]
    lines = to_line @ x  # (2, s)
    line = lines @ p
    rest = x - design.T @ lines
    mean = rest @ p
    among = lines - line[:, None]
    free = len(logs) - 2
    chi2 = float(np.sum(mean**2 / (variance + (rest - mean[:, None]) ** 2 @ p)))
    scale = 1.0
    if free > 0 and special.gammaincc(free / 2, chi2 / 2) < EXCESS:
        scale, freedom = float(np.sqrt(chi2 / free)), float(free)
    covariance = scale**2 * ((to_line * variance) @ to_line.T + (among * p) @ among.T)
    covariance[0, 0] += together
    stderr, rho = float(np.sqrt(covariance[1, 1])), float(line[1])
    reach = quantile(freedom, 0.95) * stderr
    residual = float(np.sqrt(np.mean(mean**2)))
    head = (rho, stderr, rho - reach, rho + reach, float(line[0]), center)
    return Drift(*head, float(freedom), len(logs), chi2, scale, residual, covariance)


def unknown(level: float, center: float, count: int) -> Drift:
    """Fewer than two optima: nothing is known on the drift."""
    nothing = np.diag([np.inf, np.inf])
    head = (0.0, np.inf, -np.inf, np.inf, level, center)
    return Drift(*head, 1.0, count, 0.0, 1.0, 0.0, nothing)
