r"""The causal sweep: a program's limit, solved exactly row by row, and its derivatives.

Row t of every tape is a function of the rows before it, so one pass through time solves the
self-consistency equations without iteration. Tapes are written once; the derivative therefore
needs the final tapes only: the tangent of row t is linear in the tangents of earlier rows, and the
sweep of tangents, transposed, runs backward in time. Source: theory page, section P.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from spectrax.program.gaussian import GaussianOps
from spectrax.program.plan import make_plan
from spectrax.program.tapes import Tapes, blank_tapes, stack_rows, write


class Task(eqx.Module):
    """A program with everything that its limit depends on.

    Args:
        program: `program(ops, t)`.
        dims: relative dimension of each space.
        coordinates: row t holds the trained weights' (a, c_0, c_1, …) at step t, (n, n + 1).
    """

    program: Callable
    dims: dict
    coordinates: Float[Array, "n n1"]

    def cut(self, n: int) -> "Task":
        """The first n steps."""
        return Task(self.program, self.dims, self.coordinates[:n, : n + 1])

    def blank(self) -> Tapes:
        """Empty tapes."""
        plan, _ = make_plan(self.program, self.dims)
        return blank_tapes(plan, self.coordinates.shape[0])

    def row(self, tapes: Tapes, t: Int[Array, ""], live: Bool[Array, ""] | bool = True):
        """Step t from the rows s < t: its rows, what it observed, whether all is finite."""
        plan, variances = make_plan(self.program, self.dims)
        ops = GaussianOps(plan, variances, tapes, self.coordinates[t], t, live)
        self.program(ops, t)
        return ops.rows(), ops.seen, ops.finite()


class History(eqx.Module):
    """The solved program.

    Args:
        tapes: correlations and responses.
        seen: observations, leading axis time.
        live: whether all numbers of a step were finite; once not, later rows are zero.
    """

    tapes: Tapes
    seen: dict
    live: Bool[Array, " n"]


def update(task: Task, tapes: Tapes) -> tuple[Tapes, dict]:
    """The self-consistency map: all rows at once from given tapes. Its fixed point is the limit."""
    steps = jnp.arange(task.coordinates.shape[0])
    rows, seen, _ = jax.vmap(task.row, in_axes=(None, 0))(tapes, steps)
    return stack_rows(rows), seen


def segments(n: int) -> list[tuple[int, int]]:
    """Stretches of time that share one tape length: rows read only what lies before them."""
    parts = min(4, max(1, n // 48))
    edges = [round(n * i / parts) for i in range(parts + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


@eqx.filter_custom_jvp
def sweep(task: Task) -> History:
    """Solve a program causally. Forward and reverse mode, any order forward."""

    n = task.coordinates.shape[0]
    tapes, live, out = task.cut(0).blank(), jnp.array(True), []
    for lo, hi in segments(n):

        def step(carry, t, part=task.cut(hi)):
            tapes, live = carry
            rows, seen, finite = part.row(tapes, t, live)
            live = live & finite
            rows, seen = _where(live, (rows, seen))
            return (write(tapes, rows, t), live), (seen, live)

        (tapes, live), ys = jax.lax.scan(step, (_extend(tapes, hi), live), jnp.arange(lo, hi))
        out.append(ys)
    seen, lives = jax.tree.map(lambda *x: jnp.concatenate(x), *out)
    return History(tapes, seen, lives)


@sweep.def_jvp
def _sweep_jvp(primals, tangents):
    """The tangent sweep: at step t, the derivative of row t at the final tapes."""
    (task,), (task_dot,) = primals, tangents
    history = sweep(task)
    n = task.coordinates.shape[0]
    dots, out = jax.tree.map(jnp.zeros_like, task.cut(0).blank()), []
    for lo, hi in segments(n):
        tapes = {name: tape.cut(hi) for name, tape in history.tapes.items()}

        def body(dots, t, tapes=tapes, hi=hi):
            live = history.live[t]

            def row(task, tapes):
                return task.cut(hi).row(tapes, t, live)[:2]

            _, (rows_dot, seen_dot) = eqx.filter_jvp(row, (task, tapes), (task_dot, dots))
            rows_dot, seen_dot = _where(live, (rows_dot, seen_dot))
            return write(dots, rows_dot, t), seen_dot

        dots, ys = jax.lax.scan(body, _extend(dots, hi), jnp.arange(lo, hi))
        out.append(ys)
    seen_dot = jax.tree.map(lambda *x: jnp.concatenate(x), *out)
    return history, History(dots, seen_dot, None)


def _extend(tapes: Tapes, n: int) -> Tapes:
    return {name: tape.extend(n) for name, tape in tapes.items()}


def _where(keep: Bool[Array, ""], tree):
    return jax.tree.map(lambda x: jnp.where(keep, x, jnp.zeros_like(x)), tree)
