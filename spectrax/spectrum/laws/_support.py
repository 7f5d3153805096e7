"""Where a law has its eigenvalues: scans, halving, and the equations of a fold."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float

from spectrax._compiled import compiled
from spectrax.spectrum.laws.continuation import descend, singular_vectors

SMALLEST = 1e-6  # eigenvalue looked at, in units of the bound
GRID = 160  # points of each pass that looks for the support
PRESENT = 1e-7  # density, in units of one over the bound, that counts as inside
HALVINGS = 12  # of a grid cell before an edge is solved for


def _grid(law, top=None):
    """Points on which the support is looked for, before scaling; with a top, evenly below it."""
    if top is None:
        outward = law.bound() * jnp.geomspace(SMALLEST, 1.0, GRID)
    else:
        outward = top * (jnp.arange(GRID) + 0.5) ** 2 / GRID**2
    return outward if law.positive else jnp.concatenate([-outward[::-1], outward])


@compiled("count")
def support(law, count: int) -> Float[Array, "count both"]:
    """The lowest intervals; see `AbstractDysonLaw.support`."""
    x, present, crossings = _scan(law)
    cells = jnp.nonzero(crossings, size=2 * count, fill_value=-1)[0]
    found = jax.vmap(lambda cell: _refine(law, x, present, cell))(jnp.maximum(cells, 0))
    found = jnp.where(cells < 0, -jnp.inf, found)
    return jnp.where(cells < 0, jnp.max(found), found).reshape(count, 2) * law.scale


@compiled()
def outermost(law) -> Float[Array, " 2"]:
    """Lower end of the lowest interval, upper end of the highest."""
    x, present, crossings = _scan(law)
    cells = jnp.stack([jnp.argmax(crossings), len(crossings) - 1 - jnp.argmax(crossings[::-1])])
    return jax.vmap(lambda cell: _refine(law, x, present, cell))(cells) * law.scale


def _unscaled(law):
    return jax.lax.stop_gradient(eqx.tree_at(lambda law: law.scale, law, jnp.ones(())))


def _inside(fixed, x):
    return fixed.density(x) * fixed.bound() > PRESENT


def _scan(law):
    """Points, whether each lies inside, and the cells between them that hold an edge."""
    fixed = _unscaled(law)
    first, unit = _grid(fixed), fixed.bound()
    far = jnp.where(_inside(fixed, first), jnp.abs(first), 0.0).max()
    x = jnp.sort(jnp.concatenate([first, _grid(fixed, 1.2 * far)]))
    x = jnp.concatenate([jnp.where(fixed.positive, 0.0, -2 * unit)[None], x, 2 * unit[None]])
    off = jnp.zeros(1, bool)
    present = jnp.concatenate([off, _inside(fixed, x[1:-1]), off])
    return x, present, present[1:] != present[:-1]


def _refine(law, x, present, cell):
    """The edge in a cell of the scan, before scaling."""
    fixed, rising = _unscaled(law), present[cell + 1]

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        up = _inside(fixed, middle) == rising
        return jnp.where(up, low, middle), jnp.where(up, middle, high)

    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (x[cell], x[cell + 1]))
    outer = jnp.where(rising, low, high)
    return _fold(law, fixed, outer, (low + high) / 2, high - low)


def _fold(law, fixed, outside, middle, width):
    """The edge near a point off the bulk, where 1 - DT is singular; carries the derivative."""
    g, x = _singular(fixed, outside)
    unit = fixed.bound()
    near = (jnp.abs(x - middle) < 30 * width) & jnp.isfinite(g).all()
    g, x = jnp.where(near, g, 0.0), jnp.where(near, x, 2 * unit)  # any regular point
    left = singular_vectors(_real_system(fixed, g, x)[1])[0]

    def defect(law, x):
        return left @ law.update(g + 0j, x + 0j).real

    g, x, left = jax.lax.stop_gradient((g, x, left))
    slope = jax.lax.stop_gradient(jax.grad(defect, argnums=1)(fixed, x))
    change = defect(law, x) - jax.lax.stop_gradient(defect(law, x))
    edge = x - change / jnp.where(slope == 0, 1.0, slope)
    hard = fixed.positive & (middle < 10 * SMALLEST * unit) & (~near | (x < 1e-9 * unit))
    found = jnp.where(near, edge, jax.lax.stop_gradient(middle))
    return jnp.where(hard, 0.0, found)  # no fold: the law starts at zero


@sequential_vmap  # see `continuation`: Optimistix factorises too
def _singular(law, outside):
    """Solution and point next to a point off the bulk at which 1 - DT is singular."""
    g = descend(law, outside.astype(complex)).real
    u = singular_vectors(_real_system(law, g, outside)[1])[1]

    def equations(y, u0):
        g, x, u = y
        T, jacobian = _real_system(law, g, x)
        return g - T, jacobian @ u, u0 @ u - 1

    solver = optx.Newton(rtol=1e-12, atol=1e-12)
    start = (g, outside, u)
    sol = optx.root_find(equations, solver, start, args=u, max_steps=30, throw=False)
    return sol.value[:2]


def _real_system(law, g, x):
    """T and 1 - DT off the bulk, where all is real."""
    T, jacobian = law.linearised()(g + 0j, x + 0j)
    return T.real, jacobian.real
