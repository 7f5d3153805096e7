"""The largest eigenvalue of pure noise: Tracy–Widom law, centred and scaled for real matrices."""

import functools

import numpy as np
from scipy.optimize import brentq
from scipy.special import airy

from spectrax import check

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
REACH = 16.0  # the kernel below is smaller than 1e-17 beyond


def tracy_widom_cdf(s: float) -> float:
    r"""Distribution function of the Tracy–Widom law for real symmetric matrices (β = 1).

    $$F_1(s) = \det(I - B_s), \qquad B_s(x, y) = \tfrac12 \mathrm{Ai}\big(\tfrac{x+y}2 + s\big)
      \ \text{on}\ L^2(0, \infty)$$

    (Ferrari and Spohn 2005), by Gauss–Legendre quadrature (Bornemann 2010): the error is below
    1e-12 for s ≥ −8.

    Args:
        s: where.

    Returns:
        The probability that the variable is at most s.

    Examples:
        >>> from spectrax.empirical.tracy_widom import tracy_widom_cdf
        >>> round(tracy_widom_cdf(0.9793), 4)  # tabulated 95 % point
        0.95
    """
    # The variables are scaled: with x = 2x' the kernel is Ai(x' + y' + s).
    x, root = REACH * (NODES + 1) / 2, np.sqrt(REACH * WEIGHTS / 2)
    kernel = root[:, None] * airy(x[:, None] + x + s)[0] * root
    return float(np.linalg.det(np.eye(x.size) - kernel))


@functools.lru_cache
def tracy_widom_quantile(rate: float) -> float:
    """The point that the Tracy–Widom variable (β = 1) exceeds with probability `rate`.

    Args:
        rate: from 1e-9 on and below 1.

    Returns:
        The quantile.

    Raises:
        ValueError: if the rate is out of range.

    Examples:
        >>> from spectrax.empirical.tracy_widom import tracy_widom_quantile
        >>> round(tracy_widom_quantile(0.01), 4)
        2.0234
    """
    check.between("rate", rate, 1e-9, 1.0)
    return float(brentq(lambda s: 1.0 - tracy_widom_cdf(s) - rate, -8.0, 20.0, xtol=1e-10))


def noise_scales(rows: int, cols: int) -> tuple[float, float]:
    r"""Centre and scale of the largest eigenvalue of $W^\top W$ for noise of variance 1/cols.

    $$\mu = \frac1M\big(\sqrt{N-\tfrac12} + \sqrt{M-\tfrac12}\big)^2, \qquad
      s = \frac1M\big(\sqrt{N-\tfrac12} + \sqrt{M-\tfrac12}\big)
      \Big(\tfrac1{\sqrt{N-1/2}} + \tfrac1{\sqrt{M-1/2}}\Big)^{1/3}$$

    so that (largest − μ)/s is Tracy–Widom up to errors of order $\min(N, M)^{-2/3}$: Johnstone's
    (2001) constants with the shifts by ½ of Ma (2012).

    Args:
        rows: N.
        cols: M.

    Returns:
        μ and s.

    Examples:
        >>> from spectrax.empirical.tracy_widom import noise_scales
        >>> [round(x, 3) for x in noise_scales(400, 100)]  # edge 9, reached from below
        [8.977, 0.159]
    """
    n, m = np.sqrt(rows - 0.5), np.sqrt(cols - 0.5)
    return float((n + m) ** 2 / cols), float((n + m) * (1 / n + 1 / m) ** (1 / 3) / cols)
