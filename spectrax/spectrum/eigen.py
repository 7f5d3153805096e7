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
    values = jnp.linalg.eigvals(matrix)
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
    values, left, right = jax.lax.linalg.eig(matrix)
    order = jnp.argsort(-values.real)
    values, left, right = values[order], left[:, order], right[:, order]
    gram = jnp.where(_neighbours(values), left.conj().T @ right, 0.0)
    return values, right, jnp.linalg.pinv(gram, rtol=DEFECTIVE) @ left.conj().T


def _neighbours(values: Complex[Array, " n"]) -> Bool[Array, "n n"]:
    """Which eigenvalues count as equal."""
    return jnp.abs(values[:, None] - values[None, :]) <= CLOSE * jnp.max(jnp.abs(values))
