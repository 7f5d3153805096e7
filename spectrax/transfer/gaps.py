"""Convergence of loss and optimal rate to those of the infinitely wide network."""

import equinox as eqx
import numpy as np
from jaxtyping import Float


class LimitGaps(eqx.Module):
    r"""How fast loss, optimal rate, and what transfer costs approach the infinite network.

    For each width n, with $\eta_n$ its optimal rate and $\infty$ the infinitely wide network,

    $$a_n = |L_n(\eta_n) - L_\infty(\eta_\infty)|, \quad
      b_n = |\log_2 \eta_n - \log_2 \eta_\infty|, \quad
      c_n = L_\infty(\eta_n) - L_\infty(\eta_\infty).$$

    Fits $a_n \propto n^{-\alpha}$, $b_n \propto n^{-\beta}$, $c_n \propto n^{-\gamma}$. As
    $c_n \propto b_n^2$ near a smooth minimum, what transfer costs vanishes faster than what width
    gains if and only if $\beta > \alpha/2$: fast transfer. The statement is one about a limit: a
    finite network in its place makes any power drift look fast.

    Args:
        widths: (n,).
        loss_gap, lr_gap, suboptimality: a, b, c, (n,).
        alpha, beta, gamma: fitted decay exponents of a, b, c; +inf where a gap is zero at all
            widths, 0 if there are fewer than two widths to fit.
        fast: whether $\beta > \alpha/2$.

    Definitions: arXiv:2512.22768.

    Source: theory page, section 7.
    """

    widths: Float[np.ndarray, " n"]
    loss_gap: Float[np.ndarray, " n"]
    lr_gap: Float[np.ndarray, " n"]
    suboptimality: Float[np.ndarray, " n"]
    alpha: float
    beta: float
    gamma: float
    fast: bool


def limit_gaps(widths, optimal_lr, optimal_loss, cost, limit_lr, limit_loss) -> LimitGaps:
    r"""Gaps between finite widths and a known limit.

    Args:
        widths: n widths.
        optimal_lr: $\eta_n$, (n,).
        optimal_loss: $L_n(\eta_n)$, (n,).
        cost: $L_\infty(\eta_n)$, (n,).
        limit_lr: $\eta_\infty$.
        limit_loss: $L_\infty(\eta_\infty)$.
    """
    a = np.abs(optimal_loss - limit_loss)
    b = np.abs(np.log2(optimal_lr) - np.log2(limit_lr))
    c = np.maximum(0.0, cost - limit_loss)
    alpha, beta, gamma = (_exponent(widths, gap) for gap in (a, b, c))
    return LimitGaps(widths, a, b, c, alpha, beta, gamma, bool(beta > alpha / 2))


def _exponent(widths, gap) -> float:
    """Decay exponent by least squares in double logarithms, over the gaps that are not zero."""
    seen = gap > 0
    if not seen.any():
        return np.inf
    if seen.sum() < 2:
        return 0.0
    return float(-np.polyfit(np.log(widths[seen]), np.log(gap[seen]), 1)[0])
