r"""Fit of the noise level from a bulk with outliers: robust, with a standard error.

The estimate matches a bounded statistic, $\psi(x) = x/(1+x)$ of eigenvalues in units of their mean,
to its value for pure noise. It is a resolvent at −1, hence: closed forms for its mean under the
Marchenko–Pastur law, for its bias and its fluctuation at finite size; no outlier can pull it by
more than one eigenvalue's worth; and it needs no histogram, so that quadrature nodes of a Lanczos
density serve as well as all eigenvalues.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from spectrax.empirical.law import spike_strength
from spectrax.empirical.levels import Levels


class Fit(NamedTuple):
    """Noise level, its standard error, and the part of the error that is due to random vectors."""

    sigma: float
    stderr: float
    by_probes: float


def fit_sigma(levels: Levels, found: np.ndarray) -> Fit:
    r"""Noise level σ and its standard error, from the eigenvalues that are no outliers.

    $$\sum_{i\ \mathrm{bulk}} \psi(\lambda_i/s) = p\int\psi\,d\rho + \text{bias}
      + \sum_{\mathrm{outliers}} \Delta(\theta^2), \qquad s = \sigma^2\max(N, M)/M$$

    where Δ is what a spike changes in the sum over the bulk. The standard error is that of Gaussian
    noise (of the central limit theorem for linear statistics), together with that of the probes if
    there are any.

    Args:
        levels: the spectrum.
        found: the k outliers, already known.

    Returns:
        A `Fit`.

    Raises:
        ValueError: if too many eigenvalues vanish for any noise level.
    """
    k, p, n = len(found), levels.small, max(levels.rows, levels.cols)
    target, variance = _noise_statistic(n, p)
    bulk, weights = _without(levels, found)
    rest = levels.trace - float(np.sum(found))

    def excess(log_s: float) -> float:
        s = np.exp(log_s)
        # In units of s the noise is p by n with variance 1/n, whichever side was the longer one.
        spikes = float(np.sum(_spike_statistic(np.asarray(found) / s, p / n)))
        seen = float(np.mean(_statistic(bulk, weights, rest, p - k, s)))
        return seen - target - spikes

    centre = np.log(rest / p) if rest > 0 else np.nan
    reach = 20.0
    if not np.isfinite(centre) or excess(centre - reach) <= 0 or excess(centre + reach) >= 0:
        raise ValueError("Argument `array` must have a bulk, got a matrix of low rank.")
    s = float(np.exp(brentq(excess, centre - reach, centre + reach, xtol=1e-12)))
    slope = (p - k) * float(np.mean(np.sum(weights * (bulk / s) / (1 + bulk / s) ** 2, 1)))
    probes = _statistic(bulk, weights, rest, p - k, s)
    sampling = probes.var(ddof=1) / len(probes) if len(probes) > 1 else 0.0
    sigma = float(np.sqrt(s * levels.cols / n))
    unit = sigma / (2 * slope)
    return Fit(sigma, unit * float(np.sqrt(variance + sampling)), unit * float(np.sqrt(sampling)))


def _without(levels: Levels, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the bulk alone; each row of weights has sum one again."""
    if len(found) == 0:
        return levels.nodes, levels.weights
    weights = np.where(levels.nodes >= np.min(found) * (1 - 1e-5), 0.0, levels.weights)
    return levels.nodes, weights / weights.sum(1, keepdims=True)


def _statistic(nodes, weights, trace: float, count: int, s: float) -> np.ndarray:
    r"""Sum of $\psi(\lambda/s)$ over the bulk by each probe, (probes,).

    A probe that sees too large a trace sees too large a $\psi$; the trace is known exactly, so that
    the part of the error that is proportional to it is taken away. (Nothing to do without probes.)
    """
    x = nodes / s
    psi, mean = np.sum(weights * x / (1 + x), 1), np.sum(weights * x, 1)
    centred = x - mean.mean()
    slope = np.sum(weights * centred * x / (1 + x)) / np.sum(weights * centred**2)
    control = slope * (mean - trace / (count * s)) if len(nodes) > 1 else 0.0
    return count * (psi - control)


def _noise_statistic(n: int, p: int) -> tuple[float, float]:
    r"""Mean and variance of $\sum\psi$ for real Gaussian noise, p by n of variance 1/n, p ≤ n.

    With $\beta=p/n$ and $x = 1+\beta+2\sqrt\beta\cos\vartheta$, $1 + x = A + R\cos\vartheta$,
    $S=\sqrt{A^2-R^2}$, all integrals of $\psi = 1 - 1/(1+x)$ are elementary: mean under the law
    $2(A-S)/R^2$; Chebyshev coefficients $(2/S)q^j$ up to signs, $q=(A-S)/R$; variance
    $\frac12\sum_j j a_j^2$ and bias $\frac14[\psi_-+\psi_+]-\frac12a_0$ (Bai and Silverstein 2004).
    """
    beta = p / n
    A, R = 2 + beta, 2 * np.sqrt(beta)
    S = np.sqrt(A**2 - R**2)
    q = (A - S) / R
    bias = (1 - 1 / (A - R) + 1 - 1 / (A + R)) / 4 - (1 - 1 / S) / 2
    variance = 2 / S**2 * q**2 / (1 - q**2) ** 2
    return p * 2 * (A - S) / R**2 + bias, variance


def _spike_statistic(location: np.ndarray, beta: float) -> np.ndarray:
    r"""What spikes with these outliers change in $\sum\psi$ of the other eigenvalues.

    A spike multiplies $\det(z - W^\top W)$ by $1-\theta^2x(z)$, $z=(1+x)(1+\beta x)/x$. The
    logarithmic derivative at z = −1 is the change of the sum over all; the outlier's own part is
    taken off.
    """
    strength = spike_strength(location, beta)
    x = (np.sqrt((2 + beta) ** 2 - 4 * beta) - (2 + beta)) / (2 * beta)
    slope = x / (2 * beta * x + 2 + beta)
    return -strength * slope / (1 - strength * x) - location / (1 + location)
