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
        coef: coefficients of the fields on the Gaussians of their space: those there from the
            start, then those born at each step, (time, width, fixed + time * born).
        gram: inner products of the fields, (time, width, time, width), kept symmetric. For a fresh
            matrix or constant, covariances of what is born, of equal time only: (time, width,
            width), and no coefficients.
        fixed: Gaussians of the space that were there from the start.
        born: Gaussians born in the space at each step.
    """

    coef: Float[Array, "*t width coefficients"] | None
    gram: Float[Array, "..."]
    fixed: int = eqx.field(static=True)
    born: int = eqx.field(static=True)

    def like(self, coef, gram) -> "Tape":
        """A tape (or row) of the same space."""
        return Tape(coef, gram, self.fixed, self.born)

    def write(self, row: "Tape", t: Int[Array, ""]) -> "Tape":
        """Fill in row t (and by symmetry column t of `gram`)."""

        def put(x, part, axis=0):
            return jax.lax.dynamic_update_index_in_dim(x, part, t, axis)

        gram = put(self.gram, row.gram)
        if self.coef is None:
            return self.like(None, gram)
        gram = put(gram, jnp.moveaxis(row.gram, 0, -1), 2)
        return self.like(put(self.coef, row.coef), gram)

    def take(self, t: Int[Array, ""]) -> "Tape":
        """The transpose of `write`: what the entries made from row t add up to."""

        def get(x, axis=0):
            return jax.lax.dynamic_index_in_dim(x, t, axis, keepdims=False)

        if self.coef is None:
            return self.like(None, get(self.gram))
        n, row, column = self.gram.shape[0], get(self.gram), get(self.gram, 2)
        other = jnp.where(jnp.arange(n)[:, None, None] == t, 0.0, column)  # the corner counts once
        return self.like(get(self.coef), row + jnp.moveaxis(other, -1, 0))

    def cut(self, n: int) -> "Tape":
        """The first n steps."""
        if self.coef is None:
            return self.like(None, self.gram[:n])
        return self.like(self.coef[:n, :, : self.fixed + n * self.born], self.gram[:n, :, :n])

    def extend(self, n: int) -> "Tape":
        """Room for n steps in all; new rows are zero."""
        more = n - self.gram.shape[0]

        def pad(x, *amounts):
            return jnp.pad(x, [(0, amount) for amount in amounts])

        if self.coef is None:
            return self.like(None, pad(self.gram, more, 0, 0))
        coef = pad(self.coef, more, 0, more * self.born)
        return self.like(coef, pad(self.gram, more, 0, more, 0))

    def stack(self, row: "Tape") -> "Tape":
        """Enter rows, stacked along a new first axis, as the last ones."""
        first = self.gram.shape[0] - row.gram.shape[0]

        def enter(x, part):
            return x.at[first:].set(part)

        if self.coef is None:
            return self.like(None, enter(self.gram, row.gram))
        n, w = self.gram.shape[:2]
        lower = enter(self.gram, row.gram).reshape(n * w, n * w)
        time = jnp.arange(n * w) // w
        gram = jnp.where(time[:, None] >= time[None, :], lower, lower.T)  # symmetric
        return self.like(enter(self.coef, row.coef), gram.reshape(n, w, n, w))

    def kernel(self) -> Float[Array, "*batch n n"]:
        """Inner products with (time, width) as one index."""
        *batch, time, width = self.gram.shape[:-2]  # of solutions, if there are several
        return self.gram.reshape(*batch, time * width, time * width)

    def response(self, lo: int, width: int) -> Float[Array, "*batch n m"]:
        """Coefficients on some of the Gaussians born at each step, (time, width) as one index."""
        *batch, n, w, _ = self.coef.shape
        born = self.coef[..., self.fixed :].reshape(*batch, n * w, n, -1)
        return born[..., lo : lo + width].reshape(*batch, n * w, n * width)


class AbstractRows(eqx.Module):
    """A tape all of whose arrays have time as their first axis; a row has none."""

    def write(self, row: "AbstractRows", t: Int[Array, ""]) -> "AbstractRows":
        """Fill in row t."""
        return jax.tree.map(
            lambda x, part: jax.lax.dynamic_update_index_in_dim(x, part, t, 0), self, row
        )

    def take(self, t: Int[Array, ""]) -> "AbstractRows":
        """The transpose of `write`."""
        return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, t, 0, False), self)

    def cut(self, n: int) -> "AbstractRows":
        """The first n steps."""
        return jax.tree.map(lambda x: x[:n], self)

    def extend(self, n: int) -> "AbstractRows":
        """Room for n steps in all; new rows are zero."""

        def pad(x):
            return jnp.pad(x, [(0, n - x.shape[0])] + [(0, 0)] * (x.ndim - 1))

        return jax.tree.map(pad, self)

    def stack(self, row: "AbstractRows") -> "AbstractRows":
        """Enter rows, stacked along a new first axis, as the last ones."""
        return jax.tree.map(lambda x, part: x.at[x.shape[0] - part.shape[0] :].set(part), self, row)


class Numbers(AbstractRows):
    """Numbers of each step, such as weights of spikes, (time, …)."""

    value: Float[Array, "..."]


Tapes = dict[str, Tape | AbstractRows]


def blank_tape(plan: Plan, record: Record, n: int) -> Tape:
    """A tape of n empty rows."""
    w, born, fixed = record.width, plan.born(record.space), plan.num_fixed(record.space)
    if record.fresh:
        return Tape(None, jnp.zeros((n, w, w)), fixed, born)
    return Tape(jnp.zeros((n, w, fixed + n * born)), jnp.zeros((n, w, n, w)), fixed, born)


def rearrange(tape: Tape, name: str, old: Plan, new: Plan) -> Tape:
    """The tape of one program as that of a plan with more constants, records, or wider ones."""
    if isinstance(tape, AbstractRows):
        return tape
    record = new.record(name)
    space, more = record.space, record.width - tape.gram.shape[1]
    if more == 0 and (old.fixed(space), old.families(space)) == (
        new.fixed(space),
        new.families(space),
    ):
        return tape
    if tape.coef is None:
        gram = jnp.pad(tape.gram, ((0, 0), (0, more), (0, more)))
        return Tape(None, gram, new.num_fixed(space), new.born(space))
    n = tape.gram.shape[0]
    gram = jnp.pad(tape.gram, ((0, 0), (0, more), (0, 0), (0, more)))
    fixed, born = tape.coef[..., : tape.fixed], tape.coef[..., tape.fixed :]
    born = born.reshape(*tape.coef.shape[:2], n, tape.born)
    fixed = _move(fixed, old.fixed(space), new.fixed(space), new.num_fixed(space))
    born = _move(born, old.families(space), new.families(space), new.born(space))
    coef = jnp.concatenate([fixed, born.reshape(*born.shape[:2], -1)], axis=-1)
    coef = jnp.pad(coef, ((0, 0), (0, more), (0, 0)))
    return Tape(coef, gram, new.num_fixed(space), new.born(space))


def _move(x, old: dict, new: dict, size: int):
    """Blocks of the last axis, by name, at their new offsets."""
    out = jnp.zeros((*x.shape[:-1], size), x.dtype)
    for name, (lo, width) in old.items():
        at = new[name][0]
        out = out.at[..., at : at + width].set(x[..., lo : lo + width])
    return out


def blank_tapes(plan: Plan, n: int) -> Tapes:
    """Empty tapes for all records of a program."""
    numbers = {name: Numbers(jnp.zeros((n, *shape))) for name, shape in plan.weights}
    return {record.name: blank_tape(plan, record, n) for record in plan.records} | numbers


def write(tapes: Tapes, rows: Tapes, t: Int[Array, ""]) -> Tapes:
    """Fill in row t of every tape."""
    return {name: tape.write(rows[name], t) for name, tape in tapes.items()}


def add_row(tapes: Tapes, rows: Tapes, t: Int[Array, ""]) -> Tapes:
    """Add to row t of every tape."""

    def add(tape, row):
        old = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, t, 0, False), tape)
        return tape.write(jax.tree.map(jnp.add, old, row), t)

    return {name: add(tape, rows[name]) for name, tape in tapes.items()}


def take_row(tapes: Tapes, t: Int[Array, ""]) -> Tapes:
    """The transpose of `write`."""
    return {name: tape.take(t) for name, tape in tapes.items()}


def cut(tapes: Tapes, n: int) -> Tapes:
    """The first n steps of every tape."""
    return {name: tape.cut(n) for name, tape in tapes.items()}


def extend(tapes: Tapes, n: int) -> Tapes:
    """Room for n steps in every tape."""
    return {name: tape.extend(n) for name, tape in tapes.items()}


def put_corner(tapes: Tapes, corner: Tapes) -> Tapes:
    """Tapes with their first steps replaced."""
    return jax.tree.map(
        lambda x, part: jax.lax.dynamic_update_slice(x, part, (0,) * x.ndim), tapes, corner
    )


def add_partial(tapes: Tapes, partial: Tapes | None) -> Tapes:
    """Tapes plus others of the same length, of which some may be missing."""
    zeros = jax.tree.map(jnp.zeros_like, tapes)
    partial = {} if partial is None else partial
    return jax.tree.map(jnp.add, tapes, eqx.combine(zeros | partial, zeros))


def add_to_partial(partial: Tapes | None, tapes: Tapes) -> Tapes | None:
    """The transpose: what is there of some tapes, plus the same parts of others."""
    if partial is None:
        return None

    def add(x, y):
        return None if x is None else x + y

    kept = {name: tapes[name] for name in partial}
    return jax.tree.map(add, partial, kept, is_leaf=lambda x: x is None)


def stack_rows(rows: Tapes, blank: Tapes) -> Tapes:
    """Enter rows, stacked along a new first axis, as the last ones of blank tapes."""
    return {name: blank[name].stack(row) for name, row in rows.items()}


def weighted_rows(weight: Float[Array, "k t w"], tape: Float[Array, "t w *rest"]):
    """sum_tw weight[k, t, w] tape[t, w, ...]."""
    k, t, w = weight.shape
    rest = tape.shape[2:]
    out = weight.reshape(k, t * w) @ tape.reshape(t * w, -1)
    return out.reshape(k, *rest)


def inner_with_rows(tape: Float[Array, "t w *rest"], x: Float[Array, "k *rest"]):
    """sum_rest tape[t, w, rest] x[k, rest], shape (k, t, w)."""
    t, w = tape.shape[:2]
    # tape first: then its cotangent has the tape's own layout
    out = jnp.einsum("aq,kq->ak", tape.reshape(t * w, -1), x)
    return out.T.reshape(-1, t, w)
