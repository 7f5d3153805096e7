"""Does a learning rate found on a narrow network transfer? Verdict from a table of losses."""

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float


class TransferGaps(eqx.Module):
    r"""How fast loss, optimal rate, and what transfer costs approach the widest network.

    With the widest network in the place of the infinite one, for each narrower width n:

    $$a_n = |L_n(\eta_n) - L_\infty(\eta_\infty)|, \quad
      b_n = |\log_2 \eta_n - \log_2 \eta_\infty|, \quad
      c_n = L_\infty(\eta_n) - L_\infty(\eta_\infty),$$

    with $\eta_n$ the optimal rate at width n. Fits $a_n \propto n^{-\alpha}$,
    $b_n \propto n^{-\beta}$. As $c_n \propto b_n^2$ near a smooth minimum, what transfer costs
    vanishes faster than what width gains if and only if $\beta > \alpha/2$: fast transfer.

    Args:
        widths: ascending, (n,).
        optimal_lr: $\eta_n$ of every width, (n,).
        optimal_loss: $L_n(\eta_n)$, (n,).
        at_end: whether the optimum is an end of the table, so that it may lie beyond it, (n,).
        loss_gap, lr_gap, suboptimality: a, b, c of all widths but the widest, (n - 1,).
        alpha, beta, gamma: fitted decay exponents of a, b, c; +inf where a gap is zero at all
            widths, 0 if there are fewer than two narrower widths to fit.
        fast: the verdict $\beta > \alpha/2$.

    Definitions: arXiv:2512.22768.

    Source: theory page, section 7.
    """

    widths: Float[np.ndarray, " n"]
    optimal_lr: Float[np.ndarray, " n"]
    optimal_loss: Float[np.ndarray, " n"]
    at_end: Bool[np.ndarray, " n"]
    loss_gap: Float[np.ndarray, " m"]
    lr_gap: Float[np.ndarray, " m"]
    suboptimality: Float[np.ndarray, " m"]
    alpha: float
    beta: float
    gamma: float
    fast: bool

    @property
    def verdict(self) -> str:
        """One sentence."""
        found = "fast transfer" if self.fast else "no fast transfer"
        sign = ">" if self.fast else "<="
        sentence = f"{found}: beta = {self.beta:.2f} {sign} alpha/2 = {self.alpha / 2:.2f}"
        if self.at_end.any():
            names = ", ".join(f"{width:g}" for width in self.widths[self.at_end])
            sentence += f"; the best learning rate is an end of the table at width {names}"
        return sentence

    def __str__(self) -> str:
        head = f"{'width':>10}{'best lr':>12}{'loss':>12}{'a':>11}{'b':>11}{'c':>11}"
        gaps = [*zip(self.loss_gap, self.lr_gap, self.suboptimality, strict=True), ()]
        rows = [
            f"{width:>10g}{lr:>12.4g}{loss:>12.4g}" + "".join(f"{gap:>11.2e}" for gap in row)
            for width, lr, loss, row in zip(
                self.widths, self.optimal_lr, self.optimal_loss, gaps, strict=True
            )
        ]
        return "\n".join([head, *rows, self.verdict])


