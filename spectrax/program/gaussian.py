r"""The Gaussian limit of a linear program: exact, by coefficients on its base Gaussians.

A field of the limit is a linear combination of the Gaussians of its space: those that were there
from the start (teacher, initial readout) and those born when a matrix is applied. Applying A to x,

$$A x = u_{new} + \sigma^2 \sum_j [\text{coefficient of } x \text{ on } r_j]\, g_j, \qquad
  \mathrm{Cov}(u_{new}, u_k) = \sigma^2 \langle x, x_k \rangle,$$

where $g_j$ are the vectors to which $A^\top$ was applied before and $r_j$ the Gaussians born then;
likewise $A^\top g$ with variance $\sigma^2\rho$, $\rho$ = rows / cols. Source: theory page, section P.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from spectrax.program.field import Field
from spectrax.program.interface import AbstractOps, Matrix, Vector
from spectrax.program.plan import Plan, Record, Variances
from spectrax.program.tapes import Tape, Tapes


class Coefficients(NamedTuple):
    """A field's coefficients on the Gaussians of its space (also used for inner products with them).

    past: on those born before this step, (index, time, born); now: on those born in this step,
    (index, born); const: on those there from the start, (index, fixed).
    """

    past: Float[Array, "k t born"]
    now: Float[Array, "k born"]
    const: Float[Array, "k fixed"]


class _Now:
    """What a record has so far in this step: its fields and their inner products."""

    def __init__(self, record: Record, n: int):
        self.fields: list[Field] = []
        self.count = 0
        self.past = jnp.zeros((record.width, n, record.width))  # with the fields of earlier steps
        self.block = jnp.zeros((record.width, record.width))  # with each other

    def add(self, x: Field, past, block):
        """Append a field with its inner products: past (k, t, width), block (k, count + k)."""
        lo, hi = self.count, self.count + x.size
        self.fields.append(x)
        self.past = self.past.at[lo:hi].set(past)
        self.block = self.block.at[lo:hi, :hi].set(block).at[:hi, lo:hi].set(block.T)
        self.count = hi


class GaussianOps(AbstractOps):
    """One step of a program, given the tapes of the steps before it.

    Args:
        plan: what the program does.
        variances: second moments of the base Gaussians.
        tapes: only rows s < t are read, where `live`.
        theta: coordinates (a, c_0, c_1, …) of the trained weights at this step, (time + 1,).
        t: this step.
        live: False reads nothing at all (a step after a divergence).
    """

    def __init__(
        self,
        plan: Plan,
        variances: Variances,
        tapes: Tapes,
        theta: Float[Array, " t1"],
        t: Int[Array, ""],
        live: Bool[Array, ""] | bool = True,
    ):
        self.plan, self.variances, self.tapes, self.theta, self.t = plan, variances, tapes, theta, t
        self.n = theta.shape[-1] - 1
        self.earlier = (jnp.arange(self.n) < t) & live  # (time,)
        self.now = {r.name: _Now(r, self.n) for r in plan.records}
        self.seen = {}
        self._duals = {}

    # declarations

    def constant(self, name, space, gram, *, fresh=False):
        del gram, fresh  # declared in `variances`; fields of fresh samples meet no other step's
        offset, size = self.plan.fixed(space)[name]
        x = self._zero(space, size)
        const = x.data.const.at[:, offset : offset + size].set(jnp.eye(size))
        return Field(space, x.data._replace(const=const))

    def _zero(self, space: str, size: int) -> Field:
        born, fixed = self.plan.born(space), self.plan.num_fixed(space)
        past, now = jnp.zeros((size, self.n, born)), jnp.zeros((size, born))
        return Field(space, Coefficients(past, now, jnp.zeros((size, fixed))))

    # matrices

    def apply(self, matrix: Matrix, x: Field) -> Field:
        return self._apply(matrix, x, matrix.forward, matrix.backward)

    def apply_transposed(self, matrix: Matrix, g: Field) -> Field:
        return self._apply(matrix, g, matrix.backward, matrix.forward)

    def _apply(self, matrix: Matrix, x: Field, record: str, other: str) -> Field:
        """Noise plus response plus spikes; `other` is the record of the opposite direction."""
        variance = self.variances.born[record]
        past, block = self._remember(record, x)
        lo = self.now[record].count - x.size

        weight_past, weight_now = self._response(x, other)
        a = self.theta[0] if matrix.trained else 1.0
        weight_past, weight_now = weight_past * (a * variance), weight_now * (a * variance)
        if matrix.trained:
            rho = variance / self.variances.born[matrix.forward]
            weight_past = self._add_spikes(matrix, record, weight_past, past * rho)

        space = self.plan.record(record).noise
        y = self._combine(other, weight_past, weight_now, space)
        offset, _ = self.plan.families(space)[record]
        columns = jnp.arange(x.size) + offset + lo
        now = y.data.now.at[jnp.arange(x.size), columns].add(a)
        return Field(space, y.data._replace(now=now))

    def _response(self, x: Field, other: str):
        """Coefficients of x on the Gaussians that the record `other` made."""
        families = self.plan.families(x.space)
        if other not in families:
            return jnp.zeros((x.size, self.n, 0)), jnp.zeros((x.size, 0))
        offset, record = families[other]
        hi = offset + record.width
        return x.data.past[:, :, offset:hi], x.data.now[:, offset:hi]

    def _add_spikes(self, matrix: Matrix, record: str, weight, inner):
        """Add sum_s c_s <h_s, x> g_s (or its transpose) to the weights of the other fields."""
        c = jnp.where(self.earlier, self.theta[1:], 0.0)[None, :, None]
        for at_g, at_h, size in self.plan.spikes_of(matrix.name):
            mine, theirs = (at_h, at_g) if record == matrix.forward else (at_g, at_h)
            term = c * inner[:, :, mine : mine + size]
            weight = weight.at[:, :, theirs : theirs + size].add(term)
        return weight

    def _combine(self, record: str, weight_past, weight_now, space: str) -> Field:
        """Linear combination of a record's fields: weights (k, t, width) and (k, width)."""
        x = self._zero(space, weight_past.shape[0])
        past, now, const = x.data
        tape = self.tapes.get(record)
        if tape is not None and tape.coef is not None:
            past = _rows(weight_past, tape.coef)
            const = _rows(weight_past, tape.const)
        lo = 0
        for field in self.now[record].fields if record in self.now else []:
            w = weight_now[:, lo : lo + field.size]
            past = past + jnp.tensordot(w, field.data.past, 1)
            now, const = now + w @ field.data.now, const + w @ field.data.const
            lo += field.size
        return Field(space, Coefficients(past, now, const))

    # trained vectors and memory

    def read(self, vector: Vector) -> Field:
        eye = jnp.eye(vector.size)
        start = self.constant(vector.name, vector.space, eye)
        c = jnp.where(self.earlier, self.theta[1:], 0.0)
        weight = c[None, :, None] * eye[:, None, :]  # (k, t, k)
        nothing = jnp.zeros((vector.size, 0))
        return start * self.theta[0] + self._combine(vector.name, weight, nothing, vector.space)

    def append(self, matrix: Matrix, g: Field, h: Field) -> None:
        del matrix, g, h  # the plan knows

    def append_vector(self, vector: Vector, h: Field) -> None:
        self._remember(vector.name, h)

    def remember(self, name: str, x: Field) -> None:
        self._remember(name, x)

    def recall(self, name: str, start: Field) -> Field:
        tape, s = self.tapes[name], jnp.maximum(self.t - 1, 0)
        data = start.data._replace(past=tape.coef[s], const=tape.const[s])
        return Field(
            start.space,
            jax.tree.map(lambda x, y: jnp.where(self.earlier[s], x, y), data, start.data),
        )

    def project_out(self, name: str, x: Field) -> Field:
        inner = self._with_past(name, x)
        nothing = jnp.zeros((x.size, 0))
        return x - self._combine(name, inner, nothing, x.space)

    def _remember(self, record: str, x: Field):
        """Enter x in a record; its inner products with the record's fields so far."""
        now = self.now[record]
        past = self._with_past(record, x)
        block = jnp.concatenate([self.inner(x, y) for y in [*now.fields, x]], axis=1)
        now.add(x, past, block)
        return past, block

    # inner products

    def inner(self, x: Field, y: Field) -> Float[Array, "x y"]:
        d, c = self._dual(x), y.data
        past = jnp.tensordot(d.past, c.past, axes=((1, 2), (1, 2)))
        return past + d.now @ c.now.T + d.const @ c.const.T

    def _with_past(self, record: str, x: Field) -> Float[Array, "k t width"]:
        """Inner products with the fields of a record in earlier steps."""
        tape = self.tapes.get(record)
        if tape is None or tape.coef is None:
            return jnp.zeros((x.size, self.n, self.plan.record(record).width))
        d = self._dual(x)
        inner = _columns(tape.coef, d.past) + _columns(tape.const, d.const)
        return jnp.where(self.earlier[:, None], inner, 0.0)

    def _dual(self, x: Field) -> Coefficients:
        """Inner products of a field with the Gaussians of its space (covariance times coefficients)."""
        if id(x) not in self._duals:
            self._duals[id(x)] = (x, self._make_dual(x))  # keeping x keeps its id taken
        return self._duals[id(x)][1]

    def _make_dual(self, x: Field) -> Coefficients:
        pasts, nows = [], []
        for name, (offset, record) in self.plan.families(x.space).items():
            hi = offset + record.width
            past, now = x.data.past[:, :, offset:hi], x.data.now[:, offset:hi]
            past, now = self._covariance(name, past, now)
            pasts.append(past * self.variances.born[name])
            nows.append(now * self.variances.born[name])
        const = jnp.zeros_like(x.data.const)
        for name, (offset, size) in self.plan.fixed(x.space).items():
            part = x.data.const[:, offset : offset + size] @ self.variances.fixed[name]
            const = const.at[:, offset : offset + size].set(part)
        if not pasts:
            return Coefficients(x.data.past, x.data.now, const)
        return Coefficients(jnp.concatenate(pasts, -1), jnp.concatenate(nows, -1), const)

    def _covariance(self, record: str, past, now):
        """Inner products of a record's inputs, applied to coefficients (k, t, width), (k, width)."""
        gram, mine = self.tapes[record].gram, self.now[record]
        if self.plan.record(record).fresh:
            out = jnp.einsum("ktw,twv->ktv", past, gram)
            return out, now @ mine.block
        out = _rows(past, gram)
        out = jnp.where(self.earlier[:, None], out, 0.0) + jnp.tensordot(now, mine.past, 1)
        return out, jnp.einsum("ktw,vtw->kv", past, mine.past) + now @ mine.block

    # result

    def rows(self) -> Tapes:
        """What this step adds to the tapes."""
        return {r.name: self._row(r) for r in self.plan.records}

    def _row(self, record: Record) -> Tape:
        now = self.now[record.name]
        if record.fresh:
            return Tape(None, None, now.block)
        data = [field.data for field in now.fields]
        coef = jnp.concatenate([d.past.at[:, self.t].set(d.now) for d in data])
        const = jnp.concatenate([d.const for d in data])
        return Tape(coef, const, now.past.at[:, self.t].set(now.block))

    def observe(self, name: str, value) -> None:
        self.seen[name] = value


def _rows(weight: Float[Array, "k t w"], tape: Float[Array, "t w *rest"]):
    """sum_tw weight[k, t, w] tape[t, w, ...]."""
    k, t, w = weight.shape
    rest = tape.shape[2:]
    out = weight.reshape(k, t * w) @ tape.reshape(t * w, -1)
    return out.reshape(k, *rest)


def _columns(tape: Float[Array, "t w *rest"], x: Float[Array, "k *rest"]):
    """sum_rest tape[t, w, rest] x[k, rest], shape (k, t, w)."""
    t, w = tape.shape[:2]
    out = x.reshape(x.shape[0], -1) @ tape.reshape(t * w, -1).T
    return out.reshape(-1, t, w)
