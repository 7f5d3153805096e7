"""Spectra of nested random products, in closed parametric form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float, Inexact

from spectrax import _show
from spectrax.spectrum.laws.mass import RESULTS, result_of

GRID = 63  # points between the lowest value and the mean at which the lowest interval is looked for


class NestedProducts(eqx.Module):
    r"""Spectrum of $B_0$, where $B_n = 1$ and $B_{k-1} = G_k + Y_k^\top B_k Y_k / \kappa_k$.

    $Y_k$ has aspect $c_k$ = rows/columns and entries of variance $v_k$/columns. Each step maps the
    spectral variable and the Stieltjes transform of $B_k$, (w, g), to those of $B_{k-1}$:

    $$z = v w\,[1 + c\,(w g - 1)], \qquad w' = G + z/\kappa, \qquad g' = \kappa / (v w),$$

    starting from $w = s$, $g = 1/(s - 1)$: the law is a curve with parameter s. Its upper edge is
    the smallest w(s) on s > 1.

    Args:
        variance, aspect, scale, shift: $v, c, \kappa, G$ of each product, innermost first, (n,).

    Each level is the generalised Marchenko–Pastur law of Silverstein and Bai (1995).

    Source: theory page, section 3.6.

    Examples:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones(1)
        >>> law = NestedProducts(one, 4.0 * one, one, 0.0 * one)
        >>> [round(float(edge), 6) for edge in law.edges()]
        [1.0, 9.0]
    """

    variance: Float[Array, " n"]
    aspect: Float[Array, " n"]
    scale: Float[Array, " n"]
    shift: Float[Array, " n"]

    __repr__ = _show.table

    def curve(self, s: Inexact[Array, ""]) -> tuple[Inexact[Array, ""], Inexact[Array, ""]]:
        """Spectral variable and Stieltjes transform at one parameter."""
        w, h = s, 1 / (s - 1)  # h = w g - 1: as a difference it would lose its digits far out
        for k in range(self.variance.shape[0]):
            v, c, scale = self.variance[k], self.aspect[k], self.scale[k]
            h, inner = c * h, v * w
            w, h = self.shift[k] + inner * (1 + h) / scale, self.shift[k] * scale / inner + h
        return w, scale / inner

    def _variable(self, s):
        return self.curve(s)[0]

    def top(self) -> Float[Array, ""]:
        """Upper edge."""
        slope = jax.grad(jax.lax.stop_gradient(self)._variable)

        def rising(u, _):
            return slope(1 + jnp.exp(u))

        ends = {"lower": -12.0, "upper": 30.0}
        solver = optx.Bisection(rtol=1e-12, atol=1e-12, flip=False)
        u = optx.root_find(rising, solver, 0.0, options=ends, max_steps=80, throw=False).value
        return self._variable(1 + jnp.exp(jax.lax.stop_gradient(u)))  # stationary: this is all

    def bottom(self) -> Float[Array, ""]:
        """Lower edge of the continuous part, of its lowest interval if there are several."""
        fixed = jax.lax.stop_gradient(self)
        top, floor = fixed.top(), fixed.shift[-1]
        share = jnp.append(jnp.geomspace(1e-8, 0.99, GRID), 1.0)
        x = floor + share * jnp.minimum(fixed._mean() - floor, top - floor)

        def inside(x):
            return fixed.density(x) > 1e-7 / (top - floor)

        first = jnp.argmax(inside(x).at[-1].set(True))  # the mean may lie in a gap

        def halve(ends, _):
            low, high = ends
            middle = (low + high) / 2
            here = inside(middle)
            return (jnp.where(here, low, middle), jnp.where(here, middle, high)), None

        start = (jnp.where(first == 0, floor, x[first - 1]), x[first])
        (low, high), _ = jax.lax.scan(halve, start, length=50)
        s = fixed._solve(low.astype(complex)).real
        exact = self._variable(s)  # stationary at the edge, unless the edge is hard
        value = (low + high) / 2
        usable = jnp.abs(jax.lax.stop_gradient(exact) - value) < 1e-6 * (top - floor)
        found = jnp.where(usable, exact, value + self.shift[-1] - floor)
        return jnp.maximum(found, self.shift[-1])  # but for rounding

    def _mean(self):
        """Mean of the continuous part: inside the bulk, wherever that lies."""
        mean = jnp.ones(())
        for k in range(self.variance.shape[0]):
            excess = self.variance[k] / self.scale[k] * self.aspect[k] * mean
            mean = self.shift[k] + excess
        return self.shift[-1] + excess / (1 - self.atom())

    def bound(self) -> Float[Array, ""]:
        """No eigenvalue is larger."""
        bound = jnp.ones(())
        for k in range(self.variance.shape[0]):
            norm = self.variance[k] / self.scale[k] * (1 + jnp.sqrt(self.aspect[k])) ** 2
            bound = self.shift[k] + norm * bound
        return bound

    def edges(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Lower and upper edge of the continuous part."""
        return self.bottom(), self.top()

    def atom(self) -> Float[Array, ""]:
        """Mass of the eigenvalue `shift[-1]`, which the density leaves out."""
        rank = jnp.ones(())
        for k in range(self.variance.shape[0]):
            filled = jnp.minimum(1.0, self.aspect[k] * rank)
            rank = jnp.where(self.shift[k] > 0, 1.0, filled)
        return 1.0 - filled

    def stieltjes(self, z: ArrayLike) -> Complex[Array, "..."]:
        """Stieltjes transform, the limit from the upper half plane on the real axis."""
        z = jnp.asarray(z, complex)
        values = jax.vmap(self._at)(jnp.where(z.imag < 0, z.conj(), z).ravel()).reshape(z.shape)
        return jnp.where(z.imag < 0, values.conj(), values)

    def density(self, x: ArrayLike) -> Float[Array, "..."]:
        """Density of the continuous part."""
        return jnp.maximum(-self.stieltjes(jnp.asarray(x, float)).imag / jnp.pi, 0.0)

    def mass(self, nodes: int = 1024) -> Float[Array, ""]:
        """Density integrated between the edges, and the atom: 1 unless part was not resolved.

        In the root of the eigenvalues that makes a hard edge smooth, at Chebyshev nodes, which are
        dense at square roots.

        Args:
            nodes: of the quadrature; a gap between two intervals costs less than 1e-3.
        """
        power, floor = self.variance.shape[0] + 1, self.shift[-1]
        low, high = ((edge - floor) ** (1 / power) for edge in self.edges())
        angle = (jnp.arange(nodes) + 0.5) * jnp.pi / nodes
        y = (low + high) / 2 - (high - low) / 2 * jnp.cos(angle)
        speed = power * y ** (power - 1) * (high - low) / 2 * jnp.sin(angle)
        return self.atom() + jnp.pi * jnp.mean(self.density(floor + y**power) * speed)

    def result(self) -> RESULTS:
        """`RESULTS.unresolved` if the mass differs from one by more than 1e-3."""
        return result_of(self.mass())

    def scaled(self, factor: ArrayLike) -> "NestedProducts":
        """The law of factor × eigenvalue (factor positive)."""
        last = jnp.arange(self.scale.shape[0]) == self.scale.shape[0] - 1
        factor = jnp.where(last, factor, 1.0)
        return NestedProducts(self.variance, self.aspect, self.scale / factor, self.shift * factor)

    def _at(self, z):
        s = jax.lax.stop_gradient(jax.lax.stop_gradient(self)._solve(z))
        slope = jax.lax.stop_gradient(jax.grad(self._variable, holomorphic=True)(s))
        slope = jnp.where(slope == 0, 1.0, slope)
        s = s - (self._variable(s) - z) / slope  # carries the derivative
        return self.curve(s)[1]

    def _solve(self, z: Complex[Array, ""]) -> Complex[Array, ""]:
        """Parameter of a point of the closed upper half plane, by continuation from far above."""
        slope = jnp.prod(self.variance / self.scale)
        size = 10 * (jnp.abs(z) + self.bound())  # every scale is one of the law, none is absolute
        least = jnp.clip(1e-3 * jnp.abs(z - self.shift[-1]) / size, 1e-14, 1e-6)
        heights = jnp.append(size * least ** jnp.linspace(0.0, 1.0, 60), 0.0)

        def newton(s, target):
            w, move = jax.jvp(self._variable, (s,), (jnp.ones_like(s),))
            new = s - (w - target) / jnp.where(move == 0, 1.0, move)
            return jnp.where(jnp.isfinite(new), new, s), None

        def descend(s, height):
            return jax.lax.scan(newton, s, jnp.full(8, z + 1j * height))[0], None

        s = (z + 1j * size) / slope
        s, _ = jax.lax.scan(descend, s, heights)
        return jax.lax.scan(newton, s, jnp.full(30, z))[0]
