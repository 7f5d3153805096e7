"""Write-once memory of a program in the Gaussian limit."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax.program.plan import Plan, Record


class Tape(eqx.Module):
    """What is remembered of the fields of one record; row t is written once, at step t.

    A single row has the same form without the first axis.

    Args:
        coef: coefficients of the fields on the Gaussians born in their space at each step,
            shape (time, width, time, born).
        const: coefficients on the Gaussians that were there from the start, (time, width, fixed).
        gram: inner products of the fields, (time, width, time, width), kept symmetric. For a fresh
            matrix, only those of equal time: (time, width, width), and no coefficients.
    """

    coef: Float[Array, "*t width s born"] | None
    const: Float[Array, "*t width fixed"] | None
    gram: Float[Array, "..."]

    def write(self, row: "Tape", t: Int[Array, ""]) -> "Tape":
        """Fill in row t (and by symmetry column t of `gram`)."""

        def put(x, part, axis=0):
            return jax.lax.dynamic_update_index_in_dim(x, part, t, axis)

        gram = put(self.gram, row.gram)
        if self.coef is None:
            return Tape(None, None, gram)
        gram = put(gram, jnp.moveaxis(row.gram, 0, -1), 2)
        return Tape(put(self.coef, row.coef), put(self.const, row.const), gram)

    def cut(self, n: int) -> "Tape":
        """The first n steps."""
        if self.coef is None:
            return Tape(None, None, self.gram[:n])
        return Tape(self.coef[:n, :, :n], self.const[:n], self.gram[:n, :, :n])

    def extend(self, n: int) -> "Tape":
        """Room for n steps in all; new rows are zero."""
        more = n - self.gram.shape[0]

        def pad(x, *axes):
            return jnp.pad(x, [(0, more) if i in axes else (0, 0) for i in range(x.ndim)])

        if self.coef is None:
            return Tape(None, None, pad(self.gram, 0))
        return Tape(pad(self.coef, 0, 2), pad(self.const, 0), pad(self.gram, 0, 2))


Tapes = dict[str, Tape]


def blank_tape(plan: Plan, record: Record, n: int) -> Tape:
    """A tape of n empty rows."""
    w = record.width
    if record.fresh:
        return Tape(None, None, jnp.zeros((n, w, w)))
    born, fixed = plan.born(record.space), plan.num_fixed(record.space)
    return Tape(jnp.zeros((n, w, n, born)), jnp.zeros((n, w, fixed)), jnp.zeros((n, w, n, w)))


def blank_tapes(plan: Plan, n: int) -> Tapes:
    """Empty tapes for all records of a program."""
    return {record.name: blank_tape(plan, record, n) for record in plan.records}


def write(tapes: Tapes, rows: Tapes, t: Int[Array, ""]) -> Tapes:
    """Fill in row t of every tape."""
    return {name: tape.write(rows[name], t) for name, tape in tapes.items()}


def stack_rows(rows: Tapes) -> Tapes:
    """Tapes from rows stacked along a new first axis: the lower triangle mirrored into `gram`."""

    def stack(tape: Tape) -> Tape:
        if tape.coef is None:
            return tape
        n, w = tape.gram.shape[:2]
        lower = tape.gram.reshape(n * w, n * w)
        time = jnp.arange(n * w) // w
        gram = jnp.where(time[:, None] >= time[None, :], lower, lower.T)
        return Tape(tape.coef, tape.const, gram.reshape(n, w, n, w))

    return {name: stack(tape) for name, tape in rows.items()}
