"""A root finder for expensive functions that may be infinite and cross zero more than once."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int


class _State(eqx.Module):
    count: Int[Array, ""]
    values: Float[Array, " n"]
    scores: Float[Array, " n"]
    points: Float[Array, "3"]
    at_points: Float[Array, "3"]
    width: Float[Array, ""]
    found: Bool[Array, ""]


class GridCrossing(optx.AbstractRootFinder):
    """Upward crossing of zero with the lowest score: a scan of a grid, then Chandrupatla's method.

    The function returns (value, score). All nodes of the grid `options["grid"]` (ascending) are
    evaluated; among the intervals where the value turns from negative to positive the one with the
    lowest score at an end is refined, by inverse quadratic interpolation where three points allow
    it and by bisection elsewhere, until the interval is as narrow as the tolerance: values of very
    different size on its two sides, or infinite ones, cost evaluations but no accuracy. Values that
    are not finite count as positive. One copy of the function is compiled.

    Returns the last node if there is no crossing and the last value is negative, else the first;
    `stats["found"]` tells.
    """

    rtol: float
    atol: float
    norm: ClassVar[Callable] = jnp.abs

    def init(self, fn, y, args, options, f_struct, aux_struct, tags) -> _State:
        """Nothing evaluated yet."""
        del fn, y, args, aux_struct, tags
        dtype = f_struct.dtype
        blank, three = jnp.zeros(len(options["grid"]), dtype), jnp.zeros(3, dtype)
        infinite = jnp.asarray(jnp.inf, dtype)
        return _State(jnp.array(0), blank, blank, three, three, infinite, jnp.array(True))

    def step(self, fn, y, args, options, state: _State, tags):
        """Evaluate at the next node, or inside the bracket."""
        del tags
        grid = jnp.asarray(options["grid"], y.dtype)
        value, score = fn(y, args)
        value = jnp.where(jnp.isfinite(value), value, jnp.inf)
        score = jnp.where(jnp.isfinite(score), score, jnp.inf)
        scanning = state.count < len(grid)
        place = jnp.where(scanning, state.count, len(grid))
        values = state.values.at[place].set(value, mode="drop")
        scores = state.scores.at[place].set(score, mode="drop")

        low, high, at_low, at_high, found = _bracket(grid, values, scores)
        scanned = state.count == len(grid) - 1
        points, at_points = _refine(y, value, state.points, state.at_points)
        points = jnp.where(scanned, jnp.stack([low, high, high]), points)
        at_points = jnp.where(scanned, jnp.stack([at_low, at_high, at_high]), at_points)
        inside, width = _inside(points, at_points, self._tolerance(points[0]))
        following = grid[jnp.minimum(state.count + 1, len(grid) - 1)]
        before = scanning & ~scanned
        new, width = jnp.where(before, following, inside), jnp.where(before, jnp.inf, width)
        found = jnp.where(scanned, found, state.found)
        state = _State(state.count + 1, values, scores, points, at_points, width, found)
        return new, state, score

    def _tolerance(self, y):
        return self.atol + self.rtol * jnp.abs(y)

    def terminate(self, fn, y, args, options, state: _State, tags):
        """When the bracket is narrow, or nothing was found."""
        del fn, args, options, tags
        return (state.width <= 2 * self._tolerance(y)) | ~state.found, optx.RESULTS.successful

    def postprocess(self, fn, y, aux, args, options, state: _State, tags, result):
        """The root, or the end of the grid towards which the function points."""
        del fn, args, tags, result
        grid = jnp.asarray(options["grid"], y.dtype)
        y = jnp.where(state.found, y, jnp.where(state.values[-1] < 0, grid[-1], grid[0]))
        stats: dict[str, Any] = {"found": state.found}
        return y, aux, stats


def _bracket(grid, values, scores):
    """The interval of the best upward crossing, the values at its ends, whether there is one."""
    rising = (values[:-1] < 0) & (values[1:] >= 0)
    best = jnp.where(rising, jnp.minimum(scores[:-1], scores[1:]), jnp.inf)
    k = jnp.argmin(jnp.where(rising, jnp.nan_to_num(best), jnp.inf))
    return grid[k], grid[k + 1], values[k], values[k + 1], jnp.any(rising)


def _refine(y, value, points, at_points):
    """The newest point, the nearest one on the other side of zero, and the one before."""
    newest, other = points[0], points[1]
    same = (value < 0) == (at_points[0] < 0)
    keep = jnp.stack([jnp.where(same, other, newest), jnp.where(same, newest, other)])
    first, second = at_points[0], at_points[1]
    at_keep = jnp.stack([jnp.where(same, second, first), jnp.where(same, first, second)])
    return jnp.concatenate([y[None], keep]), jnp.concatenate([value[None], at_keep])


def _inside(points, at_points, tolerance):
    """The next point, and the width of the bracket; 0 at a root.

    Chandrupatla 1997: inverse quadratic interpolation where it is monotone. A point stays away from
    the ends by the tolerance, so that both ends come close to the root.
    """
    (a, b, c), (at_a, at_b, at_c) = points, at_points
    width = jnp.abs(b - a)
    xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
    smooth = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
    part = at_a / (at_b - at_a) * at_c / (at_b - at_c)
    part += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
    least = jnp.minimum(tolerance / jnp.where(width > 0, width, 1.0), 0.5)
    t = jnp.clip(jnp.where(smooth, part, 0.5), least, 1 - least)
    best = jnp.where(jnp.abs(at_a) < jnp.abs(at_b), a, b)
    done = (width <= 2 * tolerance) | (jnp.minimum(jnp.abs(at_a), jnp.abs(at_b)) == 0)
    return jnp.where(done, best, a + t * (b - a)), jnp.where(done, 0.0, width)
