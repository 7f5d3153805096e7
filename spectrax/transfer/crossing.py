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
    low: Float[Array, ""]
    high: Float[Array, ""]
    at_low: Float[Array, ""]
    at_high: Float[Array, ""]
    move: Float[Array, ""]
    found: Bool[Array, ""]


class GridCrossing(optx.AbstractRootFinder):
    """Upward crossing of zero with the lowest score: a scan of a grid, then false position.

    The function returns (value, score). All nodes of the grid `options["grid"]` (ascending) are
    evaluated; among the intervals where the value turns from negative to positive the one with the
    lowest score at an end is refined by false position (Illinois variant, and a bisection now and
    then). Values that are not finite count as positive. One copy of the function is compiled.

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
        blank, zero = jnp.zeros(len(options["grid"]), dtype), jnp.zeros((), dtype)
        ends = (zero, zero, -jnp.ones((), dtype), jnp.ones((), dtype))
        infinite = jnp.asarray(jnp.inf, dtype)
        return _State(jnp.array(0), blank, blank, *ends, infinite, jnp.array(True))

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
        old = (state.low, state.high, state.at_low, state.at_high)
        refined = _refine(y, value, *old)
        low, high, at_low, at_high = (
            jnp.where(scanned, new, old)
            for new, old in zip((low, high, at_low, at_high), refined, strict=True)
        )
        inside = _false_position(low, high, at_low, at_high)
        inside = jnp.where(state.count % 4 == 3, (low + high) / 2, inside)
        following = grid[jnp.minimum(state.count + 1, len(grid) - 1)]
        new = jnp.where(scanning & ~scanned, following, inside)
        move = jnp.where(scanning, jnp.inf, jnp.minimum(jnp.abs(new - y), high - low))
        found = jnp.where(scanned, found, state.found)
        state = _State(state.count + 1, values, scores, low, high, at_low, at_high, move, found)
        return new, state, score

    def terminate(self, fn, y, args, options, state: _State, tags):
        """When the next move is small, or nothing was found."""
        del fn, args, options, tags
        return (state.move <= self.atol + self.rtol * jnp.abs(y)) | ~state.found, (
            optx.RESULTS.successful
        )

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


def _refine(y, value, low, high, at_low, at_high):
    """Replace one end; the value of an end that stays is halved, so that it does not stay long."""
    below = value < 0
    return (
        jnp.where(below, y, low),
        jnp.where(below, high, y),
        jnp.where(below, value, at_low / 2),
        jnp.where(below, at_high / 2, value),
    )


def _false_position(low, high, at_low, at_high):
    usable = jnp.isfinite(at_high) & (at_high > at_low)
    rise = jnp.where(usable, at_high - at_low, 1.0)
    secant = low - jnp.where(usable, at_low, 0.0) * (high - low) / rise
    return jnp.where(usable, jnp.clip(secant, low, high), (low + high) / 2)
