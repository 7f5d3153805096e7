"""Krylov probes: Lanczos iterations of a symmetric operator as further steps of the program."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax.program.causal import Task
from spectrax.program.field import Field
from spectrax.program.solvers import CausalAdjoint, CausalSweep, limit
from spectrax.program.tapes import Tape, Tapes, blank_tape

RECORD = "krylov"


class Gram(eqx.Module):
    r"""The operator $W^\top W$ of the matrix of that name."""

    name: str = eqx.field(static=True)

    def __call__(self, ops, v: Field) -> Field:
        """The operator applied to a field."""
        return ops[self.name].T @ (ops[self.name] @ v)


class Lanczos(eqx.Module):
    r"""One Lanczos iteration of a symmetric operator, orthogonalised against all earlier vectors.

    Vectors may have an index (classes): it counts as one more coordinate.

    Args:
        operator: `operator(ops, v)`, a field like v.
        space: where v lives.
        size: length of the index of v.
    """

    operator: Callable
    space: str = eqx.field(static=True)
    size: int = eqx.field(static=True, default=1)

    def __call__(self, ops, t) -> None:
        """One step of the program."""
        del t
        v = ops.recall(RECORD, self.space, self.size)
        y = self.operator(ops, v)
        r = ops.project_out(RECORD, ops.project_out(RECORD, y))  # twice is enough
        norm = jnp.trace(ops.inner(r, r))
        b = jnp.sqrt(jnp.where(norm > 0, norm, 1.0))
        ops.observe("a", jnp.trace(ops.inner(v, y)))
        ops.observe("b", jnp.where(norm > 0, b, 0.0))
        ops.remember(RECORD, r / b)


def lanczos(
    task: Task,
    tapes: Tapes,
    probe: Lanczos,
    theta: Float[Array, " t1"],
    start: tuple[str, int | Int[Array, ""]],
    num: int,
) -> tuple[Float[Array, " num"], Float[Array, " num"]]:
    """Lanczos coefficients of an operator made of trained matrices with coordinates `theta`.

    Args:
        task: the training, whose `tapes` stay frozen.
        tapes: its solution.
        probe: which operator.
        theta: (a, c_0, …) of the matrices.
        start: record and row (may be traced) of the field that is the first vector.
        num: number of iterations.

    Returns:
        Diagonal a (num,) and off-diagonal b (num,) of the tridiagonal matrix; b[-1] closes it.
    """
    n = theta.shape[0] - 1
    theta = jnp.pad(theta, (0, num))
    coordinates = jnp.broadcast_to(theta, (n + num, n + num + 1))
    extended = task.followed_by(probe, coordinates, tapes)
    vectors = _first_vector(extended, extended.start[start[0]], start[1], n)
    extended = eqx.tree_at(lambda x: x.start, extended, {**extended.start, RECORD: vectors})
    seen = limit(extended, solver=CausalSweep(), adjoint=CausalAdjoint()).seen
    return seen["a"], seen["b"]


def _first_vector(task: Task, tape: Tape, row, n: int) -> Tape:
    """A tape of Lanczos vectors whose last row is the normalised field of one row of a tape."""
    out = blank_tape(task.plan, task.plan.record(RECORD), n)
    norm = jnp.sqrt(jnp.trace(tape.gram[row, :, row]))
    values = jax.tree.map(lambda x, y: x.at[-1].set(y[row] / norm), out.values, tape.values)
    return eqx.tree_at(lambda x: x.values, out, values)


def tridiagonal_eigenvalues(
    a: Float[Array, " num"], b: Float[Array, " num"]
) -> Float[Array, " num"]:
    """Ritz values, descending."""
    inner = b[:-1]
    return jnp.linalg.eigvalsh(jnp.diag(a) + jnp.diag(inner, 1) + jnp.diag(inner, -1))[::-1]
