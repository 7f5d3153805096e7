"""Squared singular values of an array: all of them, or Lanczos nodes where that takes too long."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from spectrax.empirical.fit import Levels

DENSE = 2048  # up to this smaller dimension all eigenvalues take seconds
PROBES, DEPTH = 16, 128  # of the Lanczos density: fraction below x to about 0.3 % at p = 4096


def levels_of(W: np.ndarray, method: str) -> Levels:
    """Levels of W / √cols by "dense" or "lanczos"."""
    tall = W if W.shape[0] >= W.shape[1] else W.T
    if method == "dense":
        tall = tall.astype(np.float64)
        gram = tall.T @ tall / W.shape[1]
        nodes = _without_rounding(scipy.linalg.eigvalsh(gram, overwrite_a=True)[None, ::-1], 2e-16)
        weights = np.full(nodes.shape, 1.0 / nodes.size)
        return Levels(*W.shape, nodes, weights, float(np.sum(nodes)))
    tall = tall.astype(np.float32)
    scale = float(np.abs(tall).max()) or 1.0  # products of tiny entries vanish in single precision
    tall = tall / np.float32(scale * np.sqrt(W.shape[1]))
    nodes, weights = lanczos_density(tall)
    nodes = _without_rounding(nodes, 1e-7)
    trace = float(sum(np.vdot(row, row) for row in tall.astype(np.float32, copy=False)))
    return Levels(*W.shape, nodes * scale**2, weights, trace * scale**2)


def _without_rounding(nodes: np.ndarray, eps: float) -> np.ndarray:
    """What is zero within rounding errors becomes zero: it must not pass for a bulk."""
    return np.where(nodes > 8 * eps * nodes.max(), nodes, 0.0)


def lanczos_density(
    W, *, num_probes: int = PROBES, depth: int = DEPTH, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Stochastic Lanczos quadrature: the spectrum of $W^\top W$ as seen by random vectors.

    $$\frac1M\,\mathrm{tr}\,f(W^\top W) \approx \frac1{\text{probes}}\sum_{a,j} w_{aj} f(x_{aj})$$

    By products with W and its transpose, in single precision, with full reorthogonalisation
    (`matfree`). Memory: W once, and num_probes × depth × M numbers.

    Args:
        W: (N, M) with N ≥ M (otherwise the density includes the zeros of $W^\top W$).
        num_probes: random vectors; the statistical error falls like one over the root.
        depth: Lanczos steps, at most M; isolated eigenvalues converge exponentially in it.
        seed: of the random vectors.

    Returns:
        Nodes, descending, and their weights, (num_probes, depth) each; the weights of each probe
        have sum one.

    Raises:
        ImportError: if matfree is missing.

    Examples:
        >>> import numpy as np
        >>> from spectrax.empirical import lanczos_density
        >>> W = np.random.default_rng(0).normal(size=(60, 30)) / 30**0.5
        >>> nodes, weights = lanczos_density(W, num_probes=4, depth=30)
        >>> bool(abs(nodes[0, 0] - np.linalg.norm(W, 2) ** 2) < 1e-4)  # the largest eigenvalue
        True
    """
    W = jnp.asarray(W, jnp.float32)
    depth = min(depth, W.shape[1])
    # A stream of its own: weights that were drawn from the same seed must not know these vectors.
    start = np.random.default_rng((seed, 20010323)).normal(size=(num_probes, W.shape[1]))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    jacobi = _tridiagonal(W, jnp.asarray(start, jnp.float32), depth)
    diagonals, offs = (np.asarray(x, np.float64) for x in jacobi)
    found = [scipy.linalg.eigh_tridiagonal(d, o) for d, o in zip(diagonals, offs, strict=True)]
    nodes = np.stack([values[::-1] for values, _ in found])
    return np.maximum(nodes, 0.0), np.stack([vectors[0, ::-1] ** 2 for _, vectors in found])


@functools.partial(jax.jit, static_argnames="depth")
def _tridiagonal(W: Float[Array, "n m"], start: Float[Array, "probes m"], depth: int):
    """Diagonals and off-diagonals of W^T W in the Krylov basis of each start."""
    try:
        from matfree import decomp
    except ImportError as error:
        raise ImportError(
            "Matrices too large to decompose need matfree: pip install 'spectrax-dmft[checkpoints]'"
        ) from error
    lanczos = decomp.tridiag_sym(depth, materialize=False, custom_vjp=False)
    with jax.default_matmul_precision("highest"):  # accelerators round products to 3 digits
        return jax.vmap(lambda v: lanczos(lambda x: (W @ x) @ W, v).J_small)(start)
