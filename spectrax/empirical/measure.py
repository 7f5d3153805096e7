"""One weight array: bulk, outliers, regime."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.special import ndtri

from spectrax import _check
from spectrax.empirical.fit import Fit, Levels, fit_sigma
from spectrax.empirical.law import BulkLaw, location_stderr, spike_strength
from spectrax.empirical.levels import DENSE, levels_of
from spectrax.empirical.tracy_widom import noise_scales, tracy_widom_quantile
from spectrax.empirical.unfold import unfold

SMALLEST = 8  # below this dimension there is no bulk to speak of
MOST = 0.1  # more eigenvalues than this fraction beyond the edge are no outliers of a bulk
MISFIT = 0.05  # Kolmogorov–Smirnov distance of an unchanged bulk, at most; plus FINITE/p
FINITE = 4.0  # of noise alone, p times the distance is about 2.2, in one of a hundred cases 3.4
REGIMES = ("bulk", "bulk + outliers", "restructured bulk")


@dataclasses.dataclass(frozen=True)
class WeightSpectrum:
    r"""What `measure_spectrum` returns; in double precision, k outliers, p = min(N, M).

    Args:
        shape: (N, M), outputs by inputs, kernels unfolded.
        sigma, sigma_stderr: noise level: the random entries have variance σ²/M after the division
            by √M (so that σ is the standard deviation of the entries themselves), and its error.
        threshold: eigenvalue that pure noise exceeds with probability `rate`.
        rate: false-outlier rate.
        location, location_stderr: outliers, descending, and their standard errors, (k,).
        strength, strength_stderr: effective strengths θ² and their standard errors, (k,).
        top: largest eigenvalue.
        ks: largest distance between the distribution functions of bulk and law.
        regime: "bulk", "bulk + outliers" or "restructured bulk".
        method: "dense" or "lanczos".
        eigenvalues, weights: squared singular values of the divided array and what fraction of all
            each one stands for, (p,); of "lanczos" the nodes of all random vectors.
    """

    shape: tuple[int, int]
    sigma: float
    sigma_stderr: float
    threshold: float
    rate: float
    location: np.ndarray
    location_stderr: np.ndarray
    strength: np.ndarray
    strength_stderr: np.ndarray
    top: float
    ks: float
    regime: str
    method: str
    eigenvalues: np.ndarray
    weights: np.ndarray

    @property
    def aspect(self) -> float:
        """Rows per column, N/M."""
        return self.shape[0] / self.shape[1]

    @property
    def law(self) -> BulkLaw:
        """The fitted law of the bulk."""
        return BulkLaw(self.aspect, self.sigma)

    @property
    def edge(self) -> float:
        """Upper edge of the fitted law."""
        return self.law.edges()[1]

    @property
    def beyond(self) -> int:
        """Number of eigenvalues beyond the threshold.

        Products resolve only the outermost of many: for "lanczos" and a restructured bulk this is
        an estimate from the density, and `location` a part of them.
        """
        if self.regime != REGIMES[2] or self.method == "dense":
            return len(self.location)
        mass = float(np.sum(self.weights[self.eigenvalues > self.threshold]))
        return max(len(self.location), round(mass * min(self.shape)))

    def summary(self) -> dict:
        """The numbers of one row of a table."""
        return {
            "rows": self.shape[0],
            "cols": self.shape[1],
            "aspect": self.aspect,
            "sigma": self.sigma,
            "sigma_stderr": self.sigma_stderr,
            "edge": self.edge,
            "threshold": self.threshold,
            "outliers": self.beyond,
            "top": self.top,
            "ks": self.ks,
            "regime": self.regime,
        }


def measure_spectrum(
    array: ArrayLike,
    *,
    layout: str = "out_in",
    normalize: bool = True,
    rate: float = 1e-3,
    method: str = "auto",
) -> WeightSpectrum:
    r"""Bulk, outliers and regime of a real weight array: a matrix or a convolution kernel.

    $$\lambda \in \mathrm{spec}\,\tfrac1M W^\top W, \qquad
      \lambda_+ = \sigma^2(1+\sqrt{\alpha_W})^2, \qquad
      \lambda_{\rm threshold} = \sigma^2(\mu + s\,q_{\rm rate})$$

    σ is fitted to the eigenvalues that are no outliers, robustly and without tuning
    (`spectrax.empirical.fit`); μ and s centre and scale the Tracy–Widom law for this very shape, q
    is its quantile. Outliers lie above the threshold; each one gives a strength $\theta^2$ by
    inverting $z=(\theta^2+\sigma^2)(\theta^2+\alpha_W\sigma^2)/\theta^2$.

    Regime: "restructured bulk" if the Kolmogorov–Smirnov distance of the rest from its law exceeds
    0.05 + 4/p (noise alone stays below 4/p; the 0.05 are a convention), or if more than a tenth of
    all eigenvalues lie beyond the threshold (they then count as bulk in the fit); otherwise
    "bulk + outliers" or "bulk".

    Args:
        array: (out, in) or (out, in, height, width) with "out_in", (in, out) or (height, width, in,
            out) with "in_out"; of any real type. Kernels are unfolded by `unfold`.
        layout: "out_in" (PyTorch, this package) or "in_out" (Flax).
        normalize: divide by √M (M = columns of the matrix), so that σ is the standard deviation of
            the entries. False for arrays that are divided already.
        rate: probability that a matrix of noise alone shows an outlier.
        method: "dense": all eigenvalues, double precision. "lanczos": products only, single
            precision; σ and the density then carry the error of 16 random vectors, which widens the
            threshold. "auto": dense up to a smaller dimension of 2048.

    Returns:
        A `WeightSpectrum`. Error bars of outliers are those of Gaussian noise around a fixed spike;
        spikes made by training fluctuate differently, by a factor of order one.

    Raises:
        ValueError: one sentence: not a matrix or kernel, too small, not finite, zero, of low rank.
        ImportError: if "lanczos" is needed and matfree is missing.

    Source: theory page, sections 1.1 and 1.2.

    Examples:
        >>> import numpy as np, spectrax
        >>> rng = np.random.default_rng(1)
        >>> W = 0.02 * rng.normal(size=(400, 200))  # the bulk, and one direction:
        >>> W += 0.02 * np.outer(rng.normal(size=400), rng.normal(size=200)) * 0.15
        >>> found = spectrax.measure_spectrum(W)
        >>> found.regime, len(found.location), round(found.sigma, 4)
        ('bulk + outliers', 1, 0.02)
    """
    _check.one_of("method", method, ("auto", "dense", "lanczos"))
    _check.between("rate", rate, 1e-9, 1.0)
    W = _matrix(array, layout)
    if method == "auto":
        method = "dense" if min(W.shape) <= DENSE else "lanczos"
    levels = levels_of(W, method)
    if not normalize:
        levels = dataclasses.replace(
            levels, nodes=levels.nodes * W.shape[1], trace=levels.trace * W.shape[1]
        )
    return _describe(levels, *_fit(levels, rate), rate, method)


def _matrix(array: ArrayLike, layout: str) -> np.ndarray:
    """The unfolded array as a finite, real floating matrix of some size."""
    array = np.asarray(array)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise ValueError(f"Argument `array` must hold real numbers, got {array.dtype}.")
    W = unfold(array, layout)
    if W.dtype not in (np.float32, np.float64):
        W = W.astype(np.float64 if W.dtype.itemsize > 2 else np.float32)  # exact
    if min(W.shape) < SMALLEST:
        raise ValueError(
            f"Argument `array` must be at least {SMALLEST} by {SMALLEST}, got {W.shape}."
        )
    if not np.isfinite(W).all():
        raise ValueError("Argument `array` must be finite, got NaN or infinite entries.")
    if not W.any():
        raise ValueError("Argument `array` must not be zero everywhere.")
    return W


def _fit(levels: Levels, rate: float) -> tuple[Fit, float]:
    """σ and the threshold, outliers left out until no more are found."""
    count = 0
    first = fit = fit_sigma(levels, np.zeros(0))
    threshold = start = _threshold(levels, fit, rate)
    while len(found := levels.above(threshold)) > count:
        count = len(found)
        if max(count / levels.small, _mass_above(levels, threshold)) > MOST:
            return first, start  # no bulk with outliers: everything counts, and the regime says so
        fit = fit_sigma(levels, found)
        threshold = _threshold(levels, fit, rate)
    return fit, threshold


def _threshold(levels: Levels, fit: Fit, rate: float) -> float:
    """Tracy–Widom quantile, widened by what random vectors make of σ.

    The rest of the error of σ is not added: it goes up and down with the largest eigenvalue, and
    without it the measured rate is the stated one.
    """
    centre, scale = noise_scales(levels.rows, levels.cols)
    margin = scale * tracy_widom_quantile(rate)
    unsure = -ndtri(min(rate, 0.5)) * 2 * fit.by_probes / fit.sigma * centre
    return float(fit.sigma**2 * (centre + np.copysign(np.hypot(margin, unsure), margin)))


def _mass_above(levels: Levels, threshold: float) -> float:
    """Fraction of all eigenvalues above; Lanczos nodes resolve only the outermost of many."""
    return float(np.mean(np.sum(levels.weights * (levels.nodes > threshold), axis=1)))


def _describe(levels: Levels, fit: Fit, threshold, rate, method) -> WeightSpectrum:
    """Outliers with errors, distance of the rest from its law, regime."""
    sigma, stderr = fit.sigma, fit.stderr
    shape = (levels.rows, levels.cols)
    aspect, p = shape[0] / shape[1], min(shape)
    location = levels.above(threshold)
    strength = spike_strength(location, aspect, sigma)
    # dz/dθ² and, at fixed θ², dz/dσ²: what the error of σ does to a strength.
    slope = 1 - aspect * sigma**4 / strength**2
    noise = location_stderr(strength, aspect, sigma, shape[1])
    by_sigma = (1 + aspect + 2 * aspect * sigma**2 / strength) * 2 * sigma * stderr
    ks = _distance(levels, BulkLaw(aspect, sigma), threshold)
    crowded = max(len(location) / p, _mass_above(levels, threshold)) > MOST
    if crowded or ks > MISFIT + FINITE / p:
        regime = REGIMES[2]
    else:
        regime = REGIMES[1] if len(location) else REGIMES[0]
    return WeightSpectrum(
        shape,
        sigma,
        stderr,
        threshold,
        rate,
        location,
        noise,
        strength,
        np.hypot(noise, by_sigma) / slope,
        float(levels.nodes.max()),
        ks,
        regime,
        method,
        levels.nodes.ravel(),
        levels.weights.ravel() / len(levels.nodes),
    )


def _distance(levels: Levels, law: BulkLaw, threshold: float) -> float:
    """Kolmogorov–Smirnov distance between the eigenvalues below the threshold and the law."""
    weights = np.where(levels.nodes > threshold, 0.0, levels.weights)[:, ::-1]
    nodes = levels.nodes[:, ::-1]
    below = np.cumsum(weights, axis=1)
    weights, below = weights / below[:, -1:], below / below[:, -1:]
    if len(nodes) == 1:  # steps of the empirical distribution, both sides of each
        exact = law.cdf(nodes[0])
        return float(np.max(np.maximum(below[0] - exact, exact - below[0] + weights[0])))
    # A Gauss node stands for a stretch around it: half of its weight lies below it.
    grid = np.linspace(*law.edges(), 400)
    middle = below - weights / 2
    found = [np.interp(grid, x, F, 0.0, 1.0) for x, F in zip(nodes, middle, strict=True)]
    return float(np.max(np.abs(np.mean(found, axis=0) - law.cdf(grid))))
