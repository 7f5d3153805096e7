"""Write-once memory of a program in a limit: row t of a tape is filled in at step t."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax.program.plan import Plan, Record


class AbstractRows(eqx.Module):
    """A tape all of whose arrays have time as their first axis; a row has none."""

    def write(self, row: "AbstractRows", t: Int[Array, ""]) -> "AbstractRows":
        """Fill in row t."""
        return jax.tree.map(lambda x, part: _put(x, part, t), self, row)

    def take(self, t: Int[Array, ""]) -> "AbstractRows":
        """The transpose of `write`: what the entries made from row t add up to."""
        return jax.tree.map(lambda x: _get(x, t), self)

    def cut(self, n: int) -> "AbstractRows":
        """The first n steps."""
        return jax.tree.map(lambda x: x[:n], self)

    def extend(self, n: int) -> "AbstractRows":
        """Room for n steps in all; new rows are zero."""
        return jax.tree.map(lambda x: _room(x, n, (0,)), self)

    def stack(self, rows: "AbstractRows") -> "AbstractRows":
        """Enter rows, stacked along a new first axis, as the last ones."""
        return jax.tree.map(_enter, self, rows)


class Numbers(AbstractRows):
    """Numbers of each step, such as weights of spikes, (time, …)."""

    value: Float[Array, "..."]


class Coefficients(eqx.Module):
    """Fields as linear combinations of the Gaussians of their space, in every group of its sites.

    Args:
        flat: coefficients on the Gaussians that were there from the start, then on those born at
            each step, (…, groups, num_initial + time * num_born): products take them as they are.
        num_initial: Gaussians that were there from the start.
        num_born: Gaussians born at each step.
    """

    flat: Float[Array, "*fields groups coefficients"]
    num_initial: int = eqx.field(static=True)
    num_born: int = eqx.field(static=True)

    @property
    def initial(self) -> Float[Array, "*fields groups initial"]:
        """Coefficients on Gaussians that were there from the start."""
        return self.flat[..., : self.num_initial]

    @property
    def born(self) -> Float[Array, "*fields groups time born"]:
        """Coefficients on those born at each step."""
        born = self.flat[..., self.num_initial :]
        steps = born.shape[-1] // self.num_born if self.num_born else 0
        return born.reshape(*born.shape[:-1], steps, self.num_born)

    def like(self, flat) -> "Coefficients":
        """Other fields of the same space."""
        return Coefficients(flat, self.num_initial, self.num_born)


class Tape(eqx.Module):
    """What is remembered of the fields of one record in the Gaussian limit.

    Args:
        values: the fields, axes (time, width) first; None for a fresh matrix or constant.
        gram: inner products of the fields, (time, width, time, width), kept symmetric. For what is
            fresh, covariances of the Gaussians of one step, (time, births, births).
        births: covariances of the Gaussians that the record made, over their variance, if they
            are not `gram`, (time, births, time, births).
    """

    values: Coefficients | None
    gram: Float[Array, "..."]
    births: Float[Array, "..."] | None = None

    def write(self, row: "Tape", t: Int[Array, ""]) -> "Tape":
        """Fill in row t (and by symmetry column t of what is symmetric)."""
        if self.values is None:
            return Tape(None, _put(self.gram, row.gram, t))
        values = jax.tree.map(lambda x, part: _put(x, part, t), self.values, row.values)
        both = (self.gram, self.births), (row.gram, row.births)
        return Tape(values, *jax.tree.map(lambda x, part: _put_symmetric(x, part, t), *both))

    def take(self, t: Int[Array, ""]) -> "Tape":
        """The transpose of `write`: what the entries made from row t add up to."""
        if self.values is None:
            return Tape(None, _get(self.gram, t))
        values = jax.tree.map(lambda x: _get(x, t), self.values)
        both = jax.tree.map(lambda x: _get_symmetric(x, t), (self.gram, self.births))
        return Tape(values, *both)

    def cut(self, n: int) -> "Tape":
        """The first n steps."""
        if self.values is None:
            return Tape(None, self.gram[:n])
        length = self.values.num_initial + n * self.values.num_born
        values = self.values.like(self.values.flat[:n, ..., :length])
        return Tape(values, *jax.tree.map(lambda x: x[:n, :, :n], (self.gram, self.births)))

    def extend(self, n: int) -> "Tape":
        """Room for n steps in all; new rows are zero."""
        if self.values is None:
            return Tape(None, _room(self.gram, n, (0,)))
        flat, length = self.values.flat, self.values.num_initial + n * self.values.num_born
        more = (n - len(flat), 0, 0, length - flat.shape[-1])
        values = self.values.like(jnp.pad(flat, [(0, size) for size in more]))
        both = jax.tree.map(lambda x: _room(x, n, (0, 2)), (self.gram, self.births))
        return Tape(values, *both)

    def stack(self, rows: "Tape") -> "Tape":
        """Enter rows, stacked along a new first axis, as the last ones."""
        if self.values is None:
            return Tape(None, _enter(self.gram, rows.gram))
        values = jax.tree.map(_enter, self.values, rows.values)
        both = (self.gram, self.births), (rows.gram, rows.births)
        return Tape(values, *jax.tree.map(_enter_symmetric, *both))

    def kernel(self) -> Float[Array, "*batch n n"]:
        """Inner products with (time, width) as one index."""
        *batch, time, width = self.gram.shape[:-2]  # of solutions, if there are several
        return self.gram.reshape(*batch, time * width, time * width)

    def response(
        self, places: slice, groups: Float[Array, "*batch groups"]
    ) -> Float[Array, "*batch n m"]:
        """Coefficients on some of the Gaussians born at each step, (time, width) as one index.

        Averaged over the groups of sites.
        """
        weights = groups[..., None, None, :, None, None]
        born = jnp.sum(self.values.born[..., places] * weights, -3)
        *batch, n, w, _, births = born.shape
        return born.reshape(*batch, n * w, n * births)


def _put(x, part, t, axis=0):
    return jax.lax.dynamic_update_index_in_dim(x, part, t, axis)


def _get(x, t, axis=0):
    return jax.lax.dynamic_index_in_dim(x, t, axis, keepdims=False)


def _put_symmetric(x, part, t):
    return _put(_put(x, part, t), jnp.moveaxis(part, 0, -1), t, 2)


def _get_symmetric(x, t):
    column = _get(x, t, 2)
    other = jnp.where(jnp.arange(len(x))[:, None, None] == t, 0.0, column)  # the corner once
    return _get(x, t) + jnp.moveaxis(other, -1, 0)


def _room(x, n: int, axes: tuple[int, ...]):
    return jnp.pad(x, [(0, n - size if axis in axes else 0) for axis, size in enumerate(x.shape)])


def _enter(x, part):
    return x.at[x.shape[0] - part.shape[0] :].set(part)


def _enter_symmetric(x, part):
    n, w = x.shape[:2]
    lower = _enter(x, part).reshape(n * w, n * w)
    time = jnp.arange(n * w) // w
    return jnp.where(time[:, None] >= time[None, :], lower, lower.T).reshape(n, w, n, w)


Tapes = dict[str, Tape | AbstractRows]


def blank_tape(plan: Plan, record: Record, n: int) -> Tape:
    """A tape of n empty rows in the Gaussian limit."""
    w, b = record.width, record.births
    if record.fresh:
        return Tape(None, jnp.zeros((n, b, b)))
    groups, initial = plan.groups(record.space), plan.num_fixed(record.space)
    born = plan.born(record.space)
    values = Coefficients(jnp.zeros((n, w, groups, initial + n * born)), initial, born)
    births = jnp.zeros((n, b, n, b)) if record.stencil else None
    return Tape(values, jnp.zeros((n, w, n, w)), births)


def rearrange(tape: Tape | AbstractRows, name: str, old: Plan, new: Plan) -> Tape | AbstractRows:
    """The tape of one program as that of a plan with more constants, records, or wider ones."""
    if not isinstance(tape, Tape):
        return tape
    before, record, space = old.record(name), new.record(name), new.record(name).space
    more, births = record.width - before.width, record.births - before.births
    same = (old.fixed(space), old.families(space)) == (new.fixed(space), new.families(space))
    if more == births == 0 and same:
        return tape
    if tape.values is None:
        return Tape(None, jnp.pad(tape.gram, ((0, 0), (0, births), (0, births))))
    initial, born = new.num_fixed(space), new.born(space)
    first = _move(tape.values.initial, old.fixed(space), new.fixed(space), initial)
    later = _move(tape.values.born, old.families(space), new.families(space), born)
    later = later.reshape(*later.shape[:3], -1)
    flat = jnp.pad(jnp.concatenate([first, later], -1), ((0, 0), (0, more), (0, 0), (0, 0)))
    values = Coefficients(flat, initial, born)
    gram = jnp.pad(tape.gram, ((0, 0), (0, more), (0, 0), (0, more)))
    if tape.births is None:
        return Tape(values, gram)
    return Tape(values, gram, jnp.pad(tape.births, ((0, 0), (0, births), (0, 0), (0, births))))


def _move(x, old: dict, new: dict, size: int):
    """Blocks of the last axis, by name, at their new offsets."""
    out = jnp.zeros((*x.shape[:-1], size), x.dtype)
    for name, (lo, width) in old.items():
        at = new[name][0]
        out = out.at[..., at : at + width].set(x[..., lo : lo + width])
    return out


def blank_tapes(plan: Plan, n: int) -> Tapes:
    """Empty tapes for all records of a program in the Gaussian limit."""
    return {record.name: blank_tape(plan, record, n) for record in plan.records} | numbers(plan, n)


def numbers(plan: Plan, n: int) -> Tapes:
    """Empty tapes for the weights of spikes."""
    return {name: Numbers(jnp.zeros((n, *shape))) for name, shape in plan.weights}


def write(tapes: Tapes, rows: Tapes, t: Int[Array, ""]) -> Tapes:
    """Fill in row t of every tape."""
    return {name: tape.write(rows[name], t) for name, tape in tapes.items()}


def add_row(tapes: Tapes, rows: Tapes, t: Int[Array, ""]) -> Tapes:
    """Add to row t of every tape."""

    def add(tape, row):
        old = jax.tree.map(lambda x: _get(x, t), tape)
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


def weighted_rows(weight: Float[Array, "k t w"], values):
    """sum_tw weight[k, t, w] values[t, w, ...] of every array."""
    flat = weight.reshape(weight.shape[0], -1)

    def combine(x):
        rest = x.shape[2:]
        if not x.size:
            return jnp.zeros((len(flat), *rest))
        out = flat @ x.reshape(flat.shape[1], math.prod(rest))
        return out.reshape(len(flat), *rest)

    return jax.tree.map(combine, values)


def inner_with_rows(values, dual) -> Float[Array, "k t w"]:
    """sum_rest values[t, w, rest] dual[k, rest], over all arrays."""
    t, w = jax.tree.leaves(values)[0].shape[:2]
    k, parts = len(jax.tree.leaves(dual)[0]), []
    for x, y in zip(jax.tree.leaves(values), jax.tree.leaves(dual), strict=True):
        if x.size and y.size:
            # values first: then their cotangent has the tape's own layout
            parts.append(jnp.einsum("aq,kq->ak", x.reshape(t * w, -1), y.reshape(k, -1)))
    return sum(parts[1:], parts[0]).T.reshape(k, t, w) if parts else jnp.zeros((k, t, w))
