"""One weight array: bulk, outliers, regime."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.special import ndtri

from spectrax import check
from spectrax.empirical.controls import Controlled, control
from spectrax.empirical.equalise import equalise
from spectrax.empirical.fit import Fit, fit_sigma
from spectrax.empirical.law import BulkLaw, location_stderr, spike_strength
from spectrax.empirical.levels import DENSE, Levels, levels_of
from spectrax.empirical.tracy_widom import noise_scales, tracy_widom_quantile
from spectrax.empirical.unfold import unfold
from spectrax.empirical.weight_spectrum import REGIMES, WeightSpectrum

SMALLEST = 8  # below this dimension there is no bulk to speak of
MOST = 0.1  # more eigenvalues than this fraction beyond the edge are no outliers of a bulk
MISFIT = 0.05  # Kolmogorov–Smirnov distance of an unchanged bulk, at most; plus FINITE/p
FINITE = 4.0  # of noise alone, p times the distance is about 2.2, in one of a hundred cases 3.4


def measure_spectrum(
    array: ArrayLike,
    *,
    layout: str = "out_in",
    normalize: bool = True,
    rate: float = 1e-3,
    method: str = "auto",
    unfolding: str = "auto",
    controls: bool = True,
) -> WeightSpectrum:
    r"""Bulk, outliers and regime of a real weight array: a matrix or a convolution kernel.

    $$\lambda \in \mathrm{spec}\,\tfrac1M W^\top W, \qquad
      \lambda_+ = \sigma^2(1+\sqrt{\alpha_W})^2, \qquad
      \lambda_{\rm threshold} = \sigma^2(\mu + s\,q_{\rm rate})$$

    σ is fitted to the eigenvalues that are no outliers, robustly and without tuning
    (`spectrax.empirical.fit`); μ and s centre and scale the Tracy–Widom law for this very shape, q
    is its quantile. Outliers lie above the threshold; each one gives a strength $\theta^2$ by
    inverting $z=(\theta^2+\sigma^2)(\theta^2+\alpha_W\sigma^2)/\theta^2$.

    Outliers are asked whether noise would show them too (`spectrax.empirical.controls`): noise with
    the same means of rows and columns, with the same magnitudes of all entries (so the same uneven
    rows and columns, the same large entries). Those that do not survive are listed with the reason.

    Regime: "restructured bulk" if the Kolmogorov–Smirnov distance of the rest from its law exceeds
    0.05 + 4/p (noise alone stays below 4/p; the 0.05 are a convention), or if more than a tenth of
    all eigenvalues lie beyond the threshold (they then count as bulk in the fit); otherwise
    "bulk + outliers" if an outlier survives, or "bulk". A restructured bulk is measured once more
    with rows and columns equalised.

    Args:
        array: (out, in) or a kernel (out, in, …space) with "out_in", (in, out) or (…space, in, out)
            with "in_out"; of any floating type. Integers are refused: they are codes of quantised
            weights, or no weights. Rows and columns of zeros are left out, and counted.
        layout: "out_in" (PyTorch, this package), "in_out" (Flax), "in_heads" or "heads_out" (Flax'
            attention, see `unfold`).
        normalize: divide by √M (M = columns of the matrix), so that σ is the standard deviation of
            the entries. False for arrays that are divided already.
        rate: probability that a matrix of noise alone shows an outlier.
        method: "dense": all eigenvalues, double precision. "lanczos": products only, single
            precision; σ and the density then carry the error of 16 random vectors, which widens the
            threshold. "auto": dense up to a smaller dimension of 2048.
        unfolding: of kernels, see `unfold`.
        controls: make the controls. They cost nothing where there is nothing beyond the edge,
            otherwise about as much as the rest, three times as much for many outliers.

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
    check.one_of("method", method, ("auto", "dense", "lanczos"))
    check.between("rate", rate, 1e-9, 1.0)
    W, dropped = _matrix(array, layout, unfolding)
    found = _measure(W, normalize, rate, method, controls)
    if found.restructured and controls:
        inner = _measure(equalise(W)[0], True, rate, method, controls)
        found = dataclasses.replace(found, equalised=inner)
    return dataclasses.replace(found, dropped=dropped)


