"""Leading eigenvalues of real nonsymmetric matrices, with derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

# Eigenvalues closer than this (relative to the largest) share one eigenspace: far above rounding,
# far below any gap that a derivative could follow.
CLOSE = 1e-7
# Left and right vectors more orthogonal than this belong to a Jordan block, not to an eigenspace.
DEFECTIVE = 1e-13


def on_cpu(nonsymmetric, symmetric, *args):
    """A function of nonsymmetric eigenproblems on CPUs, one of symmetric ones elsewhere.

    TPUs have no nonsymmetric eigensolver; that of GPUs takes one matrix after the other.
    """
    return jax.lax.platform_dependent(*args, cpu=nonsymmetric, default=symmetric)


def eigenvalues(matrix: Float[Array, "... n n"]) -> Complex[Array, "... n"]:
    """All eigenvalues of real matrices, not sorted.

    Of matrices beyond 1e138 or below 1e-138 some builds of LAPACK return those of the matrix that
    they scaled: here all are of order one.
    """
    unit = _unit(matrix)
    return jnp.linalg.eigvals(matrix / unit) * unit[..., 0]


def eigenvectors(
    matrix: Float[Array, "... n n"],
) -> tuple[Complex[Array, "... n"], Complex[Array, "... n n"]]:
    """The same with right eigenvectors as columns."""
    unit = _unit(matrix)
    values, right = jax.lax.linalg.eig(matrix / unit, compute_left_eigenvectors=False)
    return values * unit[..., 0], right


def _unit(matrix):
    """The power of two above all entries, (..., 1, 1): dividing by it rounds nothing."""
    size = jnp.max(jnp.abs(matrix), axis=(-2, -1), keepdims=True, initial=0.0)
    return jnp.ldexp(jnp.ones_like(size), jnp.clip(jnp.frexp(size)[1], -1000, 1000))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def leading_eigenvalues(
    matrix: Float[Array, "n n"], count: int
) -> tuple[Float[Array, " count"], Float[Array, " count"]]:
    r"""The `count` eigenvalues of largest real part, with $d\lambda = l^\top dM\, r / l^\top r$.

    Equal eigenvalues (class copies) share the mean derivative of their eigenspace,
    $d\lambda = \mathrm{tr}(\Pi\, dM) / \mathrm{tr}\,\Pi$, which is right for each of them when the
    perturbation keeps them equal, right for their sum always, and independent of the basis.
    Jordan blocks, where no derivative exists, get a finite value. Forward and reverse mode, first
    order (a second derivative raises NotImplementedError).

    Args:
        matrix: real and finite, shape (n, n).
        count: number of eigenvalues, at most n.

    Returns:
        Real parts, descending, and imaginary parts, each of shape (count,).

    Examples:
        >>> import jax.numpy as jnp
        >>> real, imag = leading_eigenvalues(jnp.array([[1.0, 5.0], [0.0, 2.0]]), 1)
        >>> float(real[0]), float(imag[0])
        (2.0, 0.0)
    """
    values = eigenvalues(matrix)
    top = values[jnp.argsort(-values.real)[:count]]
    return top.real, top.imag


@leading_eigenvalues.defjvp
def _leading_eigenvalues_jvp(count, primals, tangents):
    (matrix,), (dmatrix,) = primals, tangents
    values, right, dual = _eigensystem(matrix)
    moves = jnp.sum((dual @ dmatrix.astype(dual.dtype)) * right.T, axis=1)  # (n,)
    groups = _neighbours(values)[:count]  # (count, n)
    mean = groups.astype(moves.dtype) @ moves / groups.sum(axis=1)
    top = values[:count]
    return (top.real, top.imag), (mean.real, mean.imag)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def leading_projectors(matrix: Float[Array, "n n"], count: int) -> Complex[Array, "count n n"]:
    r"""Spectral projectors $\Pi_j = r_j l_j^\top / l_j^\top r_j$ of the leading eigenvalues.

    For equal eigenvalues each member gets the projector on the whole eigenspace. The derivative is
    $d\Pi = S\, dM\, \Pi + \Pi\, dM\, S$ with the reduced resolvent
    $S = (\lambda - M + \Pi)^{-1}(1 - \Pi)$, at any order where the eigenvalues stay apart.

    Args:
        matrix: real and finite, shape (n, n).
        count: number of projectors, in the order of `leading_eigenvalues`.

    Returns:
        The projectors, complex, shape (count, n, n).
    """
    values, right, dual = _eigensystem(matrix)
    groups = _neighbours(values)[:count]  # (count, n)
    return jnp.einsum("ik,jk,kl->jil", right, groups.astype(right.dtype), dual)


@leading_projectors.defjvp
def _leading_projectors_jvp(count, primals, tangents):
    (matrix,), (dmatrix,) = primals, tangents
    projectors = leading_projectors(matrix, count)
    size = jnp.trace(projectors, axis1=1, axis2=2)
    size = jnp.where(jnp.abs(size) > 0.5, size, 1.0)  # a Jordan block has no projector
    matrix, dmatrix = matrix.astype(size.dtype), dmatrix.astype(size.dtype)
    values = jnp.einsum("ij,kji->k", matrix, projectors) / size
    eye = jnp.eye(matrix.shape[-1])
    shifted = values[:, None, None] * eye - matrix + projectors
    resolvent = jnp.linalg.solve(shifted, eye - projectors)
    resolvent = jnp.where(jnp.isfinite(resolvent), resolvent, 0.0)
    moved = resolvent @ dmatrix @ projectors
    return projectors, moved + projectors @ dmatrix @ resolvent


def _eigensystem(matrix):
    """Eigenvalues by descending real part, right vectors (columns), dual left vectors (rows).

    Inside a group of equal eigenvalues LAPACK's left and right bases are unrelated: the dual basis
    solves the group's block of U^H V. The pseudo-inverse drops Jordan blocks (U^H V = 0).
    """
    unit = _unit(matrix)
    values, left, right = jax.lax.linalg.eig(matrix / unit)
    values = values * unit[..., 0]
    order = jnp.argsort(-values.real)
    values, left, right = values[order], left[:, order], right[:, order]
    gram = jnp.where(_neighbours(values), left.conj().T @ right, 0.0)
    return values, right, jnp.linalg.pinv(gram, rtol=DEFECTIVE) @ left.conj().T


def _neighbours(values: Complex[Array, " n"]) -> Bool[Array, "n n"]:
    """Which eigenvalues count as equal."""
    return jnp.abs(values[:, None] - values[None, :]) <= CLOSE * jnp.max(jnp.abs(values))
