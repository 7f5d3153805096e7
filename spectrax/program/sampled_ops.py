"""One step of a program on populations of sites; what `spectrax.program.sampled` is made of."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax.program.field import Field
from spectrax.program.interface import MatrixHandle
from spectrax.program.machine import AbstractLimitOps
from spectrax.program.objects import Constant
from spectrax.program.plan import Record, fresh_record
from spectrax.program.root import gram_root
from spectrax.program.tapes import AbstractRows, Tapes, inner_with_rows

# Added to the variance of constants in linear programs, where second moments are all that matters:
# a root has no derivative at a variance of zero, such as that of no label noise. In nonlinear
# programs the large derivatives of so small a root would not average out.
FLOOR = 1e-14


class SampledTape(AbstractRows):
    """What is remembered of the fields of one record.

    Args:
        values: the populations, (time, width, groups, sites).
        directions: what is new in each, orthonormal; zero if dropped, (time, width, groups, sites).
        factor: coefficients of the fields on the directions, (time, width, time * width).
        slopes: averaged derivatives of the fields in the normals of the other direction of the
            matrix, over sigma, (time, width, time * its width).
    """

    values: Float[Array, "*t width groups sites"]
    directions: Float[Array, "*t width groups sites"] | None
    factor: Float[Array, "*t width n"] | None
    slopes: Float[Array, "*t width m"] | None


class _Row(eqx.Module):
    """What a record has so far in this step, in the order in which it was entered.

    Args:
        directions: what is new in its fields, (count, groups, sites).
        factor: coefficients on all directions, (count, time * width).
        slopes: averaged derivatives, (count, time * width of the other record).
    """

    directions: Float[Array, "count groups sites"]
    factor: Float[Array, "count n"]
    slopes: Float[Array, "count m"]


class SampledOps(AbstractLimitOps):
    """One step of a program on populations, given the tapes of the steps before it.

    Args:
        normals: standard normals of each noise, (time * width or size, sites).
        resolution: share of the variance below which a new direction is dropped.
        *state: as for every limit.
    """

    def __init__(
        self, normals: dict[str, Float[Array, "directions sites"]], resolution: float, *state
    ):
        super().__init__(*state)
        self.normals, self.resolution = normals, resolution
        self.sites = jax.tree.leaves(normals)[0].shape[-1]
        self.now: dict[str, _Row] = {r.name: self._empty(r) for r in self.plan.remembered}

    def _empty(self, record: Record) -> _Row:
        other = self.plan.record(record.other).width if record.other else 0
        groups = self.plan.groups(record.space)
        return _Row(
            jnp.zeros((0, groups, self.sites)),
            jnp.zeros((0, self.n * record.width)),
            jnp.zeros((0, self.n * other)),
        )

    # populations

    def zero(self, space: str, size: int) -> Field:
        return Field(space, jnp.zeros((size, self.plan.groups(space), self.sites)))

    def _everywhere(self, space: str, x: Float[Array, "k sites"]) -> Field:
        """The same in all groups."""
        shape = (len(x), self.plan.groups(space), self.sites)
        return Field(space, jnp.broadcast_to(x[:, None], shape))

    def initial(self, name: str, space: str) -> Field:
        """Of trained vectors: their size may be large, and their Gram matrix is known."""
        return self._everywhere(space, self.variances.initial[name] * self.normals[name])

    def constant(self, name: str, declared: Constant) -> Field:
        if declared.fresh:
            gram, z = declared.gram, self.normals[fresh_record(name)]
            z = jax.lax.dynamic_slice_in_dim(z, self.t * gram.shape[-1], gram.shape[-1])
        else:
            z, gram = self.normals[name], self.variances.fixed[name]
        if self.plan.linear:
            gram = gram + FLOOR * jnp.eye(len(gram))
        return self._everywhere(declared.space, gram_root(gram) @ z)

    def elementwise(self, function: Callable, *fields: Field, size: int | None = None) -> Field:
        del size
        space = fields[0].space
        out = function(*(field.data.reshape(field.size, -1) for field in fields))
        return Field(space, out.reshape(len(out), self.plan.groups(space), self.sites))

    def scale(self, x: Field, profile) -> Field:
        return Field(x.space, x.data * jnp.asarray(profile)[:, None])

    # inner products

    def _flat(self, x: Field) -> Float[Array, "k all"]:
        """All sites of all groups, such that their plain mean is the weighted one."""
        return self._embedded(x.space, x.data).reshape(x.size, x.data.shape[1] * self.sites)

    def _embedded(self, space: str, x):
        weights = self.weights[space]
        return x if len(weights) == 1 else x * jnp.sqrt(weights * len(weights))[:, None]

    def inner(self, x: Field, y: Field) -> Float[Array, "x y"]:
        return self._flat(x) @ self._flat(y).T / (x.data.shape[1] * self.sites)

    def with_past(self, record: str, x: Field) -> Float[Array, "k t width"]:
        values = self.tapes[record].values
        weights = self.weights[x.space] / self.sites
        inner = inner_with_rows(values, x.data * weights[:, None])
        return jnp.where(self.earlier[:, None], inner, 0.0)

    # matrices

    def _readable(self, record: str):
        """A fresh matrix meets the fields of its own step only."""
        return self.earlier & (not self.plan.record(record).fresh)

    def _early(self, record: str) -> Float[Array, "n groups sites"]:
        """Directions of earlier steps, zero where they may not be read."""
        x = self.tapes[record].directions
        x = jnp.where(self._readable(record)[:, None, None, None], x, 0.0)
        return x.reshape(-1, *x.shape[2:])

    def _noise(self, record: str) -> tuple:
        """Normals of earlier and of this step: (time * width, sites), (width, sites)."""
        width = self.plan.record(record).width
        z = self.normals[record]
        return z[: self.n * width], jax.lax.dynamic_slice_in_dim(z, self.t * width, width)

    def _placed(self, x: Float[Array, "k count"], width: int) -> Float[Array, "k n"]:
        """Numbers that belong to this step, among those of all steps."""
        x = jnp.pad(x, ((0, 0), (0, width - x.shape[-1])))
        return (self.here[:, None] * x[:, None, :]).reshape(len(x), -1)

    def enter(self, record: str, x: Field, past, variance) -> None:
        del record, x, past, variance  # `fields` has the populations, `noise` what is new in them

    def noise(self, matrix: MatrixHandle, record: str, other: str, x: Field, a):
        """New noise, and the response, which nearly dependent vectors have in directions only."""
        if matrix.declared.stencil is not None:
            raise ValueError(f"`{matrix.name}` has a stencil, which SampledLimit does not know.")
        early, now = self._noise(record)
        past, block, new = self._orthogonalise(record, x)
        noise = past @ early + block @ now[: block.shape[-1]]
        noise = a * jnp.sqrt(self.variance(matrix, record)) * noise
        y = self._everywhere(self.plan.record(record).noise, noise)

        slopes, slopes_now = self._slopes(matrix, x, other)
        if other in self.now:
            response = jnp.tensordot(slopes, self._early(other), 1)
            response = response + jnp.tensordot(slopes_now, self.now[other].directions, 1)
            y = y + Field(y.space, a * self.variance(matrix, record) * response)

        factor = past + self._placed(block, self.plan.record(record).width)
        slopes = slopes + self._placed(slopes_now, self.plan.record(other).width)
        row = _Row(new, factor, slopes)
        self.now[record] = jax.tree.map(lambda *xs: jnp.concatenate(xs), self.now[record], row)
        return y, None

    def _orthogonalise(self, record: str, x: Field):
        """Coefficients on directions of earlier steps and of this one, and the new directions.

        Twice is enough: what the first pass leaves of the old directions is rounding.
        """
        flat = self._flat(x)
        early, now = (
            self._embedded(x.space, y).reshape(len(y), flat.shape[1])
            for y in (self._early(record), self.now[record].directions)
        )
        rest, past, old = flat, 0.0, 0.0
        for _ in range(2):
            part, part_now = rest @ early.T / flat.shape[1], rest @ now.T / flat.shape[1]
            rest = rest - part @ early - part_now @ now
            past, old = past + part, old + part_now
        least = self.resolution * jnp.mean(flat**2, axis=-1)
        new, block = gram_schmidt(rest, least)
        new = new.reshape(x.data.shape)
        weights = self.weights[x.space]
        if len(weights) > 1:
            new = new / jnp.sqrt(weights * len(weights))[:, None]
        return past, jnp.concatenate([old, block], axis=1), new

    def _slopes(self, matrix: MatrixHandle, x: Field, other: str):
        """Averaged derivatives in the normals that a record used, earlier and in this step."""
        width = self.plan.record(other).width
        if not width:
            return jnp.zeros((x.size, 0)), jnp.zeros((x.size, 0))
        mean = jnp.einsum("kgs,g->ks", x.data, self.weights[x.space])
        early, now = self._noise(other)
        scale = self.sites * jnp.sqrt(self.variance(matrix, other))
        known = jnp.repeat(self._readable(other), width)
        slopes = jnp.where(known, mean @ early.T / scale, 0.0)
        return slopes, mean @ now[: len(self.now[other].directions)].T / scale

    # result

    def rows(self) -> Tapes:
        return {r.name: self._row(r) for r in self.plan.remembered} | self.number_rows()

    def _row(self, record: Record) -> SampledTape:
        row, tape = self.now[record.name], self.tapes[record.name]
        fields = [field.data for field in self.fields[record.name]]
        values = jnp.concatenate([*fields, self.zero(record.space, 0).data])
        parts = (values, row.directions, row.factor, row.slopes)
        if record.noise is None:
            parts = (values, None, None, None)

        def fill(x, like):
            missing = [(0, want - have) for want, have in zip(like.shape[1:], x.shape, strict=True)]
            return jnp.pad(x, missing)

        return jax.tree.map(fill, SampledTape(*parts), tape)

    def norms(self) -> list:
        return [
            sum(jnp.sum(field.data**2) for field in self.fields[r.name]) + jnp.zeros(())
            for r in self.plan.remembered
        ]


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
