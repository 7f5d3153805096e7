r"""Laws given by a self-consistent equation: physical solution, density, edges, moments.

A law states $g = T(g, z)$ for a few complex numbers g and reads its Stieltjes transform off them.
Far above the real axis plain iteration converges; from there Newton's method follows the solution
down. Derivatives come from one more Newton step at the solution, which carries them.

One factorisation has to wait for the other, by the numbers that it needs: batched ones share the
threads that they wait for, and two at once can wait forever on a processor with few cores. Hence
full batches only, and derivatives made of products.
"""

import abc
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

from spectrax import _check

HIGH, LOW = 30.0, 1e-7  # first height over the axis in units of the bound, last in those of z
FACTOR = 1.5  # between heights
PLAIN, STEPS, LAST = 100, 2, 8  # plain iterations; Newton steps at each height, at the end
SMALLEST = 1e-6  # eigenvalue looked at, in units of the bound
BATCH = 128  # points solved side by side
GRID = 160  # points of each pass that looks for the support
PRESENT = 1e-7  # density, in units of one over the bound, that counts as inside
HALVINGS = 12  # of a grid cell before an edge is solved for


class AbstractDysonLaw(eqx.Module):
    """A law of eigenvalues, given by a self-consistent equation.

    Concrete laws have an array `scale`: they are laws of scale × eigenvalue.
    """

    scale: eqx.AbstractVar[Float[Array, ""]]
    positive: eqx.AbstractVar[bool]  # no negative eigenvalues
    size: eqx.AbstractVar[int]  # how many numbers g

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
        g = jax.lax.stop_gradient(_descend(fixed, fixed_z))
        T, jacobian = self.linearised()(g, z)
        step = jnp.linalg.inv(jax.lax.stop_gradient(jacobian)) @ (g - T)
        return g - jnp.where(jnp.isfinite(step).all(), step, 0.0)

    def stieltjes(self, z: ArrayLike) -> Complex[Array, "..."]:
        """Stieltjes transform, the limit from the upper half plane on the real axis."""
        z = jnp.asarray(z, complex) / self.scale
        upper = jnp.where(z.imag < 0, z.conj(), z).ravel()
        S = in_batches(self, lambda z: self.transform(self.solve(z)), upper).reshape(z.shape)
        return jnp.where(z.imag < 0, S.conj(), S) / self.scale

    def density(self, x: ArrayLike) -> Float[Array, "..."]:
        """Density of the continuous part."""
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
        """Mass at zero: where y times the transform at iy no longer changes with y."""
        heights = self.bound() * self.scale * jnp.array([1e-7, 1e-9])
        near, nearer = -heights * self.stieltjes(1j * heights).imag
        return jnp.where(nearer > 0.99 * near, nearer, 0.0)

    def scaled(self, factor: ArrayLike) -> "AbstractDysonLaw":
        """The law of factor × eigenvalue (factor positive)."""
        factor = _check.positive("factor", factor)
        return eqx.tree_at(lambda law: law.scale, self, self.scale * factor)

    # edges

    def edges(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Outermost edges of the continuous part."""
        found = self.support(4)
        return found[0, 0], jnp.max(found)

    def support(self, count: int = 4) -> Float[Array, "count both"]:
        """Intervals of the continuous part, ascending; absent ones are the upper edge, twice.

        Gaps narrower than a few thousandths of the spectrum, or holding such intervals, are missed.

        Args:
            count: how many intervals at most.
        """
        return support(self, _check.integer("count", count, 1))


def in_batches(law, function, z):
    """A function at many points, some at a time."""
    size = max(1, min(BATCH, 100_000 // law.size**2, len(z)))
    full = jnp.pad(z, (0, -len(z) % size), mode="edge").reshape(-1, size)
    found = jax.lax.map(jax.vmap(function), full)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(z)], found)


def _descend(law, z):
    """Follow the solution from far above the axis down to z."""
    high, low = HIGH * (law.bound() + jnp.abs(z)), jnp.maximum(LOW * jnp.abs(z), 1e-30)
    linearised = law.linearised()

    def newton(g, z, steps):
        def step(_, g):
            T, jacobian = linearised(g, z)
            new = g - jnp.linalg.solve(jacobian, g - T)
            return jnp.where(jnp.isfinite(new).all(), new, g)

        return jax.lax.fori_loop(0, steps, step, g)

    def lower(state):
        g, height = state
        return newton(g, z + 1j * height, STEPS), height / FACTOR

    start = jnp.zeros(law.size, complex)
    g = jax.lax.fori_loop(0, PLAIN, lambda _, g: law.update(g, z + 1j * high), start)
    g, _ = jax.lax.while_loop(
        lambda state: (low < state[1]) & (state[1] < jnp.inf), lower, (g, high)
    )
    return newton(g, z, LAST)


def _grid(law, top=None):
    """Points on which the support is looked for, before scaling; with a top, evenly below it."""
    if top is None:
        outward = law.bound() * jnp.geomspace(SMALLEST, 1.0, GRID)
    else:
        outward = top * (jnp.arange(GRID) + 0.5) ** 2 / GRID**2
    return outward if law.positive else jnp.concatenate([-outward[::-1], outward])


@partial(jax.jit, static_argnames="count")
def support(law: AbstractDysonLaw, count: int) -> Float[Array, "count both"]:
    """Edges by scans, halving, and the equations of a fold; see `AbstractDysonLaw.support`."""
    fixed = jax.lax.stop_gradient(eqx.tree_at(lambda law: law.scale, law, jnp.ones(())))
    unit = fixed.bound()

    def inside(x):
        return fixed.density(x) * unit > PRESENT

    first = _grid(fixed)
    far = jnp.where(inside(first), jnp.abs(first), 0.0).max()
    x = jnp.sort(jnp.concatenate([first, _grid(fixed, 1.2 * far)]))
    x = jnp.concatenate([jnp.where(fixed.positive, 0.0, -2 * unit)[None], x, 2 * unit[None]])
    present = jnp.concatenate([jnp.zeros(1, bool), inside(x[1:-1]), jnp.zeros(1, bool)])
    cells = jnp.nonzero(present[1:] != present[:-1], size=2 * count, fill_value=-1)[0]

    def refine(cell):
        low, high, rising = x[cell], x[cell + 1], present[cell + 1]

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            up = inside(middle) == rising
            return jnp.where(up, low, middle), jnp.where(up, middle, high)

        low, high = jax.lax.fori_loop(0, HALVINGS, halve, (low, high))
        outer = jnp.where(rising, low, high)
        return _fold(law, fixed, outer, (low + high) / 2, high - low)

    found = jnp.where(cells < 0, -jnp.inf, jax.vmap(refine)(jnp.maximum(cells, 0)))
    return jnp.where(cells < 0, jnp.max(found), found).reshape(count, 2) * law.scale


def _fold(law, fixed, outside, middle, width):
    """The edge near a point off the bulk, where 1 - DT is singular; carries the derivative."""
    g = _descend(fixed, outside.astype(complex)).real
    linearised = fixed.linearised()

    def both(g, x):
        T, jacobian = linearised(g + 0j, x + 0j)
        return T.real, jacobian.real

    u = jnp.linalg.svd(both(g, outside)[1])[2][-1]

    def equations(y, u0):
        g, x, u = y
        T, jacobian = both(g, x)
        return g - T, jacobian @ u, u0 @ u - 1

    solver = optx.Newton(rtol=1e-12, atol=1e-12)
    start = (g, outside, u)
    sol = optx.root_find(equations, solver, start, args=u, max_steps=30, throw=False)
    g, x, u = sol.value
    near = (jnp.abs(x - middle) < 30 * width) & jnp.isfinite(g).all()
    g, x = jnp.where(near, g, 0.0), jnp.where(near, x, 2 * fixed.bound())  # any regular point
    g, x = jax.lax.stop_gradient((g, x))

    def defect(x):
        T, jacobian = law.linearised()(g + 0j, x + 0j)
        return g - T.real, jacobian.real

    value, pull, jacobian = jax.vjp(defect, x, has_aux=True)
    left = jnp.linalg.svd(jax.lax.stop_gradient(jacobian))[0][:, -1]
    slope = jax.lax.stop_gradient(pull(left)[0])
    change = left @ (value - jax.lax.stop_gradient(value))
    edge = x - change / jnp.where(slope == 0, 1.0, slope)
    unit = fixed.bound()
    hard = fixed.positive & (middle < 10 * SMALLEST * unit) & (~near | (x < 1e-9 * unit))
    found = jnp.where(near, edge, jax.lax.stop_gradient(middle))
    return jnp.where(hard, 0.0, found)  # no fold: the law starts at zero
