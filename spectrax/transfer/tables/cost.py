"""What it costs to keep a narrow network's learning rate, beside what width gains."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from spectrax.transfer.tables.noise import Noise
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Optimum

CROWDED = 0.3  # of the spacing: rates so close to the optimum are replaced by it


class Cost(NamedTuple):
    r"""Loss of the widest network N with the rates of narrower ones, and what width gains.

    Attributes:
        widths: all but the widest, (m,).
        loss: $L_N(\\eta_n) - L_N(\\eta_N)$, (m,); +inf where the widest network diverges.
        stderr: standard errors, (m,).
        gain: $L_n(\\eta_n) - L_N(\\eta_N)$, (m,): what width gains from n to N.
        gain_stderr: standard errors, (m,).
    """

    widths: Float[np.ndarray, " m"]
    loss: Float[np.ndarray, " m"]
    stderr: Float[np.ndarray, " m"]
    gain: Float[np.ndarray, " m"]
    gain_stderr: Float[np.ndarray, " m"]


class Valley:
    """Loss above the optimum between the rates of one curve: monotone cubics through its means."""

    def __init__(self, curve: Curve, optimum: Optimum):
        block = curve.block()
        x, loss = curve.x[block], curve.loss[block]
        self.low, self.high = x[0], x[-1]
        if block.stop < len(curve.x):  # the best rate may lie between the last one and a divergence
            self.high = max(self.high, optimum.x)
            self.beyond = np.inf
        else:
            self.beyond = None
        far = np.abs(x - optimum.x) > CROWDED * optimum.spacing
        knots = np.append(x[far], optimum.x)
        heights = np.append(np.maximum(loss[far] - optimum.loss, 0.0), 0.0)
        order = np.argsort(knots)
        knots, heights = knots[order], heights[order]
        self._curve = PchipInterpolator(knots, heights) if len(knots) > 1 else np.zeros_like

    def excess(self, x) -> Float[np.ndarray, "*shape"]:
        """Loss above the optimum; beyond an end of the grid that of the end."""
        x = np.asarray(x, float)
        found = np.maximum(self._curve(np.clip(x, self.low, self.high)), 0.0)
        found = found if self.beyond is None else np.where(x > self.high, self.beyond, found)
        return np.asarray(found, float)


def cost_of(curves: list[Curve], optima: list[Optimum], noise: Noise) -> Cost:
    """Costs and gains of all widths but the widest."""
    last, valley = optima[-1], Valley(curves[-1], optima[-1])
    loss, stderr = [], []
    for optimum in optima[:-1]:
        error = np.sqrt(optimum.variance + last.variance)
        error = error if np.isfinite(error) else optimum.spacing
        error = error if np.isfinite(error) else 0.0  # a single rate: nowhere to move to
        here, below, above = valley.excess(optimum.x + error * np.array([0.0, -1.0, 1.0]))
        moved = max(abs(below - here), abs(above - here)) if np.isfinite(here) else np.inf
        seeds = curves[-1].count[curves[-1].lowest]
        scatter = noise.sigma[-1] / np.sqrt(seeds) if here > 0 else 0.0
        loss.append(here)
        stderr.append(np.sqrt(moved**2 + scatter**2 + last.loss_error**2))
    gain = np.array([o.loss - last.loss for o in optima[:-1]])
    gain_stderr = np.array([np.hypot(o.loss_error, last.loss_error) for o in optima[:-1]])
    widths = np.array([c.width for c in curves[:-1]])
    return Cost(widths, np.array(loss), np.array(stderr), gain, gain_stderr)
