"""The symmetric matrix Y of `inertia`, and derivatives of its eigenvalues by one vector."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.spikes.transfer_matrix import bulk_edges, lowest_strength

RANK = 1e-15  # relative variance of a direction that counts as none: rounding


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


def quadratic_form(spikes) -> _Rectangular | _Symmetric:
    """Y of given spikes, without derivatives: they come from `form`."""
    kind = _Symmetric if isinstance(spikes, SymmetricSpikes) else _Rectangular
    return kind.of(jax.lax.stop_gradient(spikes))
