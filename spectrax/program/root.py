"""Square roots of Gram matrices, with derivatives where matrices are degenerate or singular."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ROUNDING = 1e-14  # eigenvalues below it, relative to the largest, are zero


@jax.custom_jvp
def gram_root(gram: Float[Array, "k k"]) -> Float[Array, "k k"]:
    r"""The symmetric root S of a positive semi-definite matrix, $S^2 = G$.

    Its derivative solves $S\,dS + dS\,S = dG$, which knows nothing of eigenvectors: equal
    eigenvalues do no harm. Directions in which G vanishes have no first derivative, since a matrix
    that stays positive semi-definite has none there either; they get zero. Derivatives of any order
    are those along matrices of one rank, whose null space turns.

    Args:
        gram: G; eigenvalues below zero are rounding errors and count as zero.

    Returns:
        S, symmetric, of the same shape. Derivatives in both modes, of any order.

    Examples:
        >>> import jax.numpy as jnp
        >>> gram_root(jnp.array([[4.0, 0.0], [0.0, 9.0]])).tolist()
        [[2.0, 0.0], [0.0, 3.0]]
    """
    values, vectors = jnp.linalg.eigh(gram)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))) @ vectors.T


@jax.custom_jvp
def _null_and_inverse(gram):
    """Projector on the null space, and the inverse of the rest."""
    values, vectors = jnp.linalg.eigh(gram)
    null = _is_null(values)
    inverse = jnp.where(null, 0.0, 1 / jnp.where(null, 1.0, values))
    return (vectors * null) @ vectors.T, (vectors * inverse) @ vectors.T


@_null_and_inverse.defjvp
def _null_and_inverse_jvp(primals, tangents):
    (gram,), (move,) = primals, tangents
    null, inverse = _null_and_inverse(gram)
    turn = inverse @ move @ null  # of the null space, relative to G
    further = inverse @ turn
    return (null, inverse), (-turn - turn.T, further + further.T - inverse @ move @ inverse)


def _is_null(values):
    return values <= ROUNDING * jnp.max(values)


@gram_root.defjvp
def _gram_root_jvp(primals, tangents):
    (gram,), (move,) = primals, tangents
    root = gram_root(gram)
    move = (move + move.T) / 2
    projector = _null_and_inverse((gram + gram.T) / 2)[0]
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(gram))

    def pair(X):
        return root @ X + X @ root + projector @ X @ projector

    def solve(_, B):
        null = _is_null(values)
        sizes = jnp.sqrt(jnp.where(null, 0.0, values))
        sums = sizes[:, None] + sizes[None, :] + (null[:, None] & null[None, :])
        return vectors @ (vectors.T @ B @ vectors / sums) @ vectors.T

    move = move - projector @ move @ projector
    return root, jax.lax.custom_linear_solve(pair, move, solve, symmetric=True)
