r"""Outliers from symmetric matrices only: signs of eigenvalues count what left the bulk.

In fields of unit correlations, $\hat C_e = I_q$ and $\hat C_f = I_p$, put for $\tau = \theta^2$

$$A = \begin{bmatrix} I_p & -\sigma^2 m \hat R_e^\top\\
  -\sigma^2\alpha_W\tilde m \hat R_f^\top & I_q\end{bmatrix}, \quad
  Y(\tau) = A\,\mathrm{diag}\Big(\frac1{\alpha_W\tilde m} I_p, \frac1m I_q\Big) A^\top
  - \begin{bmatrix} 0 & \hat K\\ \hat K^\top & 0\end{bmatrix}, \qquad
  m = \frac1{\tau+\sigma^2},\ \tilde m = \frac{\tau+\sigma^2}\tau .$$

Above the bulk, $\tau > \sigma^2\sqrt{\alpha_W}$, as many eigenvalues of $W^\top W$ lie beyond
$z(\tau)$ as eigenvalues of Y are negative; below it, as many as Y has fewer negative ones than
without spikes. Nothing here needs a nonsymmetric eigenproblem, which TPUs do not have.

Of symmetric matrices, $Y(\theta) = \theta(1 - \sigma^2\hat R^\top/\theta)(1 -
\sigma^2\hat R/\theta) - \hat K$: negative eigenvalues above the bulk, positive ones below it.

Source: theory page, section 1.6.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax import _kind, check
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.spikes._quadratic_form import quadratic_form
from spectrax.spectrum.spikes._roots import eigenvalue, real_strengths, threshold
from spectrax.spectrum.spikes.outliers import Outliers
from spectrax.spectrum.spikes.transfer_matrix import (
    bulk_edges,
    critical_strength,
    locate,
    usable,
)


@compiled()
@over_batches
def inertia_margin(spikes: CoupledSpikes | SymmetricSpikes) -> Float[Array, ""]:
    r"""Minus the smallest eigenvalue of Y at the critical strength.

    Positive if and only if there is an outlier above the bulk (of a symmetric matrix: on either
    side), and zero where one appears, as `margin`; smooth where complex strengths become real. Its
    size elsewhere depends on directions of the fields that have almost no variance.

    Args:
        spikes: p spikes on the left, q on the right.

    Returns:
        A scalar, in units of its own.

    Source: theory page, section 1.6.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> from spectrax.spectrum.spikes.inertia import inertia_margin
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> round(float(inertia_margin(spikes)), 4)  # Y = [[1/2, -2], [-2, 2]]
        0.886
    """
    spikes = usable(_kind.spikes(spikes))
    inertia = quadratic_form(spikes)
    above = -_moving(inertia, spikes, 0, 1.0)
    if isinstance(spikes, CoupledSpikes):
        return above
    return jnp.maximum(above, _moving(inertia, spikes, -1, -1.0))


def _moving(inertia, spikes, place: int, sign: float):
    """An eigenvalue of Y at a critical strength, with its derivative."""
    tau = sign * threshold(inertia.spikes)
    value, u, _ = eigenvalue(inertia, tau, place)
    v = jax.lax.stop_gradient(inertia.lift(tau, value, u))
    form = inertia.form(spikes, sign * threshold(spikes), v)
    return jax.lax.stop_gradient(value) + form - jax.lax.stop_gradient(form)


@compiled("count", "side")
@over_batches
def inertia_outliers(
    spikes: CoupledSpikes | SymmetricSpikes, count: int | None = None, *, side: str = "above"
) -> Outliers:
    r"""Outliers by inertia, one bracketed root for each.

    $$\frac{d\tau}{dp} = -\frac{u^\top \partial_pY\, u}{u^\top \partial_\tau Y\, u}, \qquad Yu = 0$$

    Args:
        spikes: p spikes on the left, q on the right.
        count: how many to report, at most as many as Y has eigenvalues; None = all.
        side: "above": locations and strengths descending; "below": both ascending.

    Returns:
        Outliers as `outliers` has them, but the strength is the critical one where there is none.

    Raises:
        ValueError: if count or side is out of range.

    Source: theory page, section 1.6.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> from spectrax.spectrum.spikes.inertia import inertia_outliers
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 1.5 * one, aspect=0.5, sigma=1.0)
        >>> round(float(inertia_outliers(spikes, 1).location[0]), 4)
        3.0694
    """
    below = check.one_of("side", side, ("above", "below")) == "below"
    edge, spikes = bulk_edges(_kind.spikes(spikes))[0 if below else 1], usable(spikes)
    size = sum(spikes.K.shape) if isinstance(spikes, CoupledSpikes) else len(spikes.K)
    count = check.integer("count", size if count is None else count, 1, size)
    strength, found = real_strengths(spikes, count, -1.0 if below else 1.0, beyond=True)
    location = locate(spikes, jnp.where(found, strength, 2 * threshold(spikes)))
    none = (-1.0 if below else 1.0) * critical_strength(spikes)
    return Outliers(jnp.where(found, location, edge), found, jnp.where(found, strength, none))
