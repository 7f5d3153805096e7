"""Rows and columns scaled to one variance."""

import numpy as np
from jax.typing import ArrayLike

ROUNDS = 30  # the spread of the row sums falls by the squared second singular value of W² each time
CLOSE = 1e-3


def equalise(W: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Bistochastic scaling: all rows and all columns get the same mean square.

    $$\tilde W_{ij} = \frac{W_{ij}}{r_i c_j}, \qquad
      \frac1M\sum_j \tilde W_{ij}^2 = \frac1N\sum_i \tilde W_{ij}^2 = 1$$

    Noise with row gains and column gains becomes noise of one variance, and a spike stays a spike
    of rank one: whatever outliers the gains made are gone, whatever they hid is seen.

    Args:
        W: a matrix without rows or columns of zeros, (N, M).

    Returns:
        The scaled matrix (N, M), gains of the rows (N,) and of the columns (M,), the latter with
        geometric mean one. Where the zeros of W allow no such scaling, the best of 30 rounds.

    Source: Sinkhorn and Knopp (1967) for the squared entries, as in arXiv:2103.13840.

    Examples:
        >>> import numpy as np
        >>> from spectrax.empirical import equalise
        >>> rng = np.random.default_rng(0)
        >>> gains = np.exp(rng.normal(size=100))
        >>> scaled, rows, cols = equalise(gains[:, None] * rng.normal(size=(100, 100)))
        >>> bool(abs(np.mean(scaled[7] ** 2) - 1) < 1e-2)
        True
        >>> bool(np.corrcoef(rows, gains)[0, 1] > 0.95)
        True
    """
    W = np.asarray(W)
    scale = np.abs(W).max()
    squares = (W / scale) ** 2
    N, M = squares.shape
    rows, cols = np.ones(N), np.ones(M)
    for _ in range(ROUNDS):
        rows = M / (squares @ cols).astype(np.float64)
        sums = (rows @ squares).astype(np.float64)
        if np.max(np.abs(sums * cols / N - 1)) < CLOSE:
            break
        cols = N / sums
    rows, cols = rows**-0.5, cols**-0.5
    unit = float(np.exp(np.mean(np.log(cols))))
    rows, cols = scale * unit * rows, cols / unit
    return W / rows[:, None].astype(W.dtype) / cols.astype(W.dtype), rows, cols
