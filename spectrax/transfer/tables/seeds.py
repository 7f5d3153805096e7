r"""Seeds of which each has an optimum of its own, besides the noise of its runs.

The optimum of a width, a mean over S seeds, has the variance $v_n + \tau^2/S_n$: noise that is
independent from run to run, known from all rates, and a scatter $\tau^2$ of the seeds' optima,
known from S - 1 differences at each width,

$$ \hat\tau^2 = \max\Big[0,\ \frac{\sum_n (S_n-1)\,S_n(\hat w_n - v_n)}{\sum_n(S_n-1)}\Big], $$

where $\hat w_n$ is the variance of the mean as the seeds' own optima have it (DerSimonian and
Laird, Controlled Clinical Trials 7 (1986) 177). Degrees of freedom by Satterthwaite's rule.
"""

import numpy as np

from spectrax.transfer.tables.noise import Noise
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Minima, weights


def own_optima(
    curves: list[Curve], minima: list[Minima], noise: Noise
) -> tuple[list[Minima], float]:
    """Minima with the variance that seeds' own optima add, and the degrees of freedom then."""
    found = []
    for curve, models in zip(curves, minima, strict=True):
        score = np.where(models.first & (models.noise > 0), models.score, np.inf)
        p = weights(np.where(models.kind == "inside", score, np.inf))
        if curve.paired and p.any():
            found.append((curve.rest.shape[1], p @ models.among, p @ models.noise))
    if not found:
        return minima, noise.freedom
    seeds, among, alone = np.array(found).T
    free = seeds - 1
    tau2 = max(0.0, float(free @ (seeds * (among - alone)) / free.sum()))
    added = [tau2 / curve.rest.shape[1] if curve.paired else 0.0 for curve in curves]
    minima = [m._replace(variance=m.variance + v) for m, v in zip(minima, added, strict=True)]
    part, rest = np.mean(alone), np.mean(tau2 / seeds)
    total = (part + rest) ** 2 / (part**2 / noise.freedom + rest**2 / free.sum())
    return minima, float(total)
