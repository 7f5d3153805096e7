"""Does a learning rate found on a narrow network transfer? The answer of a table of losses."""

from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from spectrax import check
from spectrax.transfer.tables.cost import Cost, Valley, cost_of
from spectrax.transfer.tables.drift import Drift, drift_of, quantile
from spectrax.transfer.tables.judge import SHOWN, Evidence, judge
from spectrax.transfer.tables.measures import Measures, measures_of
from spectrax.transfer.tables.noise import Noise
from spectrax.transfer.tables.runs import LARGEST, Curve
from spectrax.transfer.tables.scale import losses_again, scaled_curves
from spectrax.transfer.tables.seeds import own_optima
from spectrax.transfer.tables.valley import Optimum, average, find_minima, specs_of


class Recommended(NamedTuple):
    """A learning rate to use at a width.

    Attributes:
        width: asked for.
        lr: the rate.
        low, high: interval of 95 %; 0 and +inf where nothing bounds it.
        lost: what the loss would be above its optimum, as in the widest measured network, if the
            narrowest network's rate were kept; +inf if that diverges.
    """

    width: float
    lr: float
    low: float
    high: float
    lost: float


class TransferGaps(eqx.Module):
    r"""What a table of losses says on learning-rate transfer; print it.

    Args:
        curves: losses of each width, seeds averaged.
        optima: the best rate of each width with its errors.
        noise: scatter of the loss of a single run.
        drift: $\rho$ in $\eta^*(n)\propto n^\rho$: `exponent`, `stderr`, `low`, `high`.
        cost: what the rates of narrower widths cost at the widest, beside what width gains.
        verdict: "transfers", "does not transfer", or "cannot judge".
        reason: one sentence.
        advice: what to measure next, empty if nothing.

    Source: theory page, section 7.
    """

    curves: list[Curve]
    optima: list[Optimum]
    noise: Noise
    drift: Drift
    cost: Cost
    verdict: str
    reason: str
    advice: str

    @property
    def widths(self) -> Float[np.ndarray, " n"]:
        """Ascending."""
        return np.array([curve.width for curve in self.curves])

    @property
    def optimal_lr(self) -> Float[np.ndarray, " n"]:
        """Best rate of every width; an end of the grid where `at_end`."""
        return np.exp([optimum.x for optimum in self.optima])

    @property
    def optimal_loss(self) -> Float[np.ndarray, " n"]:
        """Loss there."""
        return np.array([optimum.loss for optimum in self.optima])

    @property
    def at_end(self) -> Bool[np.ndarray, " n"]:
        """Whether the optimum lies beyond the grid or is hidden by noise."""
        return np.array([not optimum.inside for optimum in self.optima])

    @property
    def measures(self) -> Measures:
        """Quality of the scaling law, robustness of extrapolation, asymptotic loss."""
        return measures_of(self.curves, self.optima, self.drift)

    def recommend(self, width: float) -> Recommended:
        """The learning rate to use at a width, with its interval of 95 %."""
        check.positive("width", width)
        x, error = self.drift.at(width)
        reach = quantile(self.drift.freedom, SHOWN) * error
        keep = self.drift.at(self.curves[0].width)[0] - x
        last = self.optima[-1]
        lost = float(Valley(self.curves[-1], last).excess(last.x + keep))
        low, high = (np.exp(x - reach), np.exp(x + reach)) if np.isfinite(reach) else (0.0, np.inf)
        return Recommended(float(width), float(np.exp(x)), float(low), float(high), lost)

    def __str__(self) -> str:
        head = (
            f"{'width':>10}{'best lr':>12}{'error':>9}{'loss':>12}{'cost':>11}{'width gains':>13}"
        )
        lines = [head]
        for k, (curve, optimum) in enumerate(zip(self.curves, self.optima, strict=True)):
            error = f"{100 * np.sqrt(optimum.variance):.1f} %"
            error = (
                error
                if optimum.inside
                else {"low": "or less", "high": "or more"}.get(optimum.kind, "noise")
            )
            row = f"{curve.width:>10g}{np.exp(optimum.x):>12.4g}{error:>9}{optimum.loss:>12.4g}"
            if k < len(self.cost.loss):
                row += f"{self.cost.loss[k]:>11.2e}{self.cost.gain[k]:>13.2e}"
            lines.append(row)
        measures = self.measures
        named = {
            "fit error of log lr": measures.fit_error,
            "loss of extrapolating to the widest": measures.extrapolation_loss,
            "loss at infinite width": measures.asymptotic_loss,
        }
        known = [f"{name} {value:.3g}" for name, value in named.items() if value is not None]
        lines += ["; ".join(known)] if known else []
        lines.append(f"{self.verdict}: {self.reason}")
        return "\n".join([*lines, self.advice] if self.advice else lines)


