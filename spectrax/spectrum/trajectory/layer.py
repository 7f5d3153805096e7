"""One weight matrix through its training, as plain arrays: bulk, outliers, escape."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from spectrax.spectrum.trajectory.escape import escape_time_of, outlier_path


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """One weight matrix through the training; S = steps that exist + 1."""

    aspect: float
    sigma: np.ndarray  # (S,) standard deviation of its random part, decayed
    edge: np.ndarray  # (S,) upper edge of the bulk
    location: np.ndarray  # (S, count)
    escaped: np.ndarray  # (S, count)
    strength: np.ndarray  # (S, count)
    escape_step: float

    @property
    def critical(self) -> np.ndarray:
        """Strength at which an outlier leaves the bulk, (S,)."""
        return self.sigma**2 * np.sqrt(self.aspect)

    def summary(self) -> dict:
        """The last step in words and numbers."""
        last = self.escaped[-1]
        return {
            "aspect": self.aspect,
            "bulk_edge": self.edge[-1],
            "escape_step": self.escape_step,
            "outliers": self.location[-1][last],
            "strength": self.strength[-1, 0],
            "critical_strength": self.critical[-1],
        }


def layer_report(weights, count: int, valid: int) -> LayerReport:
    """Outliers of one weight matrix over the steps that exist."""
    path, escape_step, sigma = _spectral(weights, count)
    steps = slice(0, valid + 1)
    sigma = np.asarray(sigma)[steps]
    escape_step = float(escape_step)
    return LayerReport(
        aspect=float(weights.aspect),
        sigma=sigma,
        edge=(sigma * (1 + np.sqrt(float(weights.aspect)))) ** 2,
        location=np.asarray(path.location)[steps],
        escaped=np.asarray(path.escaped)[steps],
        strength=np.asarray(path.strength)[steps],
        # What the masked fields do after a divergence is not an escape.
        escape_step=escape_step if escape_step <= valid else np.inf,
    )


@eqx.filter_jit
def _spectral(weights, count: int):
    steps = jnp.arange(weights.num_steps + 1)
    sigma = jax.lax.map(lambda step: jnp.abs(weights.at(step).sigma), steps)
    return outlier_path(weights, count), escape_time_of(weights), sigma
