"""Squared singular values of an array: all, Lanczos nodes that stand for them, or the largest."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.experimental.sparse.linalg import lobpcg_standard
from jaxtyping import Array, Float

from spectrax import check

DENSE = 2048  # up to this smaller dimension all eigenvalues take seconds
PROBES, DEPTH = 16, 128  # of the Lanczos density: fraction below x to about 0.3 % at p = 4096
SMALL = 1500  # up to this dimension all singular values cost less than an iteration for a few


@dataclasses.dataclass(frozen=True)
class Levels:
    """Squared singular values of one matrix, or Lanczos nodes that stand for them.

    Args:
        rows, cols: shape of the matrix.
        nodes: squared singular values, descending: (1, p) all of them, or (probes, m) nodes.
        weights: of the nodes; each row has sum one.
        trace: sum of all squared singular values, exact.
    """

    rows: int
    cols: int
    nodes: np.ndarray
    weights: np.ndarray
    trace: float

    @property
    def small(self) -> int:
        """Number p of squared singular values."""
        return min(self.rows, self.cols)

    def above(self, threshold: float) -> np.ndarray:
        """Eigenvalues above a threshold, descending, of the probe that found most of them."""
        best = int(np.argmax((self.nodes > threshold).sum(1)))
        return self.nodes[best][self.nodes[best] > threshold]


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
    if min(W.shape) <= max(SMALL, 5 * (count + 4)):  # the iteration refuses those
        return jnp.linalg.svd(W, compute_uv=False)[:count] ** 2
    W = W if W.shape[1] <= W.shape[0] else W.T
    # a few spare directions speed up the convergence of the wanted ones
    start = np.random.default_rng(0).normal(size=(W.shape[1], count + 4))
    values, _, _ = lobpcg_standard(lambda x: W.T @ (W @ x), jnp.asarray(start, W.dtype), m=100)
    return values[:count]
