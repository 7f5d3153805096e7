"""The mass of a law: its density at points where that is a cosine series, integrated."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax.spectrum.laws.continuation import in_batches

TOLERANCE = 1e-3  # a mass that is farther from one is a result code
DENSE = 5.0  # see `sampled`: for laws of several scales


class RESULTS(eqx.Enumeration):
    """Whether a law is resolved, each with its sentence: `RESULTS[law.result()]`."""

    resolved = "The density and the mass at zero add up to one."
    unresolved = (
        "The density and the mass at zero do not add up to one within 1e-3: the equations are not "
        "resolved here, or the law has an atom that is not at zero."
    )


def result_of(mass: ArrayLike) -> RESULTS:
    """The result code that belongs to a mass."""
    fine = jnp.abs(jnp.asarray(mass) - 1.0) <= TOLERANCE  # false for NaN

    def code(fine):
        return RESULTS.where(fine, RESULTS.resolved, RESULTS.unresolved)

    for _ in range(fine.ndim):
        code = jax.vmap(code)
    return code(fine)


class Sampled(NamedTuple):
    """A law at Chebyshev points of each interval, in a root of the eigenvalues."""

    power: Float[Array, " k"]  # which root
    x: Float[Array, "k n"]
    density: Float[Array, "k n"]
    residual: Float[Array, ""]  # largest defect of the self-consistent equation

    def integral(self, intervals: Float[Array, "k both"]) -> Float[Array, ""]:
        """The continuous part."""
        num = self.x.shape[1]
        low, high = (intervals.T ** (1 / self.power))[..., None]
        speed = self.power[:, None] * self.x ** (1 - 1 / self.power[:, None]) * (high - low) / 2
        return jnp.sum(self.density * speed * jnp.sin(angles(num))) * jnp.pi / num


def angles(num: int) -> Float[Array, " n"]:
    """Of the Chebyshev points."""
    return (jnp.arange(num) + 0.5) * jnp.pi / num


def smooth_power(law, intervals: Float[Array, "k both"]) -> Float[Array, " k"]:
    """Which root of the eigenvalues makes the density smooth in the angle, ends included."""
    low, high = intervals.T
    # Square roots do not feel how near to zero a positive interval begins.
    power = jnp.where(low > 0, 2.0, 1.0)
    if not law.positive or not (isinstance(low, jax.core.Tracer) or (low == 0).any()):
        return power
    return jnp.where(low == 0, _power_at_zero(law, high), power)


@eqx.filter_jit
def _power_at_zero(law, high):
    """At zero a density can diverge."""
    near = high[:, None] * jnp.array([1e-8, 1e-6])
    density = _solved(law, near.ravel())[0].reshape(near.shape)
    exponent = -jnp.log(density[:, 1] / density[:, 0]) / jnp.log(100.0)
    return jnp.nan_to_num(jnp.clip(0.5 / (1 - exponent), 1.0, 2.0), nan=1.0)


@eqx.filter_jit
def sampled(
    law,
    intervals: Float[Array, "k both"],
    power: Float[Array, " k"],
    num: int,
    dense: Float[Array, ""],
) -> Sampled:
    """A law at `num` points of each of its intervals; those of no width do not count.

    An odd number `dense` > 1 puts more of them near a lower end of zero, where a density can have
    scales of its own, but solutions have fewer digits.
    """
    low, high = intervals.T
    power = jnp.where(low == 0, dense, 1.0) * power
    lower, upper = intervals.T ** (1 / power)
    middle, half = (lower + upper)[:, None] / 2, (upper - lower)[:, None] / 2
    x = (middle - half * jnp.cos(angles(num))) ** power[:, None]
    density, residual = _solved(law, x.ravel())
    residual = jnp.where(high > low, residual.reshape(x.shape).max(1), 0.0)
    return Sampled(power, x, density.reshape(x.shape), jnp.max(residual))


def _solved(law, x):
    """Density and the defect of the equations at points."""

    def at(z):
        g = law.solve(z)
        return law.transform(g).imag, jnp.max(jnp.abs(g - law.update(g, z)))

    imaginary, residual = in_batches(law, at, x / law.scale + 0j)
    return jnp.maximum(-imaginary / (jnp.pi * law.scale), 0.0), residual
