"""A report on transfer whose answers are known: parabolas in the logarithm of the rate."""

import jax.numpy as jnp
import numpy as np

from spectrax.parameterization import Parameterization
from spectrax.transfer import report
from spectrax.transfer.exponents import Fit

LIMIT, WORSE = 0.5, 0.25  # loss at infinite width, and what one unit of 1/width adds
# best rate at each width; both settle like 1/width, but the second is far from its limit
RATES = {"mup": lambda n: 0.1 * 2 ** (0.1 / n), "ntk": lambda n: 0.4 * 2 ** (-3 / n)}


def optimum(n):
    """Loss at the best rate."""
    return LIMIT + WORSE / n


def conclude(rate, widths, wanted: float, lrs):
    """What the report concludes for networks with this best rate."""
    n = np.array([*widths, *report.ASYMPTOTIC, report.INFINITE, wanted])
    best, rates = rate(n), np.concatenate([lrs, rate(n)])
    losses = optimum(n)[:, None] + (np.log2(rates) - np.log2(best)[:, None]) ** 2
    k = np.arange(len(widths))
    escaped = k > 0  # the narrowest network has no outlier
    sharpness = 10.0 + np.arange(5) + k[:, None]
    spectra = (np.where(escaped, 2.5, np.inf), np.where(escaped, 4.25, 4.0), escaped, sharpness)
    return report._conclude(np.array(widths), spectra, 0.9 * rate(np.array(widths)), best, losses)


def planted(widths=(1.0, 2.0, 4.0), at: float | None = None) -> report.TransferReport:
    """The whole report."""
    wanted = widths[-1] if at is None else at
    lrs = np.geomspace(0.01, 1.0, report.POINTS)
    found = {name: conclude(rate, widths, wanted, lrs) for name, rate in RATES.items()}
    tables, losses, gaps, verdicts, best = (
        {name: x[k] for name, x in found.items()} for k in range(5)
    )
    path = jnp.array([[0.2, 0.2], [0.49, -0.01]])
    fit = Fit(Parameterization(*path[-1]), jnp.array(1e-6), path, jnp.array([1.0, 1e-6]))
    recommended = {name: (wanted, rate) for name, rate in best.items()}
    far = np.array(report.ASYMPTOTIC)
    return report.TransferReport(
        np.array(widths), tables, lrs, losses, gaps, fit, verdicts, recommended, far
    )
