r"""The Gaussian limit of a linear program: exact, by coefficients on its base Gaussians.

A field of the limit is a linear combination of the Gaussians of its space: those that were there
from the start (teacher, initial readout) and those born when a matrix is applied. A response is a
coefficient.

Source: theory page, section P.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from spectrax.program.field import Field
from spectrax.program.interface import MatrixHandle
from spectrax.program.interpreter import AbstractInterpreter, AbstractLimit
from spectrax.program.machine import AbstractLimitOps
from spectrax.program.objects import Constant, Objects, Stencil
from spectrax.program.plan import Plan, Record, fresh_record
from spectrax.program.tapes import (
    Coefficients,
    Tape,
    Tapes,
    blank_tapes,
    inner_with_rows,
    weighted_rows,
)


class GaussianLimit(AbstractInterpreter, AbstractLimit):
    """The exact limit of linear programs, by coefficients on base Gaussians."""

    def prepare(self, plan: Plan, n: int) -> list["GaussianLimit"]:
        """The interpreter, ready for a program of n steps.

        Raises:
            ValueError: if the program is not linear.
        """
        del n
        if not plan.linear:
            raise ValueError(
                "Argument `interpreter` must be a SampledLimit for a nonlinear model, such as "
                "SampledLimit(4096, key=jax.random.key(0))."
            )
        return [self]

    def blank(self, plan: Plan, n: int) -> Tapes:
        """Tapes of n empty rows."""
        return blank_tapes(plan, n)

    def ops(self, plan: Plan, objects: Objects, *state) -> "GaussianOps":
        """Step t of a program: `state` are variances, weights, tapes, theta, t and live."""
        return GaussianOps(plan, objects, *state)

    def map(self, row: Callable, *args):
        """Many rows."""
        return jax.vmap(row)(*args)

    def order(self, plan: Plan, tapes: Tapes, weights: dict) -> Tapes:
        """What stays of the tapes when the program is solved."""
        del plan, weights
        return tapes


class _Gram:
    """Inner products of what a record has so far in this step, with all and with each other."""

    def __init__(self, width: int, n: int):
        self.width, self.n, self.count = width, n, 0
        self._pasts, self._blocks = [], []
        self._block = self._row = None

    def add(self, past, block):
        """Those of a field: past (k, t, width), block (k, count + k)."""
        self._block = self._row = None
        self._pasts.append(past)
        self._blocks.append(block)
        self.count += len(block)

    @property
    def block(self) -> Float[Array, "width width"]:
        """Inner products with each other."""
        if self._block is not None:
            return self._block
        rows, lo = [], 0
        for i, block in enumerate(self._blocks):
            size = len(block)
            later = [b[:, lo : lo + size].T for b in self._blocks[i + 1 :]]
            rows.append(_join([block, *later, jnp.zeros((size, self.width - self.count))], 1))
            lo += size
        self._block = _join([*rows, jnp.zeros((self.width - lo, self.width))], 0)
        return self._block

    def row(self, here: Float[Array, " t"]) -> Float[Array, "width t width"]:
        """Inner products with all fields of the record up to this step."""
        if self._row is None:
            missing = jnp.zeros((self.width - self.count, self.n, self.width))
            self._row = _join([*self._pasts, missing], 0) + here[:, None] * self.block[:, None, :]
        return self._row


class GaussianOps(AbstractLimitOps):
    """One step of a program, given the tapes of the steps before it."""

    def __init__(self, *state):
        super().__init__(*state)
        self._grams = {r.name: _Gram(r.width, self.n) for r in self.plan.records}
        self._births = {
            r.name: _Gram(r.births, self.n) if r.stencil else self._grams[r.name]
            for r in self.plan.records
        }
        self._duals: dict = {}

    # Gaussians

    def _everywhere(self, space: str, flat: Float[Array, "size coefficients"]) -> Field:
        """Fields with the same coefficients in all groups of their sites."""
        shape = (len(flat), self.plan.groups(space), flat.shape[-1])
        flat = jnp.broadcast_to(flat[:, None], shape)
        return Field(space, Coefficients(flat, self.plan.num_fixed(space), self.plan.born(space)))

    def _length(self, space: str) -> int:
        return self.plan.num_fixed(space) + self.n * self.plan.born(space)

    def zero(self, space: str, size: int) -> Field:
        return self._everywhere(space, jnp.zeros((size, self._length(space))))

    def initial(self, name: str, space: str) -> Field:
        lo, size = self.plan.fixed(space)[name]  # moments are in `variances`
        return self._everywhere(space, jnp.asarray(np.eye(size, self._length(space), lo)))

    def _newborn(self, space: str, lo: int, size: int) -> Field:
        """Gaussians that are born in this step, the same in all groups."""
        new = self.here[:, None] * np.eye(size, self.plan.born(space), lo)[:, None, :]
        new = jnp.pad(new.reshape(size, -1), ((0, 0), (self.plan.num_fixed(space), 0)))
        return self._everywhere(space, new)

    def constant(self, name: str, declared: Constant) -> Field:
        space, gram = declared.space, declared.gram
        if not declared.fresh:
            return self.initial(name, space)
        record = fresh_record(name)
        if not self._grams[record].count:
            size = gram.shape[-1]
            self._grams[record].add(jnp.zeros((size, self.n, size)), jnp.asarray(gram))
        return self._newborn(space, self.plan.families(space)[record][0], gram.shape[-1])

    def _family(self, x: Field, record: str) -> Float[Array, "k groups t births"]:
        """Coefficients on the Gaussians that a record made; none if they are of another space."""
        lo, births = self.plan.families(x.space).get(record, (0, 0))
        return x.data.born[..., lo : lo + births]

    def noise(self, matrix: MatrixHandle, record: str, other: str, x: Field, a):
        """The new Gaussians, and coefficients on those of the other direction."""
        births, space = self._births[record], self.plan.record(record).noise
        size = x.size
        if matrix.declared.stencil is not None:
            size = len(births._blocks[-1])
        lo = self.plan.families(space)[record][0] + births.count - size
        response = self._family(x, other)
        if self.plan.groups(x.space) == 1:
            response = response[:, 0]
        else:
            response = jnp.einsum("kgtb,g->ktb", response, self.weights[x.space])
        return a * self._newborn(space, lo, size), response

    def elementwise(self, function, *fields, size=None):
        raise ValueError(
            "This program has nonlinear functions; the Gaussian limit is for linear programs only."
        )

    def scale(self, x: Field, profile) -> Field:
        return Field(x.space, x.data.like(x.data.flat * jnp.asarray(profile)[:, None]))

    # memory

    def enter(self, record: str, x: Field, past, variance) -> None:
        kept = self.plan.record(record)
        block = _join([self.inner(x, y) for y in [*self.fields[record], x]], 1)
        if kept.fresh:  # variances may differ from step to step: they are part of the blocks
            block = block * variance
        self._grams[record].add(past, block)
        if kept.stencil:
            spread: Stencil = kept.stencil.spread
            self._births[record].add(
                spread(past, kept.forward), spread(block[:, None], kept.forward)[:, 0]
            )

    # inner products

    def inner(self, x: Field, y: Field) -> Float[Array, "x y"]:
        dual = self._dual(x).flat.reshape(x.size, -1)
        return dual @ y.data.flat.reshape(y.size, -1).T

    def with_past(self, record: str, x: Field) -> Float[Array, "k t width"]:
        tape = self.tapes.get(record)
        if tape is None or tape.values is None:
            return jnp.zeros((x.size, self.n, self.plan.record(record).width))
        inner = inner_with_rows(tape.values, self._dual(x))
        return jnp.where(self.earlier[:, None], inner, 0.0)

    def _dual(self, x: Field) -> Coefficients:
        """Inner products with the Gaussians of a field's space: covariance times coefficients."""
        # Gaussians born after x may be correlated with it: a dual is good until the next birth.
        key = (id(x), *(self._grams[name].count for name in self.plan.families(x.space)))
        if key not in self._duals:
            self._duals[key] = (x, self._make_dual(x))  # keeping x keeps its id taken
        return self._duals[key][1]

    def _make_dual(self, x: Field) -> Coefficients:
        parts, born = [], []
        for name, (lo, size) in self.plan.fixed(x.space).items():
            parts.append(x.data.flat[..., lo : lo + size] @ self.variances.fixed[name])
        for name in self.plan.families(x.space):
            family = self._family(x, name)  # (k, groups, t, births)
            flat = family.reshape(-1, *family.shape[2:])
            born.append(self._covariance(name, flat).reshape(family.shape))
        if born:
            parts.append(_join(born, -1).reshape(x.size, self.plan.groups(x.space), -1))
        dual = _join(parts, -1) if parts else x.data.flat  # no Gaussian lives there
        if self.plan.groups(x.space) > 1:
            dual = dual * self.weights[x.space][:, None]
        return x.data.like(dual)

    def _covariance(self, record: str, x: Float[Array, "k t births"]) -> Float[Array, "k t births"]:
        """The covariance of the Gaussians that a record made, applied to coefficients."""
        tape, mine = self.tapes[record], self._births[record]
        now = jax.lax.dynamic_index_in_dim(x, self.t, 1, keepdims=False)  # (k, births)
        x = jnp.where(self.earlier[:, None], x, 0.0)
        if self.plan.record(record).fresh:
            out = jnp.einsum("ktw,twv->ktv", x, tape.gram)
            if mine.count:
                out = out + self.here[:, None] * (now @ mine.block)[:, None, :]
            return out
        gram = tape.gram if tape.births is None else tape.births
        out = jnp.where(self.earlier[:, None], weighted_rows(x, gram), 0.0)
        if mine.count:
            row = mine.row(self.here)  # (births, t, births)
            out = out + jnp.tensordot(now, row, 1)
            out = out + self.here[:, None] * jnp.einsum("ktw,vtw->kv", x, row)[:, None, :]
        return out * self.variances.born[record]

    # result

    def rows(self) -> Tapes:
        return {r.name: self._row(r) for r in self.plan.records} | self.number_rows()

    def _row(self, record: Record) -> Tape:
        """A record's row, zero where this program does not use it."""
        gram, births = self._grams[record.name], self._births[record.name]
        if record.fresh:
            return Tape(None, births.block)
        data = [field.data for field in self.fields[record.name]]
        data.append(self.zero(record.space, record.width - gram.count).data)
        values = jax.tree.map(lambda *parts: _join(list(parts), 0), *data)
        extra = births.row(self.here) if record.stencil else None
        return Tape(values, gram.row(self.here), extra)

    def norms(self) -> list:
        """By Cauchy-Schwarz, those of the fields and of what is born."""
        return [jnp.sum(x.block) for x in self._grams.values()]


def _join(parts: list, axis: int):
    """Concatenate what is not empty."""
    parts = [x for x in parts if x.shape[axis]] or parts[:1]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis)
