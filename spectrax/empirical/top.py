"""Largest eigenvalues of W^T W for a plain array W."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse.linalg import lobpcg_standard
from jaxtyping import Array, Float

from spectrax import check

DENSE = 1500  # up to this dimension all singular values cost less than an iteration


def top_eigenvalues(W: Float[Array | np.ndarray, "n m"], count: int = 1) -> Float[Array, " count"]:
    """Largest eigenvalues of W^T W (squared singular values of W), descending.

    Small matrices by their singular values; large ones matrix-free, by products with W and W^T
    (relative accuracy 1e-6 for separated eigenvalues, 1e-4 at the edge of a bulk).

    Args:
        W: any matrix, (n, m).
        count: how many.

    Returns:
        The eigenvalues.

    Raises:
        ValueError: one sentence naming the argument and its value, also if `count` exceeds the
            smaller dimension.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax import top_eigenvalues
        >>> top_eigenvalues(jnp.diag(jnp.array([1.0, 3.0, 2.0])), 2).tolist()
        [9.0, 4.0]
    """
    W = check.number("W", W)
    if W.ndim != 2:
        raise ValueError(f"Argument `W` must be a matrix, got an array of shape {W.shape}.")
    return _top(W, check.integer("count", count, 1, min(W.shape)))


@functools.partial(jax.jit, static_argnames="count")
def _top(W: Float[Array, "n m"], count: int) -> Float[Array, " count"]:
    """Of an array that is known to be a matrix."""
    if min(W.shape) <= max(DENSE, 5 * (count + 4)):  # the iteration refuses those
        return jnp.linalg.svd(W, compute_uv=False)[:count] ** 2
    W = W if W.shape[1] <= W.shape[0] else W.T
    # a few spare directions speed up the convergence of the wanted ones
    start = np.random.default_rng(0).normal(size=(W.shape[1], count + 4))
    values, _, _ = lobpcg_standard(lambda x: W.T @ (W @ x), jnp.asarray(start, W.dtype), m=100)
    return values[:count]
