"""Runs of networks, one by one, and the curves of loss against learning rate that they make."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spectrax import check

LARGEST = 1e100  # of a loss that did not diverge: squares are finite


class Curve(NamedTuple):
    """Loss against the learning rate at one width, seeds averaged.

    Attributes:
        width: of the networks.
        x: logarithms of the learning rates, ascending, (k,).
        loss: mean over the seeds, +inf where one of them diverged, (k,). Where seeds are known and
            some are missing, the mean of all of them as far as each shifts its whole curve alike.
        count: number of seeds, (k,).
        rest: what is left of each run after the mean of its rate and the shift of its seed, 0 where
            there is no run or one diverged, (k, s).
        paired: whether a column of `rest` is one seed at all rates.
    """

    width: float
    x: Float[np.ndarray, " k"]
    loss: Float[np.ndarray, " k"]
    count: Int[np.ndarray, " k"]
    rest: Float[np.ndarray, "k s"]
    paired: bool

    @property
    def lowest(self) -> int:
        """Index of the lowest loss."""
        return int(np.argmin(self.loss))

    @property
    def near(self) -> Bool[np.ndarray, " k"]:
        """The better half of the rates."""
        return self.loss <= np.median(self.loss[np.isfinite(self.loss)])

    def block(self) -> slice:
        """The rates around the lowest loss between which nothing diverged."""
        broken = np.flatnonzero(~np.isfinite(self.loss))
        below, above = broken[broken < self.lowest], broken[broken > self.lowest]
        start = below[-1] + 1 if below.size else 0
        return slice(int(start), int(above[0]) if above.size else len(self.x))


def curves_of(widths, lrs, losses, seeds=None) -> list[Curve]:
    """One curve for each width out of runs in any order, each width with a grid of its own.

    Args:
        widths: of the runs, (r,).
        lrs: their learning rates, (r,); repeated pairs of width and rate are seeds.
        losses: their losses, (r,); what is not finite is a divergence.
        seeds: names or numbers of their seeds, (r,), if known.

    Returns:
        Curves by ascending width.

    Raises:
        ValueError: one sentence naming the argument and its value.
    """
    widths, lrs = _positive("widths", widths), _positive("lrs", lrs)
    losses = check.measured("losses", losses)
    if not widths.shape == lrs.shape == losses.shape or losses.ndim != 1 or not losses.size:
        raise ValueError(
            "Argument `losses` must have one entry for each run, like `widths` and `lrs`, got "
            f"shapes {losses.shape}, {widths.shape}, {lrs.shape}."
        )
    seeds = None if seeds is None else np.asarray(seeds)
    if seeds is not None and seeds.shape != losses.shape:
        raise ValueError(
            "Argument `seeds` must have one entry for each run, like `losses`, got shapes "
            f"{seeds.shape}, {losses.shape}."
        )
    different = np.unique(widths)
    if len(different) < 2:
        raise ValueError(
            "Argument `widths` must be a list of at least 2 numbers that differ, got "
            f"{different.tolist()}."
        )
    curves = []
    for width in different:
        own = widths == width
        named = None if seeds is None else seeds[own]
        curves.append(_curve(width, lrs[own], losses[own], named))
    return curves


def _curve(width, lrs, losses, seeds) -> Curve:
    rates, row = np.unique(lrs, return_inverse=True)
    count = np.bincount(row)
    runs, paired = _columns(row, losses, seeds)
    diverged = np.bincount(row, ~np.isfinite(losses)) > 0
    if diverged.all():
        raise ValueError(
            "Argument `losses` must have a finite entry for every width, got only divergent trials "
            f"at width {width:g}."
        )
    runs = np.where(diverged[:, None], np.nan, runs)
    loss = np.where(diverged, np.inf, np.nansum(runs, axis=1) / count)
    if paired:
        shifts = _shifts(runs[loss <= np.median(loss[~diverged])])
        paired = shifts is not None
    if paired:
        runs = runs - shifts
        loss = np.where(diverged, np.inf, np.nansum(runs, axis=1) / count)
    rest = np.nan_to_num(runs - np.where(diverged, 0.0, loss)[:, None], nan=0.0)
    return Curve(float(width), np.log(rates), loss, count, rest, paired)


def _columns(row, losses, seeds):
    """Runs as (rates, seeds), NaN where there is none, and whether columns are known seeds."""
    paired = False
    if seeds is not None:
        names, column = np.unique(seeds, return_inverse=True)
        once = len(np.unique(np.stack([row, column]), axis=1).T) == len(row)
        paired = once and len(names) > 1
    if not paired:  # any order
        order = np.argsort(row, kind="stable")
        column = np.empty_like(row)
        column[order] = np.arange(len(row)) - np.searchsorted(row[order], row[order])
    runs = np.full((row.max() + 1, column.max() + 1), np.nan)
    runs[row, column] = losses
    return runs, paired


def _shifts(runs) -> Float[np.ndarray, " s"] | None:
    """By how much each seed lies above the mean of all, None if the runs do not tell."""
    k, s = runs.shape
    row, column = np.nonzero(np.isfinite(runs))
    design = np.concatenate([np.eye(k)[row], np.eye(s)[column]], axis=1)
    if np.linalg.matrix_rank(design) < k + s - 1:
        return None  # seeds that share no rates
    scale = max(np.abs(runs[row, column]).max(), np.finfo(float).tiny)
    found = np.linalg.lstsq(design, runs[row, column] / scale, rcond=None)[0][k:] * scale
    return found - found.mean()


def _positive(name: str, values) -> np.ndarray:
    values = check.measured(name, values)
    bad = ~((values > 0) & np.isfinite(values))
    if bad.any():
        raise ValueError(f"Argument `{name}` must be positive and finite, got {values[bad][0]}.")
    return values
