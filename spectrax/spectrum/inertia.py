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

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax import _check, _kind
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.coupled import bulk_edges, critical_strength, locate, lowest_strength
from spectrax.spectrum.outlier import Outliers, _usable

RANK = 1e-15  # relative variance of a direction that counts as none: rounding
TINY = 1e-100  # strength at which spikes without noise are counted
ROOT, STEPS = 1e-15, 80  # relative tolerance of a strength, and how many steps it may take


def _unit_fields(C):
    """(E, A) with old fields = E new ones of unit correlations, new = A old; zero where none is."""
    values, vectors = jnp.linalg.eigh((C + C.T) / 2)
    here = values > RANK * jnp.max(values)
    root = jnp.sqrt(jnp.where(here, values, 1.0))
    return vectors * jnp.where(here, root, 0.0), (vectors * jnp.where(here, 1 / root, 0.0)).T


class _Vectors(NamedTuple):
    """A vector of Y in the original fields, and what the derivative of its eigenvalue needs."""

    a: Float[Array, " p"]
    b: Float[Array, " q"]
    c: Float[Array, " q"]
    d: Float[Array, " p"]
    e: Float[Array, " q"]  # normalisation
    f: Float[Array, " p"]
    value: Float[Array, ""]


class _Rectangular(NamedTuple):
    """Coupled spikes and their kernels in fields of unit correlations."""

    spikes: CoupledSpikes
    Re: Float[Array, "q p"]
    Rf: Float[Array, "p q"]
    K: Float[Array, "p q"]
    e: tuple  # E and A of the fields e
    f: tuple

    @staticmethod
    def of(spikes: CoupledSpikes) -> "_Rectangular":
        (E, A), (F, B) = e, f = _unit_fields(spikes.Ce), _unit_fields(spikes.Cf)
        return _Rectangular(spikes, A @ spikes.Re @ F, B @ spikes.Rf @ E, F.T @ spikes.K @ E, e, f)

    @staticmethod
    def transforms(spikes, tau):
        r"""$m$ and $\alpha_W\tilde m$."""
        shifted = tau + spikes.sigma**2
        return 1 / shifted, spikes.aspect * shifted / tau

    def matrix(self, tau):
        p, q = self.K.shape
        (m, am), variance = self.transforms(self.spikes, tau), self.spikes.sigma**2
        Re, Rf = variance * m * self.Re, variance * am * self.Rf
        A = jnp.block([[jnp.eye(p), -Re.T], [-Rf.T, jnp.eye(q)]])
        D = jnp.concatenate([jnp.full(p, 1 / am), jnp.full(q, 1 / m)])
        coupling = jnp.block([[jnp.zeros((p, p)), self.K], [self.K.T, jnp.zeros((q, q))]])
        return (A * D) @ A.T - coupling

    def far(self, below: bool):
        """A strength farther out than all."""
        if below:
            return lowest_strength(self.spikes) * (1 - 1e-12)
        size = jnp.sqrt(self.spikes.aspect * jnp.sum(self.K**2))  # bounds the norm of the spikes
        return 1.01 * (jnp.sqrt(bulk_edges(self.spikes)[1]) + size) ** 2

    def lowest_place(self):
        """Place of the eigenvalue that the first outlier below the bulk turns positive."""
        p, q = self.K.shape
        return jnp.where(self.spikes.aspect < 1, p, q) - 1

    def lift(self, tau, value, u) -> _Vectors:
        p, (m, am) = self.K.shape[0], self.transforms(self.spikes, tau)
        d, c, variance = u[:p], u[p:], self.spikes.sigma**2
        a, b = d / am - variance * self.Rf @ c, c / m - variance * self.Re @ d
        e, f = self.e[1].T @ c, self.f[1].T @ d
        whole_c, whole_d = self.e[0] @ c, self.f[0] @ d
        a, b = self.f[1].T @ (self.Re.T @ b), self.e[1].T @ (self.Rf.T @ a)
        a = self.spikes.K @ whole_c + variance * m * a + value * f
        b = self.spikes.K.T @ whole_d + variance * am * b + value * e
        return _Vectors(a, b, whole_c, whole_d, e, f, value)

    @staticmethod
    def form(spikes: CoupledSpikes, tau, v: _Vectors) -> Float[Array, ""]:
        r"""A function of the original kernels whose derivative is that of an eigenvalue of Y.

        Minus twice the quadratic form that is stationary where
        $c = m(C_e b + \sigma^2R_e d)$, $d = \alpha_W\tilde m(C_f a + \sigma^2R_f c)$,
        $a = Kc + \sigma^2mR_e^\top b$, $b = K^\top d + \sigma^2\alpha_W\tilde mR_f^\top a$;
        the last terms keep the norm of the vector. Nothing differentiates a change of fields.
        """
        (m, am), variance = _Rectangular.transforms(spikes, tau), spikes.sigma**2
        of_e = v.b @ spikes.Ce @ v.b / 2 + variance * v.b @ spikes.Re @ v.d
        of_f = v.a @ spikes.Cf @ v.a / 2 + variance * v.a @ spikes.Rf @ v.c
        form = m * of_e + am * of_f + v.d @ spikes.K @ v.c - v.b @ v.c - v.a @ v.d
        return -2 * form + v.value * (v.e @ spikes.Ce @ v.e + v.f @ spikes.Cf @ v.f)


