r"""One step of a program in the limit of infinite size, whatever a field is represented by.

Applying A to x gives new noise, a response and what the spikes of a trained matrix add,

$$A x = u_{new} + \sigma^2 \sum_j \Big\langle\frac{\partial x}{\partial r_j}\Big\rangle\, g_j
  + \frac{1}{\mathrm{cols}}\sum_s c_s \langle h_s, x\rangle\, g_s, \qquad
  \mathrm{Cov}(u_{new}, u_k) = \sigma^2 \langle x, x_k \rangle,$$

where $g_j$ are the vectors to which $A^\top$ was applied before and $r_j$ the noises born then;
likewise $A^\top g$ with variance $\sigma^2\rho$, $\rho$ = rows / cols. A limit says what a field
is, how inner products are taken, and how noise and responses come about; the rest is here.

A space may fall into groups of sites: averages are weighted by their shares, a new noise is the
same in all of them. A matrix with a stencil treats the index axis of inner products and responses
alike.

Source: theory page, section P.
"""

import abc
import collections

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from spectrax.program.field import Field
from spectrax.program.interface import AbstractOps, MatrixHandle, VectorHandle, first_rows
from spectrax.program.objects import Objects
from spectrax.program.plan import Plan, Variances
from spectrax.program.tapes import Numbers, Tapes, weighted_rows

# A training of larger fields has diverged: spectra multiply four kernels and must not overflow.
LARGEST = 1e75


