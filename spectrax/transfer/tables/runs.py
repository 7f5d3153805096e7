"""Runs of networks, one by one, and the curves of loss against learning rate that they make."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Curve(NamedTuple):
    """Loss against the learning rate at one width, seeds averaged.

    Attributes:
        width: of the networks.
        x: logarithms of the learning rates, ascending, (k,).
        loss: mean over the seeds, +inf where one of them diverged, (k,).
        count: number of seeds, (k,).
        squares: sum of squared deviations of the seeds from their mean, 0 where diverged, (k,).
    """

    width: float
    x: Float[np.ndarray, " k"]
    loss: Float[np.ndarray, " k"]
    count: Int[np.ndarray, " k"]
    squares: Float[np.ndarray, " k"]

    @property
    def lowest(self) -> int:
        """Index of the lowest loss."""
        return int(np.argmin(self.loss))

    def block(self) -> slice:
        """The rates around the lowest loss between which nothing diverged."""
        broken = np.flatnonzero(~np.isfinite(self.loss))
        below, above = broken[broken < self.lowest], broken[broken > self.lowest]
        start = below[-1] + 1 if below.size else 0
        return slice(int(start), int(above[0]) if above.size else len(self.x))


def curves_of(widths, lrs, losses) -> list[Curve]:
    """One curve for each width out of runs in any order, each width with a grid of its own.

    Args:
        widths: of the runs, (r,).
        lrs: their learning rates, (r,); repeated pairs of width and rate are seeds.
        losses: their losses, (r,); what is not finite is a divergence.

    Returns:
        Curves by ascending width.

    Raises:
        ValueError: one sentence naming the argument and its value.
    """
    widths, lrs = _positive("widths", widths), _positive("lrs", lrs)
    losses = np.asarray(losses, float)
    if not widths.shape == lrs.shape == losses.shape or losses.ndim != 1 or not losses.size:
        raise ValueError(
            "Argument `losses` must have one entry for each run, like `widths` and `lrs`, got "
            f"shapes {losses.shape}, {widths.shape}, {lrs.shape}."
        )
    different = np.unique(widths)
    if len(different) < 2:
        raise ValueError(
            "Argument `widths` must be a list of at least 2 numbers that differ, got "
            f"{different.tolist()}."
        )
    return [_curve(w, lrs[widths == w], losses[widths == w]) for w in different]


def _curve(width, lrs, losses) -> Curve:
    rates, which = np.unique(lrs, return_inverse=True)
    count = np.bincount(which)
    safe = np.where(np.isfinite(losses), losses, 0.0)
    diverged = np.bincount(which, ~np.isfinite(losses)) > 0
    mean = np.bincount(which, safe) / count
    squares = np.bincount(which, (safe - mean[which]) ** 2)
    if diverged.all():
        raise ValueError(
            "Argument `losses` must have a finite entry for every width, got only divergent trials "
            f"at width {width:g}."
        )
    loss = np.where(diverged, np.inf, mean)
    return Curve(float(width), np.log(rates), loss, count, np.where(diverged, 0.0, squares))


def _positive(name: str, values) -> np.ndarray:
    values = np.asarray(values, float)
    bad = ~((values > 0) & np.isfinite(values))
    if bad.any():
        raise ValueError(f"Argument `{name}` must be positive and finite, got {values[bad][0]}.")
    return values