def _measure(W: np.ndarray, normalize: bool, rate: float, method: str, controls: bool):
    """A matrix without rows or columns of zeros."""
    if method == "auto":
        method = "dense" if min(W.shape) <= DENSE else "lanczos"
    levels = levels_of(W, method)
    unit = 1.0 if normalize else float(W.shape[1])  # of the eigenvalues that are reported
    fit, threshold = _fit(levels, rate)
    location = levels.above(threshold)
    ks = _distance(levels, BulkLaw(W.shape[0] / W.shape[1], fit.sigma), threshold)
    crowded = max(len(location) / levels.small, _mass_above(levels, threshold)) > MOST
    answer, state = None, "nothing to control"
    if crowded or ks > MISFIT + FINITE / levels.small:
        regime, state = REGIMES[2], "no law to compare with"
    elif len(location) == 0:
        regime = REGIMES[0]
    elif not controls:
        regime, state = REGIMES[1], "switched off"
    else:
        # Removing the large from the small costs digits, which large matrices cannot afford.
        size = np.float64 if levels.small <= DENSE else np.float32
        answer = control(_divided(W.astype(size)), location, threshold, fit.sigma)
        regime, state = REGIMES["" in answer.reasons], "made"
    found = _describe(levels, fit, threshold, rate, method, answer)
    return _rescaled(dataclasses.replace(found, ks=ks, regime=regime, controls=state), unit)


def _matrix(array: ArrayLike, layout: str, unfolding: str) -> tuple[np.ndarray, tuple[int, int]]:
    """The unfolded array as a finite floating matrix of some size; what zeros were left out."""
    array = np.asarray(array)
    if array.dtype.kind in "iub":
        raise ValueError(
            f"Argument `array` must hold floating-point weights, got {array.dtype}: multiply codes "
            f"of quantised weights by their scale first."
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"Argument `array` must hold real numbers, got {array.dtype}.")
    W = unfold(array, layout, unfolding)
    if W.dtype not in (np.float32, np.float64):
        W = W.astype(np.float64 if W.dtype.itemsize > 2 else np.float32)  # exact
    _check_size(W)
    if not np.isfinite(W).all():
        raise ValueError("Argument `array` must be finite, got NaN or infinite entries.")
    rows, cols = W.any(1), W.any(0)
    if not rows.any():
        raise ValueError("Argument `array` must not be zero everywhere.")
    dropped = (int(np.sum(~rows)), int(np.sum(~cols)))
    if any(dropped):
        W = W[rows][:, cols]
        _check_size(W, " without its rows and columns of zeros")
    return W, dropped


def _check_size(W: np.ndarray, what: str = "") -> None:
    """A bulk has to be there."""
    if min(W.shape) < SMALLEST:
        raise ValueError(
            f"Argument `array` must be at least {SMALLEST} by {SMALLEST}{what}, got {W.shape}."
        )


def _divided(W: np.ndarray) -> np.ndarray:
    """W / √columns, also where products of tiny entries would vanish."""
    return W / W.dtype.type(np.sqrt(W.shape[1]))


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


def _describe(levels: Levels, fit: Fit, threshold, rate, method, answer: Controlled | None):
    """Outliers that survived, with errors; the others with their reasons."""
    sigma, stderr, shape = fit.sigma, fit.stderr, (levels.rows, levels.cols)
    aspect, location = shape[0] / shape[1], levels.above(threshold)
    reasons = [""] * len(location) if answer is None else answer.reasons
    kept = np.array([not reason for reason in reasons], bool)
    rejected, location = location[~kept], location[kept]
    strength = spike_strength(location, aspect, sigma)
    # dz/dθ² and, at fixed θ², dz/dσ²: what the error of σ does to a strength.
    slope = 1 - aspect * sigma**4 / strength**2
    noise = location_stderr(strength, aspect, sigma, shape[1])
    by_sigma = (1 + aspect + 2 * aspect * sigma**2 / strength) * 2 * sigma * stderr
    return WeightSpectrum(
        shape=shape,
        sigma=sigma,
        sigma_stderr=stderr,
        threshold=threshold,
        rate=rate,
        location=location,
        location_stderr=noise,
        strength=strength,
        strength_stderr=np.hypot(noise, by_sigma) / slope,
        rejected=rejected,
        reasons=tuple(reason for reason in reasons if reason),
        controls="",
        left=np.zeros((0, shape[0])) if answer is None else answer.left[kept],
        right=np.zeros((0, shape[1])) if answer is None else answer.right[kept],
        top=float(levels.nodes.max()),
        ks=0.0,
        regime="",
        method=method,
        eigenvalues=levels.nodes.ravel(),
        weights=levels.weights.ravel() / len(levels.nodes),
    )


def _rescaled(found: WeightSpectrum, unit: float) -> WeightSpectrum:
    """The same for the matrix times √unit."""
    squares = ("threshold", "location", "location_stderr", "strength", "strength_stderr")
    squares += ("rejected", "top", "eigenvalues")
    changed = {name: getattr(found, name) * unit for name in squares}
    roots = {name: getattr(found, name) * unit**0.5 for name in ("sigma", "sigma_stderr")}
    return dataclasses.replace(found, **changed, **roots)


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
