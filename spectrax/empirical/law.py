"""The Marchenko–Pastur law of the non-trivial eigenvalues, and single spikes on top of it.

In double precision whatever the precision of JAX is: edges are compared at the level of 1e-4.
"""

import dataclasses

import numpy as np

ANGLES = (np.arange(4000) + 0.5) * np.pi / 4000  # resolves the square roots at both edges


@dataclasses.dataclass(frozen=True)
class BulkLaw:
    r"""Marchenko–Pastur law of the min(N, M) squared singular values of an N × M matrix.

    $$\rho(\lambda) = \frac{\sqrt{(\lambda_+-\lambda)(\lambda-\lambda_-)}}
      {2\pi\sigma^2\min(1,\alpha_W)\lambda}, \qquad \lambda_\pm = \sigma^2(1\pm\sqrt{\alpha_W})^2$$

    of total mass one: zeros that $W^\top W$ has only because of its shape are left out
    (`MarchenkoPastur` has them, as an atom).

    Args:
        aspect: $\alpha_W = N/M$.
        sigma: entries of W have variance $\sigma^2/M$.

    Source: theory page, section 1.1.

    Examples:
        >>> from spectrax.empirical import BulkLaw
        >>> BulkLaw(4.0, 1.0).edges()
        (1.0, 9.0)
        >>> round(float(BulkLaw(1.0, 1.0).cdf(1.0)), 3)  # (sqrt(3)/2 + pi/3) / pi
        0.609
    """

    aspect: float
    sigma: float

    def edges(self) -> tuple[float, float]:
        """Lower and upper edge."""
        root = np.sqrt(self.aspect)
        return float(self.sigma**2 * (1 - root) ** 2), float(self.sigma**2 * (1 + root) ** 2)

    def density(self, x) -> np.ndarray:
        """Density at x, zero off the bulk."""
        x = np.asarray(x, float)
        low, high = self.edges()
        inside = (x > low) & (x < high)
        y = np.where(inside, x, high)
        root = np.sqrt((high - y) * (y - low))
        return root / (2 * np.pi * self.sigma**2 * min(1.0, self.aspect) * y)

    def cdf(self, x) -> np.ndarray:
        """Fraction of the eigenvalues below x (error below 1e-4)."""
        low, high = self.edges()
        points = (low + high) / 2 - (high - low) / 2 * np.cos(ANGLES)
        steps = self.density(points) * np.sin(ANGLES)
        below = (np.cumsum(steps) - steps / 2) / steps.sum()
        return np.asarray(np.interp(x, points, below, 0.0, 1.0))


def spike_location(strength, aspect, sigma=1.0):
    r"""Outlier of a single spike, $z = (\theta^2+\sigma^2)(\theta^2+\alpha_W\sigma^2)/\theta^2$.

    Args:
        strength: θ², above $\sigma^2\sqrt{\alpha_W}$; any shape.
        aspect: $\alpha_W = N/M$.
        sigma: of the noise.

    Returns:
        The eigenvalue of $W^\top W$, same shape.

    Source: theory page, section 1.2.

    Examples:
        >>> from spectrax.empirical import spike_location
        >>> spike_location(2.0, aspect=2.0) / 2.0  # in units of rows: Q = 2, S = 1
        3.0
    """
    return (strength + sigma**2) * (strength + aspect * sigma**2) / strength


def spike_strength(location, aspect, sigma=1.0):
    r"""Effective strength θ² of an outlier: the larger root of `spike_location`.

    $$2\theta^2 = b + \sqrt{b^2 - 4\alpha_W\sigma^4}, \qquad b = z - (1+\alpha_W)\sigma^2$$

    Args:
        location: z, any shape; up to the edge the answer is critical, $\sigma^2\sqrt{\alpha_W}$.
        aspect: $\alpha_W = N/M$.
        sigma: of the noise.

    Returns:
        θ², same shape.

    Source: theory page, section 1.2.

    Examples:
        >>> from spectrax.empirical import spike_strength
        >>> round(float(spike_strength(6.0, aspect=2.0)), 12)
        2.0
    """
    critical = sigma**2 * np.sqrt(aspect)
    b = np.maximum(np.asarray(location, float) - (1 + aspect) * sigma**2, 2 * critical)
    return (b + np.sqrt(np.maximum(b**2 - 4 * critical**2, 0.0))) / 2


def location_stderr(strength, aspect, sigma, cols: int):
    r"""Standard deviation of an outlier over draws of the noise around a fixed spike.

    $$\mathrm{Var}(z) = \frac{4\sigma^2}{M}\Big(\theta^2 + \frac{1+\alpha_W}2\sigma^2\Big)
      \Big(1 - \frac{\alpha_W\sigma^4}{\theta^4}\Big)$$

    Let the noise grow as a Brownian motion of variance t/M, t = 0 … σ². Then z obeys
    $dz = b(z)\,dt + 2\sqrt{z/M}\,dB$, with $b$ from $\partial_t$ of `spike_location` at fixed θ²;
    the equation linearised about the path is solved by this variance.

    Args:
        strength: θ², above critical; any shape.
        aspect: $\alpha_W = N/M$.
        sigma: of the noise.
        cols: M.

    Returns:
        The standard deviation, same shape.
    """
    strength = np.asarray(strength, float)
    damping = np.maximum(1 - aspect * sigma**4 / strength**2, 0.0)
    return np.sqrt(4 * sigma**2 / cols * (strength + (1 + aspect) / 2 * sigma**2) * damping)
