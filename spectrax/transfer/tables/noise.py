"""How much the loss of one run scatters: from seeds, or from how rough the curves are."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from spectrax.transfer.tables.runs import Curve

MEDIAN = 0.4549364  # of the square of a standard normal variable
EFFICIENCY = 0.37  # degrees of freedom that a median of squares keeps
FEW = 3  # degrees of freedom of seeds below which curves tell more about the noise
SMALLEST = 1e-9  # of the range of losses: what counts as no noise at all


class Noise(NamedTuple):
    """Scatter of the loss of one run, about the shift that its seed gives to the whole curve.

    Attributes:
        sigma: standard deviation near the optimum of each width, (n,).
        freedom: degrees of freedom with which it is known.
        seeds: whether it comes from repeated runs.
        relative: whether it is a part of the loss, and not an amount.
    """

    sigma: Float[np.ndarray, " n"]
    freedom: float
    seeds: bool
    relative: bool = False


def noise_of(curves: list[Curve]) -> Noise:
    """Of every width, near its optimum.

    With seeds: their variance at the better half of the rates of each width. Without: the median of
    squared third differences, which parabolas do not have, on the side of the optima where the
    curves are smoother; so a cliff on one side is no noise.
    """
    least = _least(curves)
    squares, freedom = np.array([_squares(curve) for curve in curves]).T
    if freedom.sum() >= FEW:
        variance, known = moderate(squares, freedom, least**2)
        return Noise(np.sqrt(np.maximum(variance, least**2)), known, True)
    variance, count = _roughnesses(curves)
    if not count:
        return Noise(np.full(len(curves), least), 1.0, False)
    sigma = np.full(len(curves), max(float(np.sqrt(variance)), least))
    return Noise(sigma, max(2.0, EFFICIENCY * count), False)


def pooled(curves: list[Curve]) -> tuple[float, float]:
    """Variance of a run if it is the same at all widths, and its degrees of freedom."""
    least = _least(curves) ** 2
    squares, freedom = np.array([_squares(curve) for curve in curves]).T
    if freedom.sum() >= FEW:
        return max(float(squares.sum() / freedom.sum()), least), float(freedom.sum())
    variance, count = _roughnesses(curves)
    return max(variance, least), EFFICIENCY * count


def _least(curves: list[Curve]) -> float:
    losses = np.concatenate([c.loss[np.isfinite(c.loss)] for c in curves])
    return SMALLEST * max(np.ptp(losses), abs(losses).max(), np.finfo(float).tiny)


def _roughnesses(curves: list[Curve]) -> tuple[float, int]:
    """Variance from third differences, and their number."""
    left, right = [], []
    for curve in curves:
        for side, values in zip((left, right), _roughness(curve), strict=True):
            side.extend(values)
    enough = [side for side in (left, right) if len(side) >= 3] or [left + right]
    found = [(float(np.median(side)) / MEDIAN, len(side)) for side in enough if side]
    return min(found, default=(0.0, 0))


def _squares(curve: Curve) -> tuple[float, int]:
    """Sum of squares of the runs at the better half of the rates, and its degrees of freedom."""
    near = curve.near
    shifts = curve.rest.shape[1] - 1 if curve.paired else 0
    freedom = int((curve.count[near] - 1).sum()) - shifts
    return float(np.sum(curve.rest[near] ** 2)), max(freedom, 0)


def moderate(squares, freedom, least: float):
    r"""Variances of many groups, each drawn towards the others as far as they agree.

    $$ \sigma_n^2 = \frac{d_0s_0^2 + d_ns_n^2}{d_0+d_n} $$

    with $d_0$ from how much the $\log s_n^2$ differ beyond chance; infinite if they do not.

    Args:
        squares: sums of squares of each group, (n,).
        freedom: their degrees of freedom $d_n$, (n,).
        least: smallest variance.

    Returns:
        Variances, (n,), and the degrees of freedom with which they are known.

    Source: Smyth, Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3.
    """
    known = freedom > 0
    d = freedom[known].astype(float)
    pooled = max(squares.sum() / d.sum(), least)
    if known.sum() < 2:
        return np.full(len(squares), pooled), float(d.sum())
    logs = np.log(np.maximum(squares[known] / d, least))
    e = logs - special.digamma(d / 2) + np.log(d / 2)
    excess = np.var(e, ddof=1) - np.mean(special.polygamma(1, d / 2))
    if excess < 1e-6:
        return np.full(len(squares), pooled), float(d.sum())
    half = optimize.brentq(lambda x: special.polygamma(1, np.exp(x)) - excess, -20.0, 20.0)
    half = np.exp(half)
    prior, common = 2 * half, np.exp(e.mean() + special.digamma(half) - np.log(half))
    variance = (prior * common + squares) / (prior + freedom)
    return variance, float(min(d.sum(), prior + d.min()))


def _roughness(curve: Curve):
    """Squared normalised third differences left and right of the lowest loss."""
    block, lowest = curve.block(), curve.lowest
    sides = [], []
    for start in range(block.start, block.stop - 3):
        four = slice(start, start + 4)
        x = curve.x[four]
        gaps = x[:, None] - x + np.eye(4)
        contrast = 1 / gaps.prod(axis=1)  # vanishes on parabolas
        rough = contrast @ curve.loss[four]
        value = rough**2 / np.sum(contrast**2 / curve.count[four])
        if start + 3 <= lowest + 1:
            sides[0].append(value)
        if start >= lowest - 1:
            sides[1].append(value)
    return sides
