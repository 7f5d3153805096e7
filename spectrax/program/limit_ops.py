"""What the limit interpreters share: moments, and weights of spikes, numbers of each step."""

import collections

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from spectrax.program.field import Field
from spectrax.program.interface import AbstractOps, MatrixHandle, VectorHandle
from spectrax.program.plan import Plan, Variances
from spectrax.program.tapes import Numbers, Tapes

# A training of larger fields has diverged: spectra multiply four kernels and must not overflow.
LARGEST = 1e75


class AbstractLimitOps(AbstractOps):
    """Operations on tapes; `earlier` masks the steps that may be read, (time,)."""

    plan: Plan
    variances: Variances
    tapes: Tapes
    earlier: Bool[Array, " t"]
    numbers: dict[str, Numbers]
    appended: collections.Counter[str]
    seen: dict

    @staticmethod
    def bounded(norms: list[Float[Array, ""]]) -> Bool[Array, ""]:
        """Whether no squared norm is NaN or beyond the largest."""
        return (jnp.stack(norms) < LARGEST).all()

    def variance(self, matrix: MatrixHandle, record: str):
        """Variance of a new Gaussian of the record, for each inner product of the inputs."""
        if matrix.declared.fresh:
            return matrix.declared.sigma**2 * self.variances.ratios[record]
        return self.variances.born[record]

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
