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
from jaxtyping import Array, Float, Int

from spectrax import _kind, check
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.spikes._quadratic_form import quadratic_form
from spectrax.spectrum.spikes.outliers import Outliers, usable
from spectrax.spectrum.spikes.transfer_matrix import bulk_edges, critical_strength, locate

TINY = 1e-100  # strength at which spikes without noise are counted
ROOT, STEPS = 1e-15, 80  # relative tolerance of a strength, and how many steps it may take


def _threshold(spikes):
    """The critical strength, positive where there is no noise either."""
    return jnp.maximum(critical_strength(spikes), TINY)


def _eigenvalue(inertia, tau, place):
    """The eigenvalue of Y of that place from below, its vector, its slope in the strength."""
    matrix, move = jax.jvp(inertia.matrix, (tau,), (jnp.ones_like(tau),))
    values, vectors = jnp.linalg.eigh(matrix)
    u = vectors[:, place]
    return values[place], u, u @ move @ u


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
    tau = sign * _threshold(inertia.spikes)
    value, u, _ = _eigenvalue(inertia, tau, place)
    v = jax.lax.stop_gradient(inertia.lift(tau, value, u))
    form = inertia.form(spikes, sign * _threshold(spikes), v)
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
    inertia, sign = quadratic_form(spikes), -1.0 if below else 1.0
    size = sum(spikes.K.shape) if isinstance(spikes, CoupledSpikes) else len(spikes.K)
    count = check.integer("count", size if count is None else count, 1, size)
    places = inertia.lowest_place() - jnp.arange(count) if below else jnp.arange(count)
    critical = sign * _threshold(inertia.spikes)
    far = inertia.far(below)

    def one(place):
        root = _root(inertia, place, sign, critical, far)
        found = jnp.isfinite(root) & (place >= 0)
        safe = jnp.where(found, root, 2 * critical)
        value, u, slope = _eigenvalue(inertia, safe, place)
        form = inertia.form(spikes, safe, inertia.lift(safe, value, u))
        moved = safe - (form - jax.lax.stop_gradient(form)) / jnp.where(slope == 0, 1.0, slope)
        return moved, found

    strength, found = jax.vmap(one)(places)
    location = locate(spikes, strength)
    none = sign * critical_strength(spikes)
    return Outliers(jnp.where(found, location, edge), found, jnp.where(found, strength, none))


def _root(inertia, place: Int[Array, ""], sign: float, near, far):
    """Where the eigenvalue of a place crosses zero between two strengths; inf if it does not.

    At the near end it is negative (times the sign) where there is an outlier.
    """

    def step(state):
        near, far, tau, _, number = state
        value, _, slope = _eigenvalue(inertia, tau, place)
        inside = sign * value < 0
        near, far = jnp.where(inside, tau, near), jnp.where(inside, far, tau)
        new = tau - value / jnp.where(slope == 0, 1.0, slope)
        low, high = jnp.minimum(near, far), jnp.maximum(near, far)
        new = jnp.where((new > low) & (new < high), new, (near + far) / 2)
        return near, far, new, jnp.abs(new - tau), number + 1

    def going(state):
        _, _, tau, move, number = state
        return (move > ROOT * jnp.abs(tau)) & (number < STEPS)

    exists = sign * _eigenvalue(inertia, near, place)[0] < 0
    start = (near, far, (near + far) / 2, jnp.abs(far - near), 0)
    tau = jax.lax.while_loop(going, step, start)[2]
    return jnp.where(exists, tau, jnp.inf)
