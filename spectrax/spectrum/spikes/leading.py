"""Leading strengths of one matrix and their eigenvectors."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from spectrax.seam import CoupledSpikes
from spectrax.spectrum.spikes._roots import null_vectors, roots
from spectrax.spectrum.spikes.eigen import (
    CLOSE,
    DEFECTIVE,
    eigenvalues,
    eigenvectors,
    on_cpu,
)
from spectrax.spectrum.spikes.transfer_matrix import transfer_matrix, usable


class Vectors(NamedTuple):
    r"""Right vectors r = (a, c) and dual left ones l = (left_a, left_c) of $\mathcal{T}$.

    The first axis is real and imaginary part: what follows is linear in each, without complex
    numbers.
    """

    a: Float[Array, "2 m p"]
    c: Float[Array, "2 m q"]
    b: Float[Array, "2 m q"]  # a = K c + sigma^2 Re^T b
    left_a: Float[Array, "2 m p"]
    left_c: Float[Array, "2 m q"]
    left_b: Float[Array, "2 m p"]  # left_c = sigma^2 Rf^T left_b
    mean: Float[Array, "count m"]  # averages over equal eigenvalues


def leading(spikes: CoupledSpikes, count: int, sign: float) -> Float[Array, "2 count"]:
    """Strengths of largest (sign = 1) or lowest (-1) real part: real and imaginary parts.

    On CPUs from the transfer matrix: one nonsymmetric eigenproblem takes as long as two symmetric
    ones, and a root needs ten and more. Elsewhere real ones, as in `real_strengths`.
    """

    def transfer(spikes):
        return _parts(_first(eigenvalues(_matrix(spikes)), count, sign)[0])

    def symmetric(spikes):
        _, (root, found) = roots(usable(spikes), count, sign)
        return _parts(_first(jnp.where(found, root, 0.0), count, sign)[0])

    return on_cpu(transfer, symmetric, spikes)


def leading_vectors(
    spikes: CoupledSpikes, count: int, more: int, sign: float
) -> tuple[Float[Array, "2 count"], Vectors]:
    """The same and their vectors; `more` eigenvalues behind them may be equal to the last."""

    def transfer(spikes):
        values, right = eigenvectors(_matrix(spikes))
        values, order = _first(values, count + more, sign)
        right, p = right[:, order].T, spikes.K.shape[0]
        vectors = dual_vectors(spikes, values, right[:, :p], right[:, p:], count)
        return _parts(values[:count]), vectors

    def symmetric(spikes):
        spikes = usable(spikes)
        number = min(count + more, sum(spikes.K.shape))
        values, a, c = null_vectors(spikes, number, sign)
        values, order = _first(values, number, sign)
        return _parts(values[:count]), dual_vectors(spikes, values, a[order], c[order], count)

    return on_cpu(transfer, symmetric, spikes)


def dual_vectors(
    spikes: CoupledSpikes,
    values: Inexact[Array, " m"],
    a: Inexact[Array, "m p"],
    c: Inexact[Array, "m q"],
    count: int,
) -> Vectors:
    """All vectors from right ones, real or complex; zero where the eigenvalue is.

    The transfer matrix is a product of two symmetric matrices, so that l = H r with
    H = [Cf, σ²Rf; σ²Rfᵀ, 0]. Within a group of equal eigenvalues l is the dual basis.
    """
    Sf, size = spikes.sigma**2 * spikes.Rf, jnp.max(jnp.abs(values))
    here = (jnp.abs(values) > DEFECTIVE * size)[:, None]
    a, c = jnp.where(here, a, 0.0), jnp.where(here, c, 0.0)
    la, lc = a @ spikes.Cf.T + c @ Sf.T, a @ Sf
    b = spikes.aspect * (lc + la @ spikes.K) / jnp.where(here[:, 0], values, 1.0)[:, None]
    norm = jnp.hypot(*(jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (la, lc)))
    left = [x / jnp.where(norm > 0, norm, 1.0) for x in (la, lc, a)]
    equal = jnp.abs(values[:, None] - values[None, :]) <= CLOSE * size
    dual = _inverse(jnp.where(equal, left[0] @ a.T + left[1] @ c.T, 0.0))
    equal = equal[:count] & here[:, 0]
    mean = equal / jnp.maximum(equal.sum(axis=-1, keepdims=True), 1)
    full = (a, c, b, *(dual @ x for x in left))
    return Vectors(*(_parts(jnp.where(here, x, 0.0)) for x in full), mean)


def _matrix(spikes):
    """The transfer matrix; zero if it is not finite."""
    matrix = transfer_matrix(spikes)
    return jnp.where(jnp.all(jnp.isfinite(matrix)), matrix, 0.0)


def _first(values, number, sign):
    order = jnp.argsort(-sign * values.real)[:number]
    return values[order], order


def _parts(x):
    return jnp.stack([x.real, x.imag])


def _inverse(gram):
    """Pseudo-inverse: zero for Jordan blocks."""
    if gram.shape[-1] > 1:
        return jnp.linalg.pinv(gram, rtol=DEFECTIVE)
    return jnp.where(gram == 0, 0.0, 1 / jnp.where(gram == 0, 1.0, gram))
