"""One step of a program on populations of sites; what `spectrax.program.sampled` is made of."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from spectrax.program.field import Field
from spectrax.program.interface import Matrix, Vector
from spectrax.program.limit_ops import AbstractLimitOps
from spectrax.program.plan import Plan, Record, Variances
from spectrax.program.tapes import AbstractRows, Tapes


class SampledTape(AbstractRows):
    """What is remembered of the fields of one record.

    Args:
        values: the populations, (time, width, sites).
        factor: their coefficients on the orthogonal directions, (time, width, time * width).
        coefficients: their averaged derivatives in the noise of the other direction of the matrix,
            (time, width, time * its width).
    """

    values: Float[Array, "*t width sites"]
    factor: Float[Array, "*t width n"] | None
    coefficients: Float[Array, "*t width m"] | None


def other_record(record: str) -> str:
    """The record of the opposite direction of a matrix."""
    name, direction = record.rsplit(".", 1)
    opposite = {"forward": "backward", "backward": "forward", "both": "both"}
    return f"{name}.{opposite[direction]}"


class _Row(eqx.Module):
    """What a record has so far in this step, in the order in which it was entered.

    Args:
        values: populations, (count, sites).
        past: coefficients on directions of earlier steps, (count, time * width).
        block: coefficients on directions of this step, (count, width).
        coefficients: averaged derivatives, (count, time * width of the other record).
    """

    values: Float[Array, "count sites"]
    past: Float[Array, "count n"]
    block: Float[Array, "count width"]
    coefficients: Float[Array, "count m"]

    @property
    def count(self) -> int:
        """Number of fields."""
        return self.values.shape[0]


class SampledOps(AbstractLimitOps):
    """One step of a program on populations, given the tapes of the steps before it.

    Args:
        plan: what the program does.
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
        variances: Variances,
        tapes: Tapes,
        theta: Float[Array, " t1"],
        t: Int[Array, ""],
        live: Bool[Array, ""] | bool,
        normals: dict[str, Float[Array, "directions sites"]],
        resolution: float,
    ):
        self.plan, self.variances, self.tapes, self.t = plan, variances, tapes, t
        self.n, self.sites = theta.shape[-1] - 1, jax.tree.leaves(normals)[0].shape[-1]
        steps = jnp.arange(self.n)
        self.earlier = (steps < t) & live  # (time,)
        self.here = jnp.where(steps == t, 1.0, 0.0)  # (time,)
        self.a, self.c = theta[0], jnp.where(self.earlier, theta[1:], 0.0)
        self.normals, self.resolution = normals, resolution
        self.now: dict[str, _Row] = {r.name: self._empty(r) for r in plan.records}
        self.seen, self.numbers = {}, {}

    def _empty(self, record: Record) -> _Row:
        other = self.plan.record(other_record(record.name)).width if record.noise else 0
        shapes = (self.sites, self.n * record.width, record.width, self.n * other)
        return _Row(*(jnp.zeros((0, size)) for size in shapes))

    # what earlier steps left, (time * width, …), zero where it may not be read

    def _past(self, record: str, name: str = "values"):
        x = getattr(self.tapes[record], name)
        x = jnp.where(self.earlier[:, None, None], x, 0.0)
        return x.reshape(-1, x.shape[-1])

    def _factor(self, record: str) -> Float[Array, "n n"]:
        return self._past(record, "factor")[:, : self.n * self.plan.record(record).width]

    def _noise(self, record: str) -> tuple:
        """Normals of earlier and of this step: (time * width, sites), (width, sites)."""
        width = self.plan.record(record).width
        z = self.normals[record]
        return z[: self.n * width], jax.lax.dynamic_slice_in_dim(z, self.t * width, width)

    # fields

    def constant(self, name, space, gram, *, fresh=False):
        del fresh  # refused before
        values, vectors = jnp.linalg.eigh(gram)
        root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
        return Field(space, root @ self.normals[name])

    def elementwise(self, function: Callable, *fields: Field, size: int | None = None) -> Field:
        del size
        return Field(fields[0].space, function(*(field.data for field in fields)))

    def read(self, vector: Vector, mix=None) -> Field:
        mix = jnp.eye(vector.size) if mix is None else mix  # (size, k)
        initial = vector.sigma * mix.T @ self.normals[vector.name]
        name = self.plan.weights_of(vector.name)
        gradient = mix[None] if name is None else self.numbers_of(name) @ mix  # (t, width, k)
        weight = (self.c[:, None, None] * gradient).reshape(-1, mix.shape[-1])
        return Field(vector.space, self.a * initial + weight.T @ self._past(vector.name))

    def recall(self, name: str, space: str, size: int) -> Field:
        del size
        before = jnp.maximum(self.t - 1, 0)
        value = self.tapes[name].values[before]
        return Field(space, jnp.where(self.earlier[before], value, 0.0))

    def history(self, name: str, space: str, num: int) -> Field:
        return Field(space, self._past(name)[:num])

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

    def apply(self, matrix: Matrix, x: Field) -> Field:
        return self._apply(matrix, x, matrix.forward, matrix.backward)

    def apply_transposed(self, matrix: Matrix, g: Field) -> Field:
        return self._apply(matrix, g, matrix.backward, matrix.forward)

    def _apply(self, matrix: Matrix, x: Field, record: str, other: str) -> Field:
        """Noise plus response plus spikes; `other` is the record of the opposite direction."""
        inner = x.data @ self._past(record).T / self.sites  # (k, time * width)
        past, block = self._orthogonalise(record, x, inner)
        early, now = self._noise(record)
        variance, a = self.variances.born[record], self.a if matrix.trained else 1.0
        noise = jnp.sqrt(variance) * (past @ early + block @ now)

        response, response_now = self._response(x, other)
        y = a * noise
        if other in self.now:
            weight = a * variance * response
            if matrix.trained:
                rho = variance / self.variances.born[matrix.forward]
                weight = weight + rho * self._spikes(matrix, record, inner)
            now = a * variance * response_now
            y = y + weight @ self._past(other) + now @ self.now[other].values
        self._enter(record, x, past, block, response, response_now)
        return Field(self.plan.record(record).noise, y)

    def _orthogonalise(self, record: str, x: Field, inner):
        """Coefficients on directions of earlier steps and of this one; new ones are made."""
        row = self.now[record]
        past = _solve_lower(self._factor(record), inner.T).T
        count, k = row.count, x.size
        among = x.data @ row.values.T / self.sites - past @ row.past.T  # (k, count)
        old = _solve_lower(row.block[:, :count], among.T).T
        own = x.data @ x.data.T / self.sites
        rest = own - past @ past.T - old @ old.T
        new = _cholesky(rest, self.resolution * jnp.diagonal(own))
        missing = jnp.zeros((k, row.block.shape[-1] - count - k))
        return past, jnp.concatenate([old, new, missing], axis=1)

    def _response(self, x: Field, other: str):
        """Averaged derivatives in the noise that a record made, earlier and in this step."""
        if not self.plan.record(other).width:
            return jnp.zeros((x.size, 0)), jnp.zeros((x.size, 0))
        early, now = self._noise(other)
        row, factor = self.now[other], self._factor(other)
        count = row.count
        late = _solve_lower(row.block[:, :count], (x.data @ now[:count].T / self.sites).T, trans=1)
        moments = x.data @ early.T / self.sites - late.T @ row.past
        scale = jnp.sqrt(self.variances.born[other])
        return _solve_lower(factor, moments.T, trans=1).T / scale, late.T / scale

    def _spikes(self, matrix: Matrix, record: str, inner) -> Float[Array, "k m"]:
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

    def _enter(self, record: str, x: Field, past, block, response, response_now) -> None:
        """Enter x in a record."""
        row, k = self.now[record], x.size
        width = self.plan.record(other_record(record)).width
        missing = jnp.zeros((k, width - response_now.shape[-1]))
        now = jnp.concatenate([response_now, missing], axis=1)
        placed = (self.here[:, None] * now[:, None, :]).reshape(k, -1)
        new = _Row(x.data, past, block, response + placed)
        self.now[record] = jax.tree.map(lambda *xs: jnp.concatenate(xs), row, new)

    # result

    def rows(self) -> Tapes:
        """What this step adds to the tapes."""
        return {r.name: self._row(r) for r in self.plan.records} | self.number_rows()

    def _row(self, record: Record) -> SampledTape:
        row, tape = self.now[record.name], self.tapes[record.name]

        def fill(x, like):
            missing = [(0, want - have) for want, have in zip(like.shape[1:], x.shape, strict=True)]
            return jnp.pad(x, missing)

        values = fill(row.values, tape.values)
        if record.noise is None:
            return SampledTape(values, None, None)
        placed = self.here[:, None] * row.block[:, None, :]
        factor = row.past + placed.reshape(row.past.shape)
        return SampledTape(
            values, fill(factor, tape.factor), fill(row.coefficients, tape.coefficients)
        )

    def finite(self) -> Bool[Array, ""]:
        """Whether all is finite."""
        norms = [jnp.sum(row.values**2) for row in self.now.values()]
        return jnp.isfinite(jnp.stack(norms)).all()


def _solve_lower(L: Float[Array, "n n"], b: Float[Array, "n k"], trans: int = 0):
    """Solve L x = b (or with its transpose); directions that were dropped get zero."""
    if not L.shape[0]:
        return b
    used = jnp.diagonal(L) > 0
    safe = L + jnp.diag(jnp.where(used, 0.0, 1.0))
    b = jnp.where(used[:, None], b, 0.0)
    return jnp.where(used[:, None], solve_triangular(safe, b, lower=True, trans=trans), 0.0)


def _cholesky(C: Float[Array, "k k"], least: Float[Array, " k"]) -> Float[Array, "k k"]:
    """Lower factor of a covariance; pivots up to `least` are dropped."""

    def step(C, k):
        pivot = C[k, k]
        keep = pivot > least[k]
        column = jnp.where(keep, C[:, k] / jnp.sqrt(jnp.where(keep, pivot, 1.0)), 0.0)
        column = jnp.where(jnp.arange(len(C)) >= k, column, 0.0)
        return C - column[:, None] * column[None, :], column

    _, columns = jax.lax.scan(step, C, jnp.arange(len(C)))
    return columns.T
