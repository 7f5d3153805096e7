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
    that stays positive semi-definite has none there either; they get zero.

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


@gram_root.defjvp
def _gram_root_jvp(primals, tangents):
    (gram,), (move,) = primals, tangents
    root = gram_root(gram)
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(gram))
    null = values <= ROUNDING * jnp.max(values)
    projector = (vectors * null) @ vectors.T

    def pair(X):
        return root @ X + X @ root + projector @ X @ projector

    def solve(_, B):
        sizes = jnp.sqrt(jnp.where(null, 0.0, values))
        sums = sizes[:, None] + sizes[None, :] + (null[:, None] & null[None, :])
        return vectors @ (vectors.T @ B @ vectors / sums) @ vectors.T

    move = (move + move.T) / 2
    move = move - projector @ move @ projector
    return root, jax.lax.custom_linear_solve(pair, move, solve, symmetric=True)