def transfer_gaps(widths, lrs, losses) -> TransferGaps:
    r"""Gaps of learning-rate transfer from a table of losses, of theory or of measured networks.

    Optimal rates are the minima of parabolas in $\log\eta$ through the lowest loss of a width and
    its two neighbours. Losses that are not finite count as worse than all others.

    Args:
        widths: n ascending positive numbers.
        lrs: k ascending positive learning rates, at least 3.
        losses: (n, k), with at least one finite entry for every width.

    Returns:
        A `TransferGaps`; print it for a table.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import numpy as np
        >>> widths, lrs = np.array([1.0, 2, 4, 8]), 2.0 ** np.arange(-6, 1)
        >>> best = -3 + 1 / widths[:, None]  # optimum that moves like 1/width
        >>> losses = (np.log2(lrs) - best) ** 2 + 1 + 1 / widths[:, None]
        >>> print(transfer_gaps(widths, lrs, losses).verdict)
        fast transfer: beta = 1.40 > alpha/2 = 0.70

    Source: theory page, section 7.
    """
    widths, lrs = _ascending("widths", widths, 2), _ascending("lrs", lrs, 3)
    losses = np.asarray(losses, float)
    if losses.shape != (len(widths), len(lrs)):
        raise ValueError(
            f"Argument `losses` must have shape {(len(widths), len(lrs))}, got {losses.shape}."
        )
    if np.isnan(losses).any():
        i, j = np.argwhere(np.isnan(losses))[0]
        raise ValueError(
            f"Argument `losses` must have no holes (inf marks a divergence), got NaN at width "
            f"{widths[i]:g} and learning rate {lrs[j]:g}."
        )
    dead = ~np.isfinite(losses).any(axis=1)
    if dead.any():
        raise ValueError(
            "Argument `losses` must have a finite entry for every width, got only divergent trials "
            f"at width {widths[dead][0]:g}."
        )
    x = np.log2(lrs)
    found = [_parabola(x, row) for row in losses]
    best, lowest, at_end = (np.array(column) for column in zip(*found, strict=True))
    last = losses[-1]
    cost = np.array([max(0.0, _interpolate(x, last, b) - lowest[-1]) for b in best[:-1]])
    return gaps_of_optima(widths, best, lowest, cost, at_end.astype(bool))


def gaps_of_optima(widths, best, lowest, cost, at_end) -> TransferGaps:
    r"""Gaps of known optima.

    Args:
        widths: n ascending widths.
        best: $\log_2\eta_n$, (n,).
        lowest: $L_n(\eta_n)$, (n,).
        cost: $L_\infty(\eta_n) - L_\infty(\eta_\infty)$ of all but the widest, (n - 1,).
        at_end: whether an optimum is an end of its table, (n,).
    """
    loss_gap, lr_gap = np.abs(lowest[:-1] - lowest[-1]), np.abs(best[:-1] - best[-1])
    alpha, beta, gamma = (_exponent(widths[:-1], gap) for gap in (loss_gap, lr_gap, cost))
    return TransferGaps(
        widths,
        2.0**best,
        lowest,
        at_end,
        loss_gap,
        lr_gap,
        cost,
        alpha,
        beta,
        gamma,
        bool(beta > alpha / 2),
    )


def _ascending(name: str, values, least: int) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < least:
        raise ValueError(
            f"Argument `{name}` must be a list of at least {least} numbers, got {values.tolist()}."
        )
    if not (np.isfinite(values).all() and (values > 0).all() and (np.diff(values) > 0).all()):
        raise ValueError(
            f"Argument `{name}` must be positive and strictly ascending, got {values.tolist()}."
        )
    return values


def _parabola(x, row) -> tuple[float, float, bool]:
    """Minimum of the parabola through the lowest point and its neighbours; whether at an end."""
    k = int(np.argmin(np.where(np.isfinite(row), row, np.inf)))
    if k in (0, len(x) - 1):
        return x[k], row[k], True
    if not np.isfinite(row[k - 1 : k + 2]).all():
        return x[k], row[k], False
    a, b, c = np.polyfit(x[k - 1 : k + 2] - x[k], row[k - 1 : k + 2], 2)
    if a <= 0:
        return x[k], row[k], False
    move = -b / (2 * a)
    return x[k] + move, c - b**2 / (4 * a), False


def _interpolate(x, row, at: float) -> float:
    """Loss between grid points: the parabola through the three nearest ones."""
    k = int(np.clip(np.argmin(np.abs(x - at)), 1, len(x) - 2))
    nearest = slice(k - 1, k + 2)
    if not np.isfinite(row[nearest]).all():
        return float(np.interp(at, x, row))
    return float(np.polyval(np.polyfit(x[nearest] - at, row[nearest], 2), 0.0))


def _exponent(widths, gap) -> float:
    """Decay exponent by least squares in double logarithms, over the gaps that are not zero."""
    seen = gap > 0
    if not seen.any():
        return np.inf
    if seen.sum() < 2:
        return 0.0
    return float(-np.polyfit(np.log(widths[seen]), np.log(gap[seen]), 1)[0])
