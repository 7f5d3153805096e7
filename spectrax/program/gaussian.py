r"""The Gaussian limit of a linear program: exact, by coefficients on its base Gaussians.

A field of the limit is a linear combination of the Gaussians of its space: those that were there
from the start (teacher, initial readout) and those born when a matrix is applied. Applying A to x,

$$A x = u_{new} + \sigma^2 \sum_j [\text{coefficient of } x \text{ on } r_j]\, g_j, \qquad
  \mathrm{Cov}(u_{new}, u_k) = \sigma^2 \langle x, x_k \rangle,$$

where $g_j$ are the vectors to which $A^\top$ was applied before and $r_j$ the Gaussians born then;
likewise $A^\top g$ with variance $\sigma^2\rho$, $\rho$ = rows / cols.
Source: theory page, section P.
"""

import collections

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from spectrax.program.field import Field
from spectrax.program.interface import MatrixHandle, VectorHandle, first_rows
from spectrax.program.limit_ops import AbstractLimitOps
from spectrax.program.objects import Constant, Objects
from spectrax.program.plan import Plan, Record, Variances, fresh_record
from spectrax.program.tapes import Tape, Tapes, inner_with_rows, weighted_rows


class _Now:
    """What a record has so far in this step: its fields and their inner products."""

    def __init__(self, record: Record, n: int):
        self.record, self.n = record, n
        self.fields: list[Field] = []
        self.count = 0
        self._pasts, self._blocks = [], []

    def add(self, x: Field, past, block):
        """Append a field with its inner products: past (k, t, width), block (k, count + k)."""
        self.fields.append(x)
        self._pasts.append(past)
        self._blocks.append(block)
        self.count += x.size

    @property
    def block(self) -> Float[Array, "width width"]:
        """Inner products with each other."""
        rows, lo = [], 0
        for i, (field, block) in enumerate(zip(self.fields, self._blocks, strict=True)):
            later = [b[:, lo : lo + field.size].T for b in self._blocks[i + 1 :]]
            missing = jnp.zeros((field.size, self.record.width - self.count))
            rows.append(_join([block, *later, missing], 1))
            lo += field.size
        return _join([*rows, jnp.zeros((self.record.width - lo, self.record.width))], 0)

    def gram(self, here: Float[Array, " t"]) -> Float[Array, "width t width"]:
        """Inner products with all fields of the record up to this step."""
        missing = self.record.width - self.count
        past = _join([*self._pasts, jnp.zeros((missing, self.n, self.record.width))], 0)
        return past + here[:, None] * self.block[:, None, :]