def transfer_runs(widths, lrs, losses, seeds=None) -> TransferGaps:
    """Does a learning rate transfer? From runs one by one, each width with rates of its own.

    Args:
        widths: width of each run, in any order, (r,).
        lrs: its learning rate, (r,).
        losses: its loss, (r,); what is not finite or beyond 1e100 is a divergence. Runs of one
            width and rate are seeds.
        seeds: name or number of the seed of each run, (r,), if known. What a seed does to all rates
            of a width alike is then no noise.

    Returns:
        A `TransferGaps`; print it for a table.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Source: theory page, section 7.
    """
    losses = check.measured("losses", losses)
    losses = np.where(np.abs(losses) <= LARGEST, losses, np.inf)
    curves, noise = scaled_curves(widths, lrs, losses, seeds)
    spec = specs_of(curves)
    minima = [find_minima(c, sigma, spec) for c, sigma in zip(curves, noise.sigma, strict=True)]
    minima, freedom = own_optima(curves, minima, noise)
    each = zip(curves, minima, noise.sigma, strict=True)
    optima = [average(curve, found, sigma) for curve, found, sigma in each]
    drift = drift_of(curves, minima, optima, freedom)
    curves, optima, noise = losses_again(curves, optima, noise)
    seen = Evidence(curves, optima, noise, drift, cost_of(curves, optima, noise))
    return TransferGaps(*seen, *judge(seen))


def transfer_gaps(widths, lrs, losses) -> TransferGaps:
    r"""Does a learning rate transfer? From a table of losses over widths and learning rates.

    Args:
        widths: n ascending positive numbers.
        lrs: k ascending positive learning rates, at least 3.
        losses: (n, k), or (n, k, s) with s seeds, each the same at all rates of a width;
            +inf marks a divergence; at least one finite
            entry for every width.

    Returns:
        A `TransferGaps`; print it for a table.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import numpy as np
        >>> widths, lrs = np.array([64.0, 128, 256, 512]), 2.0 ** np.arange(-10, -3)
        >>> best = -6 - 0.5 * np.log2(widths[:, None] / 64)  # falls like width^(-1/2)
        >>> losses = (np.log2(lrs) - best) ** 2 + 1 + 8 / widths[:, None]
        >>> found = transfer_gaps(widths, lrs, losses)
        >>> print(found.verdict, f"{found.drift.exponent:.2f}")
        does not transfer -0.50
        >>> print(f"{found.recommend(4096).lr:.5f}")
        0.00195

    Source: theory page, section 7.
    """
    widths, lrs = _ascending("widths", widths, 2), _ascending("lrs", lrs, 3)
    losses = check.measured("losses", losses)
    shape = (len(widths), len(lrs))
    if losses.ndim not in (2, 3) or losses.shape[:2] != shape:
        raise ValueError(f"Argument `losses` must have shape {shape}, got {losses.shape}.")
    losses = losses.reshape(*shape, -1)
    if np.isnan(losses).any():
        i, j, _ = np.argwhere(np.isnan(losses))[0]
        raise ValueError(
            f"Argument `losses` must have no holes (inf marks a divergence), got NaN at width "
            f"{widths[i]:g} and learning rate {lrs[j]:g}."
        )
    seeds = np.arange(losses.shape[2])
    each = np.broadcast_arrays(widths[:, None, None], lrs[:, None], losses, seeds)
    return transfer_runs(*(values.ravel() for values in each))


def _ascending(name: str, values, least: int) -> np.ndarray:
    values = check.measured(name, values)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(
            f"Argument `{name}` must be a list of at least {least} numbers, got {values.tolist()}."
        )
    if not (np.isfinite(values).all() and (values > 0).all() and (np.diff(values) > 0).all()):
        raise ValueError(
            f"Argument `{name}` must be positive and strictly ascending, got {values.tolist()}."
        )
    return values