class _Symmetric(NamedTuple):
    """The same for symmetric spikes; strengths are theta."""

    spikes: SymmetricSpikes
    R: Float[Array, "q q"]
    K: Float[Array, "q q"]
    x: tuple

    @staticmethod
    def of(spikes: SymmetricSpikes) -> "_Symmetric":
        E, A = x = _unit_fields(spikes.C)
        return _Symmetric(spikes, A @ spikes.R @ E, E.T @ spikes.K @ E, x)

    def matrix(self, theta):
        A = jnp.eye(len(self.K)) - self.spikes.sigma**2 * self.R / theta
        return theta * A.T @ A - (self.K + self.K.T) / 2

    def far(self, below: bool):
        size = 2.02 * self.spikes.sigma + 1.01 * jnp.sqrt(jnp.sum(self.K**2))
        return -size if below else size

    def lowest_place(self):
        return jnp.asarray(len(self.K) - 1)

    def lift(self, theta, value, u) -> _Vectors:
        c, e = self.x[0] @ u, self.x[1].T @ u
        a = self.x[1].T @ (self.R.T @ (theta * u - self.spikes.sigma**2 * self.R @ u))
        a = self.spikes.K @ c + self.spikes.sigma**2 * a / theta + value * e
        return _Vectors(a, a, c, c, e, e, value)

    @staticmethod
    def form(spikes: SymmetricSpikes, theta, v: _Vectors) -> Float[Array, ""]:
        form = (v.a @ spikes.C @ v.a / 2 + spikes.sigma**2 * v.a @ spikes.R @ v.c) / theta
        return -2 * (form + v.c @ spikes.K @ v.c / 2 - v.a @ v.c) + v.value * (v.e @ spikes.C @ v.e)


def _inertia(spikes) -> _Rectangular | _Symmetric:
    kind = _Symmetric if isinstance(spikes, SymmetricSpikes) else _Rectangular
    return kind.of(jax.lax.stop_gradient(spikes))


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
        >>> from spectrax.spectrum.inertia import inertia_margin
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> round(float(inertia_margin(spikes)), 4)  # Y = [[1/2, -2], [-2, 2]]
        0.886
    """
    spikes = _usable(_kind.spikes(spikes))
    inertia = _inertia(spikes)
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
        >>> from spectrax.spectrum.inertia import inertia_outliers
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 1.5 * one, aspect=0.5, sigma=1.0)
        >>> round(float(inertia_outliers(spikes, 1).location[0]), 4)
        3.0694
    """
    below = _check.one_of("side", side, ("above", "below")) == "below"
    edge, spikes = bulk_edges(_kind.spikes(spikes))[0 if below else 1], _usable(spikes)
    inertia, sign = _inertia(spikes), -1.0 if below else 1.0
    size = sum(spikes.K.shape) if isinstance(spikes, CoupledSpikes) else len(spikes.K)
    count = _check.integer("count", size if count is None else count, 1, size)
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