class GaussianOps(AbstractLimitOps):
    """One step of a program, given the tapes of the steps before it.

    Args:
        plan: what the program does.
        objects: what is random, as stated for this step.
        variances: second moments of the base Gaussians.
        tapes: only rows s < t are read, where `live`.
        theta: coordinates (a, c_0, c_1, …) of the trained weights at this step, (time + 1,).
        t: this step.
        live: False reads nothing at all (a step after a divergence).
    """

    def __init__(
        self,
        plan: Plan,
        objects: Objects,
        variances: Variances,
        tapes: Tapes,
        theta: Float[Array, " t1"],
        t: Int[Array, ""],
        live: Bool[Array, ""] | bool = True,
    ):
        self.plan, self.objects, self.variances = plan, objects, variances
        self.tapes, self.t = tapes, t
        self.n = theta.shape[-1] - 1
        steps = jnp.arange(self.n)
        self.earlier = (steps < t) & live  # (time,)
        self.here = jnp.where(steps == t, 1.0, 0.0)  # (time,)
        self.a, self.c = theta[0], jnp.where(self.earlier, theta[1:], 0.0)
        self.now = {r.name: _Now(r, self.n) for r in plan.records}
        self.seen, self.numbers, self.appended = {}, {}, collections.Counter()
        self._duals = {}

    # coefficients: (index, fixed + time * born), those on the fixed Gaussians first

    def _born(self, x: Field) -> Float[Array, "k t born"]:
        """Coefficients on the Gaussians born at each step up to this one."""
        fixed = self.plan.num_fixed(x.space)
        return x.data[:, fixed:].reshape(x.size, self.n, -1)

    def _family(self, x: Field, record: str) -> Float[Array, "k t width"]:
        """Coefficients on the Gaussians that a record made; width zero if none in this space."""
        lo, width = self.plan.families(x.space).get(record, (0, 0))
        if not width:
            return jnp.zeros((x.size, self.n, 0))
        return self._born(x)[:, :, lo : lo + width]

    def constant(self, name: str, declared: Constant) -> Field:
        if declared.fresh:
            return self._fresh_constant(fresh_record(name), declared.space, declared.gram)
        return self._initial(name, declared.space)

    def _initial(self, name: str, space: str) -> Field:
        """Gaussians that were there from the start; their moments are in `variances`."""
        lo, size = self.plan.fixed(space)[name]
        length = self.plan.num_fixed(space) + self.n * self.plan.born(space)
        return Field(space, jnp.asarray(np.eye(size, length, lo)))

    def _fresh_constant(self, record: str, space: str, gram) -> Field:
        size, now = gram.shape[-1], self.now[record]
        lo, _ = self.plan.families(space)[record]
        x = Field(space, self._newborn(space, lo, size))
        if not now.count:
            now.add(x, jnp.zeros((size, self.n, now.record.width)), jnp.asarray(gram))
        return x

    def _newborn(self, space: str, lo: int, size: int) -> Float[Array, "size coefficients"]:
        """Coefficients of Gaussians that are born in this step."""
        new = self.here[:, None] * np.eye(size, self.plan.born(space), lo)[:, None, :]
        return jnp.pad(new.reshape(size, -1), ((0, 0), (self.plan.num_fixed(space), 0)))

    # matrices

    def apply(self, matrix: MatrixHandle, x: Field) -> Field:
        return self._apply(matrix, x, matrix.forward, matrix.backward)

    def apply_transposed(self, matrix: MatrixHandle, g: Field) -> Field:
        return self._apply(matrix, g, matrix.backward, matrix.forward)

    def _apply(self, matrix: MatrixHandle, x: Field, record: str, other: str) -> Field:
        """Noise plus response plus spikes; `other` is the record of the opposite direction."""
        variance, a = self.variance(matrix, record), self.a if matrix.declared.trained else 1.0
        lo = self.now[record].count
        past = self._remember(record, x, variance if matrix.declared.fresh else 1.0)
        weight = self._family(x, other) * (a * variance)
        now = jax.lax.dynamic_index_in_dim(weight, self.t, 1, keepdims=False)
        if matrix.declared.trained:
            inner = past * self.variances.ratios[record]
            weight = self._add_spikes(matrix, record, weight, inner)

        space = self.plan.record(record).noise
        y = self._combine(other, weight, now, space)
        offset, _ = self.plan.families(space)[record]
        return Field(space, y.data + a * self._newborn(space, offset + lo, x.size))

    def _add_spikes(self, matrix: MatrixHandle, record: str, weight, inner):
        """Add sum_s c_s <h_s, x> g_s (or its transpose) to the weights of the other fields."""
        forward = record == matrix.forward
        for spike in self.plan.spikes_of(matrix.name):
            pick = spike.pick(inner.shape[-1], forward)
            place = spike.pick(weight.shape[-1], not forward).T
            term = self.c[:, None] * (inner if pick.shape == (1, 1) else inner @ pick)
            if spike.weights is not None:
                term = term * self.numbers_of(spike.weights)
            weight = weight + (term if place.shape == (1, 1) else term @ place)
        return weight

    def _combine(self, record: str, weight, now, space: str) -> Field:
        """Combine a record's fields with weights (k, t, width), and (k, width) for this step."""
        length = self.plan.num_fixed(space) + self.n * self.plan.born(space)
        data = jnp.zeros((weight.shape[0], length))
        tape = self.tapes.get(record)
        if tape is not None and tape.coef is not None:
            data = weighted_rows(jnp.where(self.earlier[:, None], weight, 0.0), tape.coef)
        lo = 0
        for field in self.now[record].fields if record in self.now else []:
            data = data + now[:, lo : lo + field.size] @ field.data
            lo += field.size
        return Field(space, data)

    # trained vectors and memory

    def elementwise(self, function, *fields, size=None):
        raise ValueError(
            "This program has nonlinear functions; the Gaussian limit is for linear programs only."
        )

    def read(self, vector: VectorHandle, mix=None) -> Field:
        space = vector.declared.space
        mix = jnp.eye(vector.declared.size) if mix is None else mix  # (size, k)
        initial = self._initial(vector.name, space).mix(mix)
        name = self.plan.weights_of(vector.name)
        gradient = jnp.moveaxis(mix[None] if name is None else self.numbers_of(name) @ mix, -1, 0)
        weight = self.c[None, :, None] * gradient  # (k, t, width)
        spikes = self._combine(vector.name, weight, jnp.zeros_like(weight[:, 0]), space)
        return self.a * initial + spikes

    def remember(self, name: str, x: Field) -> None:
        self._remember(name, x)

    def recall(self, name: str, space: str, size: int) -> Field:
        del size
        before = jnp.maximum(self.t - 1, 0)
        return Field(space, jnp.where(self.earlier[before], self.tapes[name].coef[before], 0.0))

    def history(self, name: str, space: str, num: int) -> Field:
        past = jnp.where(self.earlier[:, None, None], self.tapes[name].coef, 0.0)
        return Field(space, first_rows(past[:, 0], num))

    def project_out(self, name: str, x: Field) -> Field:
        inner = jnp.einsum("ktk->t", self._with_past(name, x))
        weight = inner[:, None] * jnp.eye(x.size)[:, None, :]  # (k, t, k)
        return x - self._combine(name, weight, jnp.zeros_like(weight[:, 0]), x.space)

    def _remember(self, record: str, x: Field, variance=1.0) -> Float[Array, "k t width"]:
        """Enter x in a record; its inner products with the record's fields of earlier steps."""
        past = self._with_past(record, x)
        block = _join([self.inner(x, y) for y in [*self.now[record].fields, x]], 1)
        self.now[record].add(x, past, block * variance)
        return past

    # inner products

    def inner(self, x: Field, y: Field) -> Float[Array, "x y"]:
        return self._dual(x) @ y.data.T

    def _with_past(self, record: str, x: Field) -> Float[Array, "k t width"]:
        """Inner products with the fields of a record in earlier steps."""
        tape = self.tapes.get(record)
        if tape is None or tape.coef is None:
            return jnp.zeros((x.size, self.n, self.plan.record(record).width))
        inner = inner_with_rows(tape.coef, self._dual(x))
        return jnp.where(self.earlier[:, None], inner, 0.0)

    def _dual(self, x: Field) -> Float[Array, "k coefficients"]:
        """Inner products with the Gaussians of a field's space: covariance times coefficients."""
        # Gaussians born after x may be correlated with it: a dual is good until the next birth.
        key = (id(x), *(self.now[name].count for name in self.plan.families(x.space)))
        if key not in self._duals:
            self._duals[key] = (x, self._make_dual(x))  # keeping x keeps its id taken
        return self._duals[key][1]

    def _make_dual(self, x: Field) -> Float[Array, "k coefficients"]:
        fixed = [
            x.data[:, lo : lo + size] @ self.variances.fixed[name]
            for name, (lo, size) in self.plan.fixed(x.space).items()
        ]
        families = self.plan.families(x.space)
        born = [self._covariance(name, self._family(x, name)) for name in families]
        if born:
            fixed.append(_join(born, -1).reshape(x.size, -1))
        return _join(fixed, -1)

    def _covariance(self, record: str, x: Float[Array, "k t width"]) -> Float[Array, "k t width"]:
        """The covariance of the Gaussians that a record made, applied to coefficients."""
        gram, mine = self.tapes[record].gram, self.now[record]
        now = jax.lax.dynamic_index_in_dim(x, self.t, 1, keepdims=False)  # (k, width)
        x = jnp.where(self.earlier[:, None], x, 0.0)
        if self.plan.record(record).fresh:
            out = jnp.einsum("ktw,twv->ktv", x, gram)
            if mine.count:
                out = out + self.here[:, None] * (now @ mine.block)[:, None, :]
            return out  # variances may differ from step to step: they are in the blocks
        else:
            out = jnp.where(self.earlier[:, None], weighted_rows(x, gram), 0.0)
            if mine.count:
                row = mine.gram(self.here)  # (width, t, width)
                out = out + jnp.tensordot(now, row, 1)
                out = out + self.here[:, None] * jnp.einsum("ktw,vtw->kv", x, row)[:, None, :]
        return out * self.variances.born[record]

    # result

    def rows(self) -> Tapes:
        """What this step adds to the tapes."""
        return {r.name: self._row(r) for r in self.plan.records} | self.number_rows()

    def _row(self, record: Record) -> Tape:
        """A record's row, zero where this program does not use it."""
        now = self.now[record.name]
        missing = record.width - now.count
        if record.fresh:
            return self.tapes[record.name].like(None, now.block)
        tape = self.tapes[record.name]
        coef = [field.data for field in now.fields] + [jnp.zeros((missing, tape.coef.shape[-1]))]
        return tape.like(_join(coef, 0), now.gram(self.here))

    def finite(self) -> Bool[Array, ""]:
        """Whether nothing is too large: by Cauchy-Schwarz, if the fields' norms are not."""
        norms = [jnp.sum(now.block) for now in self.now.values()]
        return self.bounded(norms)


def _join(parts: list, axis: int):
    """Concatenate what is not empty."""
    parts = [x for x in parts if x.shape[axis]] or parts[:1]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis)
