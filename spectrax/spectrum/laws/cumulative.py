r"""The cumulative distribution of a law, and the distance of sampled eigenvalues from it.

In a variable that makes the ends of an interval smooth the density is a cosine series:

$$\rho(x)\,\frac{dx}{d\theta} = \sum_k c_k\cos k\theta, \qquad
  F(x) = F(x_-) + c_0\theta + \sum_{k>0} \frac{c_k}{k}\sin k\theta .$$
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.fft import dct

from spectrax import check
from spectrax.spectrum.laws.mass import DENSE, RESULTS, angles, result_of, sampled, smooth_power
from spectrax.spectrum.laws.self_consistent import AbstractDysonLaw

ZERO = 1e-12  # eigenvalues below this share of the largest one are zeros


@dataclasses.dataclass(frozen=True)
class Cumulative:
    """The distribution of a law as a function, in NumPy.

    Args:
        intervals: of the continuous part, ascending, (k, 2).
        power: the variable of an interval is this root of the eigenvalues, (k,).
        atom: mass at zero.
        x: points at which the law was solved, ascending in each interval, (k, n).
        density: there, (k, n).
        residual: largest defect of the self-consistent equation at these points.
    """

    intervals: np.ndarray
    power: np.ndarray
    atom: float
    x: np.ndarray
    density: np.ndarray
    residual: float

    def __call__(self, x) -> np.ndarray:
        """Fraction of the eigenvalues up to x, any shape."""
        x = np.asarray(x, float)
        return np.asarray(self._continuous(x) + self.atom * (x >= 0))

    @property
    def mass(self) -> float:
        """Total mass; what it lacks to one was not found or not resolved."""
        return float(self(np.max(self.intervals)))

    @property
    def result(self) -> RESULTS:
        """`RESULTS.unresolved` if the mass differs from one by more than 1e-3."""
        return result_of(self.mass)

    def distance(self, values) -> float:
        r"""Kolmogorov–Smirnov distance $\sup_x|F_n(x) - F(x)|$ of all eigenvalues of a matrix.

        Args:
            values: the eigenvalues, (n,), those that are zero included.
        """
        values = np.sort(np.ravel(values))
        values = np.where(np.abs(values) <= ZERO * np.abs(values).max(), 0.0, values)
        at = np.unique(np.append(values, 0.0))  # the jumps of both
        continuous = self._continuous(at)
        apart = []
        for side, law in (("left", at > 0), ("right", at >= 0)):  # limits from both sides
            empirical = np.searchsorted(values, at, side) / len(values)
            apart.append(np.abs(continuous + self.atom * law - empirical))
        return float(np.max(apart))

    def _continuous(self, x: np.ndarray) -> np.ndarray:
        total, k = np.zeros(x.shape), np.arange(1, self.x.shape[1])
        parts = zip(self.intervals, self.power, self.x, self.density, strict=True)
        for interval, power, points, density in parts:
            middle, half = _middle(interval, power)
            u = np.clip(x, *interval) ** (1 / power)
            theta = np.arccos(np.clip((middle - u) / half, -1.0, 1.0))
            theta = np.where(x <= interval[0], 0.0, theta)  # no rounding where there is nothing
            speed = (
                power * points ** (1 - 1 / power) * half * np.sin(np.asarray(angles(len(points))))
            )
            c = dct(density * speed, norm="forward", type=2)
            total += c[0] * theta + np.sin(theta[..., None] * k) @ (2 * c[1:] / k)
        return total


def cumulative(law: AbstractDysonLaw, nodes: int = 256, count: int = 4) -> Cumulative:
    """The cumulative distribution of a law.

    Args:
        law: of eigenvalues, its only atom at zero.
        nodes: points in each interval; the error falls exponentially with them.
        count: how many intervals at most.

    Returns:
        A function of x that also measures distances.

    Raises:
        ValueError: if nodes is not an integer of at least 8, or nothing continuous was found.

    Examples:
        >>> import spectrax as sx
        >>> from spectrax.spectrum.laws.cumulative import cumulative
        >>> sx.enable_x64()
        >>> F = cumulative(sx.one_step_outputs(1.0, 1.0, 0.0))  # square Marchenko-Pastur
        >>> print(f"{F(1.0):.6f}")  # (sqrt(3)/2 + pi/3) / pi
        0.608998
    """
    nodes = check.integer("nodes", nodes, 8)
    intervals = np.asarray(law.support(count))
    intervals = intervals[intervals[:, 1] > intervals[:, 0]]
    if not len(intervals):
        raise ValueError("Argument `law` must have a continuous part, found none.")
    atom = float(_atom(law))
    smooth = smooth_power(law, jnp.asarray(intervals))
    for dense in (1.0, DENSE):
        found = sampled(law, jnp.asarray(intervals), smooth, nodes, jnp.asarray(dense))
        power, x, density, residual = map(np.asarray, found)
        found = Cumulative(intervals, power, atom, x, density, float(residual))
        if found.result == RESULTS.resolved:
            break
    return found


def _middle(interval, power: float) -> tuple[float, float]:
    """Middle and half width of an interval of the variable."""
    low, high = np.asarray(interval) ** (1 / power)
    return (low + high) / 2, (high - low) / 2


@eqx.filter_jit
def _atom(law):
    return law.atom()