class AbstractLimitOps(AbstractOps):
    """Operations on tapes.

    Args:
        plan: what the program does.
        objects: what is random, as stated for this step.
        variances: second moments of the base Gaussians.
        weights: share of each group of sites, by space.
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
        weights: dict[str, Float[Array, " groups"]],
        tapes: Tapes,
        theta: Float[Array, " t1"],
        t: Int[Array, ""],
        live: Bool[Array, ""] | bool = True,
    ):
        self.plan, self.objects, self.variances = plan, objects, variances
        self.weights, self.tapes, self.t = weights, tapes, t
        self.n = theta.shape[-1] - 1
        steps = jnp.arange(self.n)
        self.earlier = (steps < t) & live  # (time,): steps that may be read
        self.here = jnp.where(steps == t, 1.0, 0.0)  # (time,)
        self.a, self.c = theta[0], jnp.where(self.earlier, theta[1:], 0.0)
        self.seen: dict = {}
        self.numbers: dict[str, Numbers] = {}
        self.appended: collections.Counter[str] = collections.Counter()
        self.fields: dict[str, list[Field]] = collections.defaultdict(list)  # of this step

    # --- what a limit says

    @abc.abstractmethod
    def zero(self, space: str, size: int) -> Field:
        """Fields that are zero."""

    @abc.abstractmethod
    def initial(self, name: str, space: str) -> Field:
        """Gaussians that were there from the start."""

    @abc.abstractmethod
    def with_past(self, record: str, x: Field) -> Float[Array, "k t width"]:
        """Inner products with the fields of a record in earlier steps."""

    @abc.abstractmethod
    def enter(self, record: str, x: Field, past: Float[Array, "k t width"], variance) -> None:
        """Keep a field of this step, with its inner products with earlier ones.

        And the variance of what is born from it, for each inner product.
        """

    @abc.abstractmethod
    def noise(
        self, matrix: MatrixHandle, record: str, other: str, x: Field, a: Float[Array, ""]
    ) -> tuple[Field, Float[Array, "k t width"] | None]:
        """New noise, times a, of a matrix applied to a field that was entered.

        And responses of the field to the noises that the other record made, as coefficients of its
        fields up to this step; None if they are part of the result already.
        """

    @abc.abstractmethod
    def rows(self) -> Tapes:
        """What this step adds to the tapes."""

    @abc.abstractmethod
    def norms(self) -> list[Float[Array, ""]]:
        """Squared norms that bound all numbers of this step."""

    # --- what follows from it

    def finite(self) -> Bool[Array, ""]:
        """Whether no squared norm is NaN or beyond the largest."""
        return (jnp.stack(self.norms()) < LARGEST).all()

    def apply(self, matrix: MatrixHandle, x: Field) -> Field:
        return self._apply(matrix, x, matrix.forward, matrix.backward, True)

    def apply_transposed(self, matrix: MatrixHandle, g: Field) -> Field:
        return self._apply(matrix, g, matrix.backward, matrix.forward, False)

    def _apply(self, matrix: MatrixHandle, x: Field, record: str, other: str, forward: bool):
        """Noise plus response plus spikes; `other` is the record of the opposite direction."""
        trained, stencil = matrix.declared.trained, matrix.declared.stencil
        a, variance = self.a if trained else jnp.ones(()), self.variance(matrix, record)
        past = self._keep(record, x, variance)
        y, response = self.noise(matrix, record, other, x, a)
        weight = now = None
        if response is not None and response.shape[-1]:
            response = response if stencil is None else stencil.spread(response, forward)
            weight = response * (a * variance)
            now = jax.lax.dynamic_index_in_dim(weight, self.t, 1, keepdims=False)
        if trained and self.plan.spikes_of(matrix.name):
            spikes = self._spikes(matrix, past * self.variances.ratios[record], other, forward)
            weight = spikes if weight is None else weight + spikes
        return y if weight is None else y + self.superpose(other, weight, now, y.space)

    def _spikes(self, matrix: MatrixHandle, inner, other: str, forward: bool):
        """Weights of the other record's fields in sum_s c_s <h_s, x> g_s (or its transpose)."""
        stencil = matrix.declared.stencil
        if stencil is not None and forward:
            inner = stencil.spread(inner, True)
        out = 0.0
        for spike in self.plan.spikes_of(matrix.name):
            pick = spike.pick(inner.shape[-1], forward)
            term = self.c[:, None] * (inner if pick.shape == (1, 1) else inner @ pick)
            if spike.weights is not None:
                term = term * self.numbers_of(spike.weights)
            out = out + self._to_fields(matrix, spike, term, other, forward)
        return out

    def _to_fields(self, matrix: MatrixHandle, spike, term, other: str, forward: bool):
        """Weights of pairs as those of the fields of a record."""
        width, stencil = self.plan.record(other).width, matrix.declared.stencil
        if stencil is not None and not forward:
            met = width // stencil.num_inputs * stencil.num_outputs
            return stencil.spread(term @ spike.pick(met, True).T, False)
        place = spike.pick(width, not forward).T
        return term if place.shape == (1, 1) else term @ place

    def superpose(
        self,
        record: str,
        weight: Float[Array, "k t width"],
        now: Float[Array, "k width"] | None,
        space: str,
    ) -> Field:
        """Combine a record's fields of earlier steps, and those of this one so far."""
        parts, tape, lo = [], self.tapes.get(record), 0
        if tape is not None and tape.values is not None:
            weight = jnp.where(self.earlier[:, None], weight, 0.0)
            parts.append(Field(space, weighted_rows(weight, tape.values)))
        for field in self.fields[record] if now is not None else []:
            parts.append(field.mix(now[:, lo : lo + field.size].T))
            lo += field.size
        return sum(parts[1:], parts[0]) if parts else self.zero(space, len(weight))

    def variance(self, matrix: MatrixHandle, record: str):
        """Variance of a new Gaussian of the record, for each inner product of the inputs."""
        if matrix.declared.fresh:
            return matrix.declared.sigma**2 * self.variances.ratios[record]
        return self.variances.born[record]

    # trained vectors and memory

    def read(self, vector: VectorHandle, mix=None) -> Field:
        mix = jnp.eye(vector.declared.size) if mix is None else mix  # (size, k)
        initial = self.initial(vector.name, vector.declared.space).mix(mix)
        name = self.plan.weights_of(vector.name)
        gradient = jnp.moveaxis(mix[None] if name is None else self.numbers_of(name) @ mix, -1, 0)
        weight = self.c[None, :, None] * gradient  # (k, t, width)
        return self.a * initial + self.superpose(vector.name, weight, None, initial.space)

    def remember(self, name: str, x: Field) -> None:
        self._keep(name, x, 1.0)

    def _keep(self, record: str, x: Field, variance) -> Float[Array, "k t width"]:
        past = self.with_past(record, x)
        self.enter(record, x, past, variance)
        self.fields[record].append(x)
        return past

    def recall(self, name: str, space: str, size: int) -> Field:
        del size
        before = jnp.maximum(self.t - 1, 0)
        live = self.earlier[before]
        values = self.tapes[name].values
        return Field(space, jax.tree.map(lambda x: jnp.where(live, x[before], 0.0), values))

    def history(self, name: str, space: str, num: int) -> Field:
        def past(x):
            x = jnp.where(self.earlier.reshape(-1, *[1] * (x.ndim - 2)), x[:, 0], 0.0)
            return first_rows(x.reshape(len(x), -1), num).reshape(num, *x.shape[1:])

        return Field(space, jax.tree.map(past, self.tapes[name].values))

    def project_out(self, name: str, x: Field) -> Field:
        inner = jnp.einsum("ktk->t", self.with_past(name, x))
        weight = inner[:, None] * jnp.eye(x.size)[:, None, :]  # (k, t, k)
        return x - self.superpose(name, weight, None, x.space)

    # numbers of each step

    def append(self, matrix: MatrixHandle, g: Field, h: Field, weights=None) -> None:
        del g, h  # the plan knows
        index = self.appended[matrix.name]
        self.appended[matrix.name] += 1
        if weights is not None:
            name = self.plan.spikes_of(matrix.name)[index].weights
            self.numbers[name] = Numbers(weights)

    def append_vector(self, vector: VectorHandle, h: Field, weights=None) -> None:
        self.remember(vector.name, h)
        if weights is not None:
            self.numbers[f"{vector.name}.weights"] = Numbers(weights)

    def observe(self, name: str, value) -> None:
        self.seen[name] = value

    def numbers_of(self, name: str) -> Float[Array, "t *shape"]:
        """Weights of the spikes of earlier steps."""
        value = self.tapes[name].value
        mask = self.earlier.reshape(-1, *[1] * (value.ndim - 1))
        return jnp.where(mask, value, 0.0)

    def number_rows(self) -> dict[str, Numbers]:
        """What this step adds to the numbers, zero where this program has none."""
        zeros = {name: Numbers(jnp.zeros(shape)) for name, shape in self.plan.weights}
        return zeros | self.numbers
