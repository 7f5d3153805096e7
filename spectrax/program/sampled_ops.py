"""One step of a program on populations of sites; what `spectrax.program.sampled` is made of."""

import collections
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from spectrax.program.field import Field
from spectrax.program.interface import MatrixHandle, VectorHandle, first_rows
from spectrax.program.limit_ops import AbstractLimitOps
from spectrax.program.objects import Constant, Objects
from spectrax.program.plan import Plan, Record, Variances, fresh_record
from spectrax.program.root import gram_root
from spectrax.program.tapes import AbstractRows, Tapes

# Added to the variance of constants in linear programs, where second moments are all that matters:
# a root has no derivative at a variance of zero, such as that of no label noise. In nonlinear
# programs the large derivatives of so small a root would not average out.
FLOOR = 1e-14


class SampledTape(AbstractRows):
    """What is remembered of the fields of one record.

    Args:
        values: the populations, (time, width, sites).
        directions: what is new in each, orthonormal; zero if dropped, (time, width, sites).
        factor: coefficients of the fields on the directions, (time, width, time * width).
        slopes: averaged derivatives of the fields in the normals of the other direction of the
            matrix, over sigma, (time, width, time * its width).
    """

    values: Float[Array, "*t width sites"]
    directions: Float[Array, "*t width sites"] | None
    factor: Float[Array, "*t width n"] | None
    slopes: Float[Array, "*t width m"] | None


def other_record(record: str) -> str:
    """The record of the opposite direction of a matrix."""
    name, direction = record.rsplit(".", 1)
    opposite = {"forward": "backward", "backward": "forward", "both": "both"}
    return f"{name}.{opposite[direction]}"


class _Row(eqx.Module):
    """What a record has so far in this step, in the order in which it was entered.

    Args:
        values: populations, (count, sites).
        directions: what is new in them, (count, sites).
        factor: coefficients on all directions, (count, time * width).
        slopes: averaged derivatives, (count, time * width of the other record).
    """

    values: Float[Array, "count sites"]
    directions: Float[Array, "count sites"]
    factor: Float[Array, "count n"]
    slopes: Float[Array, "count m"]

    @property
    def count(self) -> int:
        """Number of fields."""
        return self.values.shape[0]


