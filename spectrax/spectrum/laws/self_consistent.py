r"""Laws given by a self-consistent equation: physical solution, density, edges, moments.

A law states $g = T(g, z)$ for a few complex numbers g and reads its Stieltjes transform off them.
Far above the real axis plain iteration converges; from there Newton's method follows the solution
down. Derivatives come from one more Newton step at the solution, which carries them.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

from spectrax import _show, check
from spectrax.spectrum.laws._support import outermost, support
from spectrax.spectrum.laws.continuation import descend, in_batches, solve
from spectrax.spectrum.laws.mass import DENSE, RESULTS, result_of, sampled, smooth_power


class AbstractDysonLaw(eqx.Module):
    """A law of eigenvalues, given by a self-consistent equation.

    Concrete laws have an array `scale`: they are laws of scale × eigenvalue.
    """

    scale: eqx.AbstractVar[Float[Array, ""]]
    positive: eqx.AbstractVar[bool]  # no negative eigenvalues
    size: eqx.AbstractVar[int]  # how many numbers g

    __repr__ = _show.table

    @abc.abstractmethod
    def update(self, g: Complex[Array, " m"], z: Complex[Array, ""]) -> Complex[Array, " m"]:
        """The self-consistency map T(g, z)."""

    @abc.abstractmethod
    def linearised(self) -> Callable:
        """The function (g, z) -> T(g, z), 1 - DT(g, z)."""

    @abc.abstractmethod
    def transform(self, g: Complex[Array, " m"]) -> Complex[Array, ""]:
        """The Stieltjes transform that belongs to a solution."""

    @abc.abstractmethod
    def bound(self) -> Float[Array, ""]:
        """No eigenvalue is farther from zero, before scaling."""

    # the physical solution

    def solve(self, z: Complex[Array, ""]) -> Complex[Array, " m"]:
        """Physical solution in the closed upper half plane, with derivatives; before scaling."""
        fixed, fixed_z = jax.lax.stop_gradient((self, z))
        g = jax.lax.stop_gradient(descend(fixed, fixed_z))
        jacobian = jax.lax.stop_gradient(fixed.linearised()(g, fixed_z)[1])
        step = solve(jacobian, g - self.update(g, z))
        return g - jnp.where(jnp.isfinite(step).all(), step, 0.0)

    def stieltjes(self, z: ArrayLike) -> Complex[Array, "..."]:
        """Stieltjes transform, the limit from the upper half plane on the real axis."""
        z = jnp.asarray(z, complex) / self.scale
        upper = jnp.where(z.imag < 0, z.conj(), z).ravel()
        S = in_batches(self, lambda z: self.transform(self.solve(z)), upper).reshape(z.shape)
        return jnp.where(z.imag < 0, S.conj(), S) / self.scale

    def density(self, x: ArrayLike) -> Float[Array, "..."]:
        """Density of the continuous part; atoms are not seen: `atom` finds one at zero only."""
        return jnp.maximum(-self.stieltjes(jnp.asarray(x, float)).imag / jnp.pi, 0.0)

    def moment(self, power: int, nodes: int = 64) -> Float[Array, ""]:
        r"""Mean of the eigenvalues to a power, by a contour around all of them.

        Args:
            power: which.
            nodes: of the contour; the error falls exponentially.
        """
        radius = 2 * self.bound() * self.scale
        angle = (jnp.arange(nodes // 2) + 0.5) * 2 * jnp.pi / nodes
        z = radius * jnp.exp(1j * angle)
        return jnp.mean((z ** (power + 1) * self.stieltjes(z)).real)

    def atom(self) -> Float[Array, ""]:
        """Mass at zero: where y times the transform at iy no longer changes with y.

        Atoms elsewhere, such as the eigenvalue 1 of an identity plus a product of low rank, are the
        mass that zero and the continuous part leave.
        """
        heights = self.bound() * self.scale * jnp.array([1e-10, 1e-12])
        near, nearer = -heights * self.stieltjes(1j * heights).imag
        return jnp.where(nearer > 0.9 * jnp.abs(near), nearer, 0.0)  # rounding may be negative

    def mass(self, nodes: int = 256, count: int = 4) -> Float[Array, ""]:
        """Density integrated over its intervals, and the mass at zero: one unless part is missing.

        Args:
            nodes: points in each interval; the error falls exponentially with them.
            count: how many intervals at most.
        """
        intervals, atom = self.support(count), self.atom()
        power = smooth_power(self, intervals)

        def mass(dense):
            return sampled(self, intervals, power, nodes, dense).integral(intervals) + atom

        plain, near_zero = jax.lax.map(mass, jnp.array([1.0, DENSE]))  # compiled once
        return jnp.where(jnp.abs(plain - 1) < jnp.abs(near_zero - 1), plain, near_zero)

    def result(self) -> RESULTS:
        """`RESULTS.unresolved` if the mass differs from one by more than 1e-3."""
        return result_of(self.mass())

    def scaled(self, factor: ArrayLike) -> "AbstractDysonLaw":
        """The law of factor × eigenvalue (factor positive)."""
        factor = check.positive("factor", factor)
        return eqx.tree_at(lambda law: law.scale, self, self.scale * factor)

    # edges

    def edges(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Outermost edges of the continuous part."""
        low, high = outermost(self)
        return low, high

    def support(self, count: int = 4) -> Float[Array, "count both"]:
        """Intervals of the continuous part, ascending; absent ones are the upper edge, twice.

        Gaps narrower than a few thousandths of the spectrum, or holding such intervals, are missed.

        Args:
            count: how many intervals at most, from the lowest up.
        """
        return support(self, check.integer("count", count, 1))
