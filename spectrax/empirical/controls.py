r"""Would noise show this outlier too? Controls that a skeptic would ask for.

An eigenvalue beyond the edge is evidence for structure only if noise with the same uneven rows, the
same uneven columns and the same large entries has none there. Three controls:

* **means**: an outlier that goes away with the means of rows and columns is a mean direction;
* **signs**: every entry gets a random sign. That is noise with the very same magnitudes, hence
  with the same variance profile and the same tails; an outlier has to lie above what it shows
  (arXiv:2012.02985). Outliers that do are taken off the matrix, and the others are asked again;
* **shuffle**, **equal variances**: name the reason of those that do not. What reaches more than
  half as far beyond the edge when the entries change places is due to a few large ones; what is
  gone once rows and columns are scaled to one variance was due to these.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import svds

from spectrax.empirical.equalise import equalise
from spectrax.empirical.law import location_stderr, spike_strength
from spectrax.empirical.tracy_widom import noise_scales, tracy_widom_quantile

MEANS = "mean of rows or columns"
ENTRIES = "a few large entries"
UNEVEN = "uneven rows or columns"
BOTH = "the pattern of large and small entries"

ALONG = 0.05  # squared overlap with a mean direction from which on the means are looked at
RATE = 1e-2  # at which noise of one variance may still show an outlier
ERRORS = 3.0  # standard deviations of the largest eigenvalue of the control
DIRECT = 256  # up to this smaller dimension all singular values cost less than an iteration
KNOWN_PART = 3.0e-3  # accuracy of iterations, a part of what the largest eigenvalue fluctuates


class Controlled(NamedTuple):
    """What became of k outliers: reason of each (empty: it survived) and its vectors.

    Args:
        reasons: one for each outlier.
        left, right: singular vectors, (k, N) and (k, M); those of survivors are free of means.
    """

    reasons: tuple[str, ...]
    left: np.ndarray
    right: np.ndarray


def control(W: np.ndarray, location: np.ndarray, threshold: float, sigma: float) -> Controlled:
    r"""Which outliers survive.

    Args:
        W: divided matrix, (N, M): eigenvalues are those of $W^\top W$.
        location: outliers, descending, (k,).
        threshold: eigenvalue from which on they count.
        sigma: of the noise.

    Returns:
        A `Controlled`. The random numbers are those of a fixed seed: equal arrays, equal answers.
    """
    rng = np.random.default_rng((0, 20201202))
    k = len(location)
    left, values, right = leading(W, k)
    reasons, tested = [""] * k, location
    means = np.maximum(left.sum(1) ** 2 / W.shape[0], right.sum(1) ** 2 / W.shape[1])
    if np.max(means) > ALONG:
        W = W - W.mean(0) - W.mean(1, keepdims=True) + W.mean()
        inner_left, values, inner_right = leading(W, k)
        kept = int(np.sum(values**2 > threshold))
        for i in np.argsort(-means)[: k - kept]:
            reasons[i] = MEANS
        tested, inner = values[:kept] ** 2, (inner_left, inner_right)
    else:
        inner = (left, right)
    open_ones = [i for i in range(k) if not reasons[i]]
    answers = _against_signs(W, tested, inner, sigma, rng)
    for i, reason in zip(open_ones, answers, strict=True):
        reasons[i] = reason
    left[open_ones], right[open_ones] = (x[: len(open_ones)] for x in inner)  # without the means
    return Controlled(tuple(reasons), left, right)


def _against_signs(W, location, vectors, sigma: float, rng) -> list[str]:
    """Reasons of outliers of a matrix without means; survivors are taken off, then again."""
    first, count = 0, len(location)
    while first < count:
        limit = _limit(W, _with_signs, sigma, rng)
        passed = int(np.sum(location[first:] > limit))
        if passed == 0:
            break
        left, right = (x[first : first + passed] for x in vectors)
        size = np.sqrt(location[first : first + passed])
        W = W - ((left.T * size) @ right).astype(W.dtype)
        first += passed
    cause = _cause(W, location[first], sigma, rng) if first < count else ""
    return [""] * first + [cause] * (count - first)


def _cause(W, highest: float, sigma: float, rng) -> str:
    """Why outliers did not survive, from the highest of them."""
    centre, scale = noise_scales(*W.shape)
    shuffled = np.mean([top(_shuffled(W, rng)) for _ in range(max(1, _draws(W.shape) // 4))])
    if shuffled - sigma**2 * centre > (highest - sigma**2 * centre) / 2:
        return ENTRIES
    scaled = equalise(W)[0] / W.dtype.type(np.sqrt(W.shape[1]))
    return UNEVEN if top(scaled) <= centre + scale * tracy_widom_quantile(RATE) else BOTH


def _limit(W: np.ndarray, draw, sigma: float, rng) -> float:
    """What the largest eigenvalue of a control hardly exceeds.

    Few draws know their spread badly: it is not believed to be less than that of noise at the edge,
    or of an outlier at that place.
    """
    tops = np.array([top(draw(W, rng)) for _ in range(_draws(W.shape))])
    mean = float(tops.mean())
    aspect, level = W.shape[0] / W.shape[1], float(np.sum(W**2, dtype=np.float64)) / W.shape[0]
    edge = 1.27 * level * noise_scales(*W.shape)[1]  # standard deviation of Tracy–Widom
    outside = location_stderr(spike_strength(mean, aspect, sigma), aspect, sigma, W.shape[1])
    return mean + ERRORS * float(max(tops.std(ddof=1), edge, outside))


def _draws(shape: tuple[int, int]) -> int:
    """Large matrices fluctuate little, and cost much."""
    return 10 if min(shape) <= 512 else 4 if min(shape) <= 2048 else 2


def _with_signs(W: np.ndarray, rng) -> np.ndarray:
    """Every entry with a random sign."""
    bits = np.frombuffer(rng.bytes(-(-W.size // 8)), np.uint8)
    signs = np.unpackbits(bits, count=W.size).reshape(W.shape)
    return np.where(signs, W, -W)


def _shuffled(W: np.ndarray, rng) -> np.ndarray:
    """The entries in other places."""
    entries = W.ravel().copy()
    rng.shuffle(entries)
    return entries.reshape(W.shape)


def top(W: np.ndarray) -> float:
    """Largest eigenvalue of W^T W, to a small part of its fluctuation."""
    if min(W.shape) <= DIRECT:
        tall = W if W.shape[0] >= W.shape[1] else W.T
        p = tall.shape[1]
        return float(scipy.linalg.eigvalsh(tall.T @ tall, subset_by_index=(p - 1, p - 1))[0])
    start = np.random.default_rng(0).normal(size=min(W.shape)).astype(W.dtype)
    options = {"tol": KNOWN_PART, "ncv": 40, "v0": start, "return_singular_vectors": False}
    return float(svds(W, k=1, **options)[0] ** 2)


def leading(W: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leading singular vectors (count, N), values descending (count,), and vectors (count, M)."""
    p = min(W.shape)
    if p <= DIRECT or count > p // 16:
        tall = W if W.shape[0] >= W.shape[1] else W.T
        tall = tall.astype(np.float64)
        squares, short = scipy.linalg.eigh(tall.T @ tall, subset_by_index=(p - count, p - 1))
        values, short = np.sqrt(np.maximum(squares[::-1], 0.0)), short.T[::-1]
        long = (tall @ short.T / values).T
        return (long, values, short) if W.shape[0] >= W.shape[1] else (short, values, long)
    start = np.random.default_rng(0).normal(size=p).astype(W.dtype)
    left, values, right = svds(W, k=count, tol=1e-4, v0=start, ncv=min(p, max(2 * count + 1, 24)))
    order = np.argsort(-values)
    return left.T[order], values[order].astype(np.float64), right[order]
