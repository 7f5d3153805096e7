"""How much the loss of one run scatters: from seeds, or from how rough the curves are."""

from typing import NamedTuple

import numpy as np

from spectrax.transfer.tables.runs import Curve

MEDIAN = 0.4549364  # of the square of a standard normal variable
EFFICIENCY = 0.37  # degrees of freedom that a median of squares keeps
SMALLEST = 1e-9  # of the range of losses: what counts as no noise at all


class Noise(NamedTuple):
    """Scatter of the loss of one run.

    Attributes:
        sigma: standard deviation.
        freedom: degrees of freedom with which it is known.
        seeds: whether it comes from repeated runs.
    """

    sigma: float
    freedom: float
    seeds: bool


def noise_of(curves: list[Curve]) -> Noise:
    """Pooled over all widths, near the optima.

    With seeds: their variance at the better half of the rates of each width. Without: the median of
    squared third differences, which parabolas do not have, on the side of the optima where the
    curves are smoother; so a cliff on one side is no noise.
    """
    losses = np.concatenate([c.loss[np.isfinite(c.loss)] for c in curves])
    least = SMALLEST * max(np.ptp(losses), abs(losses).max(), np.finfo(float).tiny)
    squares, freedom = 0.0, 0
    for curve in curves:
        near = curve.loss <= np.median(curve.loss[np.isfinite(curve.loss)])
        squares += curve.squares[near].sum()
        freedom += int((curve.count[near] - 1).sum())
    if freedom >= 3:
        return Noise(max(float(np.sqrt(squares / freedom)), least), freedom, True)
    left, right = [], []
    for curve in curves:
        for side, values in zip((left, right), _roughness(curve), strict=True):
            side.extend(values)
    enough = [side for side in (left, right) if len(side) >= 3] or [left + right]
    found = [(np.median(side) / MEDIAN, len(side)) for side in enough if side]
    if not found:
        return Noise(least, 1.0, False)
    variance, count = min(found)
    return Noise(max(float(np.sqrt(variance)), least), max(2.0, EFFICIENCY * count), False)


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
