r"""Where a curve of loss against learning rate is lowest, and how well that is known.

Every polynomial of second or third degree through every stretch of neighbouring rates around the
lowest loss is a model of the valley. Models are weighed by what they explain and what they need,

$$ p \propto \exp\big[-\tfrac12\big(\chi^2 + 2k + 6 N_{\rm cut}\big)\big], $$

with k parameters and $N_{\rm cut}$ rates left out (Jay and Neil, arXiv:2008.01069). The optimum is
the mean of their minima; its variance is the mean of their variances, which is noise, plus the
variance of their minima, which is what the shape of the curve leaves open.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spectrax.transfer.tables.runs import Curve

SIGNIFICANT = 3.0  # errors by which a valley must be curved, or a slope fall, to count as seen
CUT = 6.0  # what leaving out a rate costs: as much as a deviation of two errors
FLOOR = 0.003  # of the grid's spacing: no optimum is claimed to be known better


class Optimum(NamedTuple):
    """The best rate of one width.

    Attributes:
        x: logarithm of the best rate; where `kind` is not "inside", of the best rate tried.
        noise, shape: its errors from the scatter of losses, and from the shape of the curve between
            the rates of the grid; +inf where `kind` is not "inside".
        loss: at the optimum; `loss_error` its standard error.
        curvature: second derivative of the loss in the logarithm of the rate there, at least 0.
        kind: "inside"; "low", "high": the loss still falls at this end of the grid, so that the
            optimum lies beyond it; "flat": noise hides where the curve is lowest.
        spacing: of the grid around the optimum.
    """

    x: float
    noise: float
    shape: float
    loss: float
    loss_error: float
    curvature: float
    kind: str
    spacing: float

    @property
    def inside(self) -> bool:
        """Whether the optimum is a number and not a bound."""
        return self.kind == "inside"

    @property
    def variance(self) -> float:
        """Of `x`; never zero."""
        return self.noise**2 + self.shape**2


class Spec(NamedTuple):
    """Models of a valley, the same at all widths: rates left and right of the lowest, degree."""

    left: Int[np.ndarray, " s"]
    right: Int[np.ndarray, " s"]
    degree: Int[np.ndarray, " s"]


class Minima(NamedTuple):
    r"""What each model says on one curve, (s,) each.

    Attributes:
        x: logarithm of the best rate.
        variance: of `x`, from noise, and from where between two rates divergence begins.
        noise: the part of `variance` that is noise, independent from run to run.
        among: the same as the seeds have it, each of which has an optimum of its own; 0 if unknown.
        score: $\chi^2 + 2k + 6 N_{\rm cut}$; +inf where the model is impossible.
        kind: as in `Optimum`.
        loss, loss_variance, curvature: at `x`.
        first: whether no earlier model is the same polynomial on the same rates.
    """

    x: Float[np.ndarray, " s"]
    variance: Float[np.ndarray, " s"]
    noise: Float[np.ndarray, " s"]
    among: Float[np.ndarray, " s"]
    score: Float[np.ndarray, " s"]
    kind: np.ndarray
    loss: Float[np.ndarray, " s"]
    loss_variance: Float[np.ndarray, " s"]
    curvature: Float[np.ndarray, " s"]
    first: Bool[np.ndarray, " s"]


def specs_of(curves: list[Curve]) -> Spec:
    """All models that differ on at least one of the curves."""
    left = right = 1
    for curve in curves:
        block = curve.block()
        left = max(left, curve.lowest - block.start)
        right = max(right, block.stop - 1 - curve.lowest)
    grids = np.meshgrid(np.arange(1, left + 1), np.arange(1, right + 1), (2, 3), indexing="ij")
    return Spec(*(grid.ravel() for grid in grids))


def find_minima(curve: Curve, sigma: float, spec: Spec) -> Minima:
    """Every model on one curve; `sigma` is the standard deviation of the loss of a single run."""
    block = curve.block()
    x, loss = curve.x[block], curve.loss[block]
    count, lowest = len(x), curve.lowest - block.start
    if count < 3:
        return _bracket(curve, sigma, spec)
    u, weight = x - x[lowest], curve.count[block] / sigma**2
    start = np.maximum(lowest - spec.left, 0)
    stop = np.minimum(lowest + spec.right, count - 1)
    b, covariance, score, hat = _fit(u, loss - loss[lowest], weight, start, stop, spec.degree)
    cliff = curve.x[block.stop] - x[lowest] if block.stop < len(curve.x) else None
    place, variance, kind, smooth = _judge(b, covariance, u, start, stop, cliff)
    moves = np.einsum("sp,spn->sn", smooth, hat)  # of the minimum with each loss
    powers = place[:, None] ** np.arange(4)
    height = loss[lowest] + np.sum(b * powers, axis=1)
    curvature = np.maximum(2 * b[:, 2] + 6 * b[:, 3] * place, 0.0)
    impossible = (kind == "") | (stop - start < spec.degree)
    _, where = np.unique(np.stack([start, stop, spec.degree]), axis=1, return_index=True)
    return Minima(
        x[lowest] + place,
        variance,
        _error(covariance, smooth),
        _among(curve, block, moves),
        np.where(impossible, np.inf, score),
        kind,
        height,
        _error(covariance, powers),
        curvature,
        np.isin(np.arange(len(start)), where),
    )


def _among(curve: Curve, block: slice, moves) -> Float[np.ndarray, " s"]:
    """Variance of a mean of minima, from those of the seeds; a shift of a curve moves no minimum.

    Whatever the noise of a seed's curve, equal at all rates or not, dependent or not.
    """
    seeds = curve.rest.shape[1]
    if not curve.paired:
        return np.zeros(len(moves))
    own = moves @ (curve.rest[block] / curve.count[block][:, None])  # of mean zero, as `rest`
    return seeds / (seeds - 1) * np.sum(own**2, axis=1)


def average(curve: Curve, minima: Minima, sigma: float) -> Optimum:
    """The optimum of one curve, out of all models."""
    lowest, spacing, block = curve.lowest, _spacing(curve), curve.block()
    error = float(sigma / np.sqrt(curve.count[lowest]))
    score = np.where(minima.first, minima.score, np.inf)
    p = weights(score)
    shares = {name: p[minima.kind == name].sum() for name in ("inside", "low", "high", "flat")}
    name = max(shares, key=lambda name: shares[name])
    if name != "inside" or not np.isfinite(score).any():
        name = "flat" if name == "inside" else name
        at = {"low": block.start, "high": block.stop - 1, "flat": lowest}[name]
        height = float(curve.loss[lowest])
        return Optimum(float(curve.x[at]), np.inf, np.inf, height, error, 0.0, name, spacing)
    p = np.where(minima.kind == "inside", p, 0.0) / shares["inside"]
    x, height = p @ minima.x, p @ minima.loss
    error = np.sqrt(p @ minima.loss_variance + p @ (minima.loss - height) ** 2)
    noise = np.sqrt(p @ minima.variance)
    # Noise alone makes the models differ, by less than it moves them.
    excess = np.maximum(p @ (minima.x - x) ** 2 - noise**2 / 2, 0.0)
    shape = np.sqrt(excess + least_error(curve) ** 2)
    found = (x, noise, shape, height, error, p @ minima.curvature)
    return Optimum(*(float(value) for value in found), "inside", spacing)


def weights(score) -> Float[np.ndarray, " s"]:
    """Normalised exp(-score / 2); zeros if every score is infinite."""
    if not np.isfinite(score).any():
        return np.zeros(len(score))
    p = np.exp(-0.5 * (score - score.min()))
    return p / p.sum()


def least_error(curve: Curve) -> float:
    """Error of an optimum that no agreement of models takes away: a part of the spacing."""
    block = curve.block()
    if block.stop - block.start == 3:  # three rates fix a parabola, and do not test it
        return _spacing(curve) / np.sqrt(12)
    return FLOOR * _spacing(curve)


def _spacing(curve: Curve) -> float:
    """Mean distance of the lowest rate from its neighbours on the grid, divergent ones included."""
    k = curve.lowest
    near = curve.x[max(0, k - 1) : k + 2]
    return float(np.mean(np.diff(near))) if len(near) > 1 else np.inf


def _bracket(curve: Curve, sigma: float, spec: Spec) -> Minima:
    """One or two finite losses: the optimum lies between the neighbours of the lowest."""
    k, last = curve.lowest, len(curve.x) - 1
    loss, loss_variance = curve.loss[k], sigma**2 / curve.count[k]
    x, variance, kind = curve.x[k], 0.0, "low"
    if k == last and k > 0:
        kind = "high"
    elif 0 < k < last and np.isfinite(curve.loss[k - 1]):
        low, high = curve.x[k - 1], curve.x[k + 1]
        x, variance, kind = (low + high) / 2, (high - low) ** 2 / 12, "inside"
    values = (x, variance, 0.0, 0.0, 0.0, kind, loss, loss_variance, 0.0)
    same = [np.full(len(spec.left), value) for value in values]
    return Minima(*same, np.arange(len(spec.left)) == 0)


def _fit(u, y, weight, start, stop, degree):
    """Polynomials in u on each window by weighted least squares.

    Returns coefficients (s, 4), covariances (s, 4, 4), scores (s,), and by how much coefficients
    change with each loss (s, 4, n).
    """
    n, scale = np.arange(len(u)), np.abs(u).max()
    mask = (n >= start[:, None]) & (n <= stop[:, None])  # (s, rates)
    powers = (u[:, None] / scale) ** np.arange(4)
    gram = np.einsum("sn,np,nq->spq", mask * weight, powers, powers)
    moment = np.einsum("sn,np->sp", mask * weight * y, powers)
    # The cubic coefficient of a parabola is fixed at zero, that of too few rates too.
    short = (degree == 2) | (stop - start < 3)
    gram[short, 3, :] = gram[short, :, 3] = 0.0
    gram[short, 3, 3], moment[short, 3] = 1.0, 0.0
    gram[stop - start < 2] = np.eye(4)  # no model at all: impossible, as the caller says
    covariance = np.linalg.inv(gram)
    covariance[short, 3, 3] = 0.0
    b = np.einsum("spq,sq->sp", covariance, moment)
    chi2 = np.where(mask, y - b @ powers.T, 0.0) ** 2 @ weight
    score = chi2 + 2 * (degree + 1) + CUT * (len(u) - mask.sum(axis=1))
    unit = scale ** -np.arange(4.0)
    hat = (covariance @ powers.T) * (mask * weight)[:, None, :]
    return b * unit, covariance * unit[:, None] * unit, score, hat * unit[:, None]


def _judge(b, covariance, u, start, stop, cliff: float | None):
    """Place and variance of each model's minimum, its kind, and how it moves with b, (s, 4)."""
    root = b[:, 2] ** 2 - 3 * b[:, 1] * b[:, 3]
    bottom = b[:, 2] + np.sqrt(np.maximum(root, 0.0))  # half the second derivative: positive there
    exists = (root > 0) & (bottom > 0)
    place = np.where(exists, -b[:, 1] / np.where(exists, bottom, 1.0), 0.0)
    curvature = np.where(exists, 2 * np.sqrt(np.maximum(root, 0.0)), 1.0)
    moves = -_slope(place) / curvature[:, None]
    variance = _error(covariance, moves)
    zero = np.zeros(len(b))
    bend = np.stack([zero, zero, zero + 2, 6 * place], axis=1)
    seen = exists & (curvature > SIGNIFICANT * np.sqrt(_error(covariance, bend)))
    held = seen & (place >= u[start]) & (place <= u[stop])

    falls = {}
    for name, at, sign in (("low", u[0], 1), ("high", u[-1], -1)):
        direction = _slope(np.full(len(b), at))
        slope = sign * np.sum(direction * b, axis=1)
        falls[name] = slope > SIGNIFICANT * np.sqrt(_error(covariance, direction))
    low = ~held & (start == 0) & falls["low"]
    high = ~held & ~low & (stop == len(u) - 1) & falls["high"]
    # A curved stretch that ends on the grid and is lowest beyond it contradicts the lowest loss.
    wrong = seen & ~held & ~low & ~high
    kind = np.select([held, low, high, wrong], ["inside", "low", "high", ""], "flat")
    if cliff is not None:
        # Divergence begins anywhere between the last finite rate and the first divergent one.
        # The best rate is there, or where the model is lowest, whichever comes first.
        width = cliff - u[-1]
        q = np.where(exists & (place > u[-1]), np.clip((place - u[-1]) / width, 0, 1), 1.0)
        mean = q - q**2 / 2
        place = np.where(high, u[-1] + width * mean, place)
        variance = np.where(high, width**2 * (q**2 - 2 * q**3 / 3 - mean**2), variance)
        kind = np.where(high, "inside", kind)
    return place, variance, kind, np.where(held[:, None], moves, 0.0)


def _slope(place):
    """Derivative of (1, u, u², u³), (s, 4)."""
    return np.stack([0 * place, 0 * place + 1, 2 * place, 3 * place**2], axis=1)


def _error(covariance, direction):
    return np.einsum("sp,spq,sq->s", direction, covariance, direction)
