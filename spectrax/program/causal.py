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

from spectrax.program.abstract_pass import make_plan
from spectrax.program.gaussian import GaussianLimit
from spectrax.program.interpreter import AbstractLimit
from spectrax.program.objects import Together, group_weights
from spectrax.program.plan import Plan, Variances, variances
from spectrax.program.tapes import Tapes, extend, rearrange, stack_rows, write


class Task(eqx.Module):
    """A program with everything that its limit depends on.

    Args:
        program: `program(ops, t)`.
        objects: `objects(t)`, what is random in it.
        dims: relative dimension of each space.
        coordinates: row t holds the trained weights' (a, c_0, c_1, …) at step t, (n, n + 1).
        before: programs that were run first, whose rows come before those of `program`.
        start: their tapes, arranged as those of all programs together; see `followed_by`.
        interpreter: of the limit, prepared for this program.
        plan: what the programs do; found from them if not given.
    """

    program: Callable
    objects: Callable
    dims: dict
    coordinates: Float[Array, "n n1"]
    before: tuple[Callable, ...]
    start: Tapes | None
    interpreter: AbstractLimit
    plan: Plan = eqx.field(static=True)

    def __init__(
        self,
        program: Callable,
        objects: Callable,
        dims: dict,
        coordinates: Float[Array, "n n1"],
        *,
        before: tuple[Callable, ...] = (),
        start: Tapes | None = None,
        interpreter: AbstractLimit = GaussianLimit(),
        plan: Plan | None = None,
    ):
        self.program, self.objects, self.dims = program, objects, dims
        self.coordinates, self.before, self.start = coordinates, before, start
        self.interpreter = interpreter
        self.plan = make_plan([*before, program], objects, dims) if plan is None else plan

    @property
    def first(self) -> int:
        """First step of the program itself."""
        return 0 if self.start is None else jax.tree.leaves(self.start)[0].shape[0]

    def cut(self, n: int) -> "Task":
        """The first n steps."""
        return eqx.tree_at(lambda x: x.coordinates, self, self.coordinates[:n, : n + 1])

    def followed_by(
        self,
        program: Callable,
        coordinates: Float[Array, "n n1"],
        tapes: Tapes,
        objects: Callable | None = None,
    ) -> "Task":
        """Another program after this one, whose solved tapes stay frozen but differentiable.

        `objects` are what is random in the other program alone.
        """
        before = (*self.before, self.program)
        stated = self.objects if objects is None else Together((self.objects, objects))
        new = make_plan([*before, program], stated, self.dims)
        start = {name: rearrange(tape, name, self.plan, new) for name, tape in tapes.items()}
        return Task(program, stated, self.dims, coordinates, before=before, start=start, plan=new)

    def weights(self) -> dict:
        """Share of each group of sites, by space."""
        return {name: group_weights(space) for name, space in self.dims.items()}

    def variances(self) -> Variances:
        """Moments of what is drawn once."""
        return variances(self.objects(jnp.zeros((), int)), self.dims)

    def blank(self, n: int | None = None) -> Tapes:
        """Tapes of n steps, empty but for those of the programs before."""
        n = self.coordinates.shape[0] if n is None else n
        given = {} if self.start is None else self.start
        return self.interpreter.blank(self.plan, n) | {
            k: tape.extend(n) for k, tape in given.items()
        }

    def row(self, tapes: Tapes, t: Int[Array, ""], live: Bool[Array, ""] | bool = True):
        """Step t from the rows s < t: its rows, what it observed, whether all is finite."""
        state = (self.variances(), self.weights(), tapes, self.coordinates[t], t, live)
        ops = self.interpreter.ops(self.plan, self.objects(t), *state)
        self.program(ops, t)
        return ops.rows(), ops.seen, ops.finite()


class History(eqx.Module):
    """The solved program.

    Args:
        tapes: correlations and responses.
        seen: observations, leading axis time.
        live: for each step of the program, whether all numbers were finite; once not,
            later rows are zero. None in a tangent.
    """

    tapes: Tapes
    seen: dict
    live: Bool[Array, " n"] | None

    @property
    def num_steps(self) -> int:
        """Steps in all, those of programs before included."""
        return jax.tree.leaves(self.tapes)[0].shape[0]

    @property
    def first(self) -> int:
        """First step of the program itself."""
        return self.num_steps - self.live.shape[0]


def segments(first: int, n: int) -> list[tuple[int, int]]:
    """Stretches of time that share one tape length: rows read only what lies before them."""
    parts = 1 if first or n < 96 else 2 if n < 192 else 4
    edges = [first] + [round(n * i / parts) for i in range(1, parts + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def sweep(task: Task) -> History:
    """Solve a program, row by row."""
    n = task.coordinates.shape[0]
    tapes, live, out = task.blank(task.first), jnp.array(True), []
    for lo, hi in segments(task.first, n):

        def step(carry, t, part=task.cut(hi)):
            tapes, live = carry
            rows, seen, finite = part.row(tapes, t, live)
            live = live & finite
            rows, seen = where_live(live, (rows, seen))
            return (write(tapes, rows, t), live), (seen, live)

        (tapes, live), ys = jax.lax.scan(step, (extend(tapes, hi), live), jnp.arange(lo, hi))
        out.append(ys)
    seen, lives = jax.tree.map(lambda *x: jnp.concatenate(x), *out)
    return History(tapes, seen, lives)


def update(task: Task, tapes: Tapes, live: Bool[Array, " n"] | None = None) -> tuple[Tapes, dict]:
    """The self-consistency map: all rows at once from given tapes. Its fixed point is the limit."""
    n = task.coordinates.shape[0]
    live = jnp.ones(n - task.first, bool) if live is None else live

    def row(t, live):
        rows, seen, _ = task.row(tapes, t, live)
        return where_live(live, (rows, seen))

    rows, seen = task.interpreter.map(row, jnp.arange(task.first, n), live)
    return stack_rows(rows, task.blank(n)), seen


def tangent(f: Callable, primals: tuple, tangents: tuple):
    """Directional derivative of f, zeros where nothing depends on what is varied."""
    out, dot = eqx.filter_jvp(f, primals, tangents)
    return eqx.combine(dot, jax.tree.map(jnp.zeros_like, out))


def all_linear(tree, tangents):
    """Make every leaf depend, with coefficient zero, on the tangents.

    The transpose of a linear solve asks that all of its right-hand side be linear.
    """
    anchor = sum(x.ravel()[0] for x in jax.tree.leaves(tangents) if x.size)
    return jax.tree.map(lambda x: x + jnp.where(jnp.zeros_like(x, bool), anchor, 0.0), tree)


def where_live(live: Bool[Array, ""], tree):
    """Zero where a step is not finite."""
    return jax.tree.map(lambda x: jnp.where(live, x, jnp.zeros_like(x)), tree)
