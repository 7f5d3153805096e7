r"""The causal sweep's own adjoint.

Tapes are written once, so derivatives need the final tapes only. Tangents $\dot x_t$ of row t are
$\partial_x \mathrm{row}_t\, \dot x_{<t} + \partial_\theta \mathrm{row}_t\, \dot\theta$: a causal
linear system, solved forward in time. Its transpose is solved backward in time: for t = T−1 … 0 the
vector–Jacobian product of row t adds to the cotangents of earlier rows and of the parameters.
Both are one `custom_linear_solve`, so JAX composes them (reverse, forward, higher orders, vmap).
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from spectrax.program.causal import (
    History,
    Task,
    all_linear,
    segments,
    tangent,
    update,
    where_live,
)
from spectrax.program.tapes import (
    Tapes,
    add_partial,
    add_row,
    add_to_partial,
    cut,
    put_corner,
    take_row,
)


def causal_tangent(task: Task, history: History, task_dot: Task) -> tuple[Tapes, dict]:
    """Tangents of tapes and observations, linear in `task_dot`.

    The unknowns are (tapes, observations, parameters): keeping the parameters among them lets one
    backward sweep collect their cotangents too.
    """
    varied, fixed = _partition(task, task_dot)
    tapes, seen = history.tapes, history.seen

    @jax.checkpoint  # else what its unused transpose needs of all rows becomes part of the memory
    def matvec(x):
        dots, seen_dot, varied_dot = x
        made = tangent(
            lambda varied, tapes: update(eqx.combine(varied, fixed), tapes, history.live),
            (varied, tapes),
            (varied_dot, dots),
        )
        return (*jax.tree.map(jnp.subtract, (dots, seen_dot), made), varied_dot)

    def solve(_, b):
        return _forward(varied, fixed, history, b)

    def transpose_solve(_, b):
        return _backward(varied, fixed, history, b)

    b = all_linear((*jax.tree.map(jnp.zeros_like, (tapes, seen)), task_dot), task_dot)
    dots, seen_dot, _ = jax.lax.custom_linear_solve(matvec, b, solve, transpose_solve)
    return dots, seen_dot


def _partition(task: Task, task_dot: Task) -> tuple[Task, Task]:
    """The leaves that are varied, and the others."""
    varied = jax.tree.map(lambda _, dot: dot is not None, task, task_dot)
    return eqx.partition(task, varied)


def _row(varied: Task, fixed: Task, tapes: Tapes, t, live):
    n = jax.tree.leaves(tapes)[0].shape[0]
    rows, seen, _ = eqx.combine(varied, fixed).cut(n).row(tapes, t, live)
    return where_live(live, (rows, seen))


def _forward(varied: Task, fixed: Task, history: History, b):
    """Tangent sweep: x_t = b_t + derivative of row t along (x_{<t}, parameters)."""
    b_tapes, b_seen, varied_dot = b
    first, n = history.first, history.num_steps
    dots, out = add_partial(cut(b_tapes, first), varied_dot.start), []
    for lo, hi in segments(first, n):

        def step(dots, t, tapes=cut(history.tapes, hi)):
            live = history.live[t - first]
            made, seen_dot = tangent(
                lambda varied, tapes: _row(varied, fixed, tapes, t, live),
                (varied, tapes),
                (varied_dot, dots),
            )
            return add_row(dots, made, t), seen_dot

        dots = put_corner(cut(b_tapes, hi), dots)
        dots, ys = jax.lax.scan(step, dots, jnp.arange(lo, hi))
        out.append(ys)
    seen = jax.tree.map(lambda *x: jnp.concatenate(x), *out)
    return dots, jax.tree.map(jnp.add, b_seen, seen), varied_dot


def _backward(varied: Task, fixed: Task, history: History, b):
    """Cotangent sweep, last row first: each row's cotangent is final when its turn comes."""
    bars, b_seen, varied_bar = b
    first, n = history.first, history.num_steps
    for lo, hi in reversed(segments(first, n)):

        def step(carry, t, tapes=cut(history.tapes, hi)):
            bars, row_bar, varied_bar = carry
            live = history.live[t - first]
            _, pull = jax.vjp(
                lambda varied, tapes: _row(varied, fixed, tapes, t, live), varied, tapes
            )
            seen_bar = jax.tree.map(lambda x: x[t - first], b_seen)
            more_varied, more = pull((row_bar, seen_bar))
            bars, varied_bar = jax.tree.map(jnp.add, (bars, varied_bar), (more, more_varied))
            # the next row is read here, not when it is used: so `bars` can change in place
            return (bars, take_row(bars, jnp.maximum(t - 1, 0)), varied_bar), None

        part = cut(bars, hi)
        carry = (part, take_row(part, jnp.asarray(hi - 1)), varied_bar)
        (part, _, varied_bar), _ = jax.lax.scan(step, carry, jnp.arange(lo, hi), reverse=True)
        bars = put_corner(bars, part)
    start = add_to_partial(varied_bar.start, cut(bars, first))
    varied_bar = eqx.tree_at(lambda x: x.start, varied_bar, start, is_leaf=lambda x: x is None)
    return bars, b_seen, varied_bar