class SampledOps(AbstractLimitOps):
    """One step of a program on populations, given the tapes of the steps before it.

    Args:
        plan: what the program does.
        objects: what is random, as stated for this step.
        variances: second moments of the base Gaussians.
        tapes: only rows s < t are read, where `live`.
        theta: coordinates (a, c_0, c_1, …) of the trained weights at this step, (time + 1,).
        t: this step.
        live: False reads nothing at all (a step after a divergence).
        normals: standard normals of each noise, (time * width or size, sites).
        resolution: share of the variance below which a new direction is dropped.
    """

    def __init__(
        self,
        plan: Plan,
        objects: Objects,
        variances: Variances,
        tapes: Tapes,
        theta: Float[Array, " t1"],
        t: Int[Array, ""],
        live: Bool[Array, ""] | bool,
        normals: dict[str, Float[Array, "directions sites"]],
        resolution: float,
    ):
        self.plan, self.objects, self.variances = plan, objects, variances
        self.tapes, self.t = tapes, t
        self.n, self.sites = theta.shape[-1] - 1, jax.tree.leaves(normals)[0].shape[-1]
        steps = jnp.arange(self.n)
        self.earlier = (steps < t) & live  # (time,)
        self.here = jnp.where(steps == t, 1.0, 0.0)  # (time,)
        self.a, self.c = theta[0], jnp.where(self.earlier, theta[1:], 0.0)
        self.normals, self.resolution = normals, resolution
        self.now: dict[str, _Row] = {r.name: self._empty(r) for r in plan.remembered}
        self.seen, self.numbers, self.appended = {}, {}, collections.Counter()

    def _empty(self, record: Record) -> _Row:
        other = self.plan.record(other_record(record.name)).width if record.noise else 0
        shapes = (self.sites, self.sites, self.n * record.width, self.n * other)
        return _Row(*(jnp.zeros((0, size)) for size in shapes))

    # what earlier steps left, (time * width, …), zero where it may not be read

    def _readable(self, record: str) -> Bool[Array, " t"]:
        """A fresh matrix meets the fields of its own step only."""
        return self.earlier & (not self.plan.record(record).fresh)

    def _past(self, record: str, name: str = "values"):
        x = getattr(self.tapes[record], name)
        x = jnp.where(self._readable(record)[:, None, None], x, 0.0)
        return x.reshape(-1, x.shape[-1])

    def _noise(self, record: str) -> tuple:
        """Normals of earlier and of this step: (time * width, sites), (width, sites)."""
        width = self.plan.record(record).width
        z = self.normals[record]
        return z[: self.n * width], jax.lax.dynamic_slice_in_dim(z, self.t * width, width)

    def _placed(self, x: Float[Array, "k count"], width: int) -> Float[Array, "k n"]:
        """Numbers that belong to this step, among those of all steps."""
        x = jnp.pad(x, ((0, 0), (0, width - x.shape[-1])))
        return (self.here[:, None] * x[:, None, :]).reshape(len(x), -1)

    # fields

    def constant(self, name: str, declared: Constant) -> Field:
        if declared.fresh:
            gram, z = declared.gram, self.normals[fresh_record(name)]
            z = jax.lax.dynamic_slice_in_dim(z, self.t * gram.shape[-1], gram.shape[-1])
        else:
            z, gram = self.normals[name], self.variances.fixed[name]
        if self.plan.linear:
            gram = gram + FLOOR * jnp.eye(len(gram))
        return Field(declared.space, gram_root(gram) @ z)

    def elementwise(self, function: Callable, *fields: Field, size: int | None = None) -> Field:
        del size
        return Field(fields[0].space, function(*(field.data for field in fields)))

    def read(self, vector: VectorHandle, mix=None) -> Field:
        mix = jnp.eye(vector.declared.size) if mix is None else mix  # (size, k)
        initial = self.variances.initial[vector.name] * mix.T @ self.normals[vector.name]
        name = self.plan.weights_of(vector.name)
        gradient = mix[None] if name is None else self.numbers_of(name) @ mix  # (t, width, k)
        weight = (self.c[:, None, None] * gradient).reshape(-1, mix.shape[-1])
        return Field(vector.declared.space, self.a * initial + weight.T @ self._past(vector.name))

    def recall(self, name: str, space: str, size: int) -> Field:
        del size
        before = jnp.maximum(self.t - 1, 0)
        value = self.tapes[name].values[before]
        return Field(space, jnp.where(self.earlier[before], value, 0.0))

    def history(self, name: str, space: str, num: int) -> Field:
        return Field(space, first_rows(self._past(name), num))

    def project_out(self, name: str, x: Field) -> Field:
        past = self._past(name).reshape(self.n, x.size, -1)
        inner = jnp.einsum("ks,tks->t", x.data, past) / self.sites
        return Field(x.space, x.data - jnp.einsum("t,tks->ks", inner, past))

    def inner(self, x: Field, y: Field) -> Float[Array, "x y"]:
        return x.data @ y.data.T / self.sites

    # memory

    def remember(self, name: str, x: Field) -> None:
        row = self.now[name]
        values = jnp.concatenate([row.values, x.data])
        self.now[name] = eqx.tree_at(lambda r: r.values, row, values)

    # matrices

    def apply(self, matrix: MatrixHandle, x: Field) -> Field:
        return self._apply(matrix, x, matrix.forward, matrix.backward)

    def apply_transposed(self, matrix: MatrixHandle, g: Field) -> Field:
        return self._apply(matrix, g, matrix.backward, matrix.forward)

    def _apply(self, matrix: MatrixHandle, x: Field, record: str, other: str) -> Field:
        """Noise plus response plus spikes; `other` is the record of the opposite direction."""
        variance, a = self.variance(matrix, record), self.a if matrix.declared.trained else 1.0
        early, now = self._noise(record)
        past, block, new = self._orthogonalise(record, x)
        y = a * jnp.sqrt(variance) * (past @ early + block @ now[: block.shape[-1]])

        slopes, slopes_now = self._slopes(matrix, x, other)
        if other in self.now:
            response = slopes @ self._past(other, "directions")
            y = y + a * variance * (response + slopes_now @ self.now[other].directions)
        if matrix.declared.trained and other in self.now:
            inner = x.data @ self._past(record).T / self.sites  # (k, time * width)
            rho = self.variances.ratios[record]
            y = y + rho * self._spikes(matrix, record, inner) @ self._past(other)

        factor = past + self._placed(block, self.plan.record(record).width)
        slopes = slopes + self._placed(slopes_now, self.plan.record(other).width)
        row = _Row(x.data, new, factor, slopes)
        self.now[record] = jax.tree.map(lambda *xs: jnp.concatenate(xs), self.now[record], row)
        return Field(self.plan.record(record).noise, y)

    def _orthogonalise(self, record: str, x: Field):
        """Coefficients on directions of earlier steps and of this one, and the new directions.

        Twice is enough: what the first pass leaves of the old directions is rounding.
        """
        early, now = self._past(record, "directions"), self.now[record].directions
        rest, past, old = x.data, 0.0, 0.0
        for _ in range(2):
            part, part_now = rest @ early.T / self.sites, rest @ now.T / self.sites
            rest = rest - part @ early - part_now @ now
            past, old = past + part, old + part_now
        least = self.resolution * jnp.mean(x.data**2, axis=-1)
        new, block = gram_schmidt(rest, least)
        return past, jnp.concatenate([old, block], axis=1), new

    def _slopes(self, matrix: MatrixHandle, x: Field, other: str):
        """Averaged derivatives in the normals that a record used, earlier and in this step."""
        width = self.plan.record(other).width
        if not width:
            return jnp.zeros((x.size, 0)), jnp.zeros((x.size, 0))
        early, now = self._noise(other)
        scale = self.sites * jnp.sqrt(self.variance(matrix, other))
        known = jnp.repeat(self._readable(other), width)
        slopes = jnp.where(known, x.data @ early.T / scale, 0.0)
        return slopes, x.data @ now[: self.now[other].count].T / scale

    def _spikes(self, matrix: MatrixHandle, record: str, inner) -> Float[Array, "k m"]:
        """Weights of the other record's fields in sum_s c_s <h_s, x> g_s (or its transpose)."""
        forward = record == matrix.forward
        other = matrix.backward if forward else matrix.forward
        k, width = inner.shape[0], self.plan.record(other).width
        inner = inner.reshape(k, self.n, -1)
        weight = jnp.zeros((k, self.n, width))
        for spike in self.plan.spikes_of(matrix.name):
            term = self.c[:, None] * (inner @ spike.pick(inner.shape[-1], forward))
            if spike.weights is not None:
                term = term * self.numbers_of(spike.weights)
            weight = weight + term @ spike.pick(width, not forward).T
        return weight.reshape(k, -1)

    # result

    def rows(self) -> Tapes:
        """What this step adds to the tapes."""
        return {r.name: self._row(r) for r in self.plan.remembered} | self.number_rows()

    def _row(self, record: Record) -> SampledTape:
        row, tape = self.now[record.name], self.tapes[record.name]
        parts = (row.values, row.directions, row.factor, row.slopes)
        if record.noise is None:
            parts = (row.values, None, None, None)

        def fill(x, like):
            missing = [(0, want - have) for want, have in zip(like.shape[1:], x.shape, strict=True)]
            return jnp.pad(x, missing)

        return jax.tree.map(fill, SampledTape(*parts), tape)

    def finite(self) -> Bool[Array, ""]:
        """Whether nothing is too large."""
        norms = [jnp.sum(row.values**2) for row in self.now.values()]
        return self.bounded(norms)


def gram_schmidt(x: Float[Array, "k sites"], least: Float[Array, " k"]):
    """Orthonormal directions q of x, and its coefficients on them; small rests are dropped."""

    def step(q, this):
        k, x, least = this
        c, rest = jnp.zeros(len(q)), x
        for _ in range(2):
            part = q @ rest / x.size
            c, rest = c + part, rest - part @ q
        square = jnp.mean(rest**2)
        keep = square > least
        norm = jnp.sqrt(jnp.where(keep, square, 1.0))
        q = q.at[k].set(jnp.where(keep, rest / norm, 0.0))
        return q, c.at[k].set(jnp.where(keep, norm, 0.0))

    return jax.lax.scan(step, jnp.zeros_like(x), (jnp.arange(len(x)), x, least))
