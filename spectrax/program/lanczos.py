"""Krylov probe: Lanczos iterations of W^T W as further steps of the program."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax.program.causal import Task
from spectrax.program.solvers import CausalAdjoint, CausalSweep, limit
from spectrax.program.tapes import Tape, Tapes, blank_tape

RECORD = "krylov"


class Lanczos(eqx.Module):
    r"""One Lanczos iteration on $W^\top W$, orthogonalised against all earlier vectors.

    Args:
        name: trained matrix.
        rows, cols: its spaces.
        sigma: standard deviation of its initial entries.
    """

    name: str = eqx.field(static=True)
    rows: str = eqx.field(static=True)
    cols: str = eqx.field(static=True)
    sigma: Float[Array, ""]

    def __call__(self, ops, t) -> None:
        """One step of the program."""
        del t
        W = ops.weight(self.name, self.rows, self.cols, sigma=self.sigma)
        v = ops.recall(RECORD, self.cols, 1)
        y = W.T @ (W @ v)
        r = ops.project_out(RECORD, ops.project_out(RECORD, y))  # twice is enough
        norm = ops.inner(r, r)[0, 0]
        b = jnp.sqrt(jnp.where(norm > 0, norm, 1.0))
        ops.observe("a", ops.inner(v, y)[0, 0])
        ops.observe("b", jnp.where(norm > 0, b, 0.0))
        ops.remember(RECORD, r / b)


def lanczos(
    task: Task, tapes: Tapes, probe: Lanczos, theta: Float[Array, " t1"], row, num: int
) -> tuple[Float[Array, " num"], Float[Array, " num"]]:
    """Lanczos coefficients of a trained matrix with coordinates `theta`.

    Args:
        task: the training, whose `tapes` stay frozen.
        tapes: its solution.
        probe: which matrix.
        theta: (a, c_0, …) of the matrix.
        row: step whose forward field is the first vector; may be traced.
        num: number of iterations.

    Returns:
        Diagonal a (num,) and off-diagonal b (num,) of the tridiagonal matrix; b[-1] closes it.
    """
    n = theta.shape[0] - 1
    theta = jnp.pad(theta, (0, num))
    coordinates = jnp.broadcast_to(theta, (n + num, n + num + 1))
    extended = Task(probe, task.dims, coordinates, (task.program,), tapes)
    start = dict(tapes)
    start[RECORD] = _first_vector(extended, tapes[f"{probe.name}.forward"], row, n)
    extended = eqx.tree_at(lambda x: x.start, extended, start, is_leaf=lambda x: x is None)
    seen = limit(extended, solver=CausalSweep(), adjoint=CausalAdjoint()).seen
    return seen["a"], seen["b"]


def _first_vector(task: Task, tape: Tape, row, n: int) -> Tape:
    """A tape of Lanczos vectors whose last row is the normalised forward field of step `row`."""
    plan = task.plan()
    out = blank_tape(plan, plan.record(RECORD), n)
    first = tape.coef[row, 0] / jnp.sqrt(tape.gram[row, 0, row, 0])
    return out.like(out.coef.at[-1, 0].set(first), out.gram)


def tridiagonal_eigenvalues(
    a: Float[Array, " num"], b: Float[Array, " num"]
) -> Float[Array, " num"]:
    """Ritz values, descending."""
    inner = b[:-1]
    return jnp.linalg.eigvalsh(jnp.diag(a) + jnp.diag(inner, 1) + jnp.diag(inner, -1))[::-1]
