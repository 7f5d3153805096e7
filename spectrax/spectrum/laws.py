"""Standard laws as pencils of a few lines."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.typing import ArrayLike

from spectrax import _check
from spectrax.spectrum.expression import Spaces
from spectrax.spectrum.pencil import Pencil


def product_law(*aspects: ArrayLike, sigma: ArrayLike = 1.0) -> Pencil:
    r"""The law of $W^\top W$ for $W = X_p \cdots X_1$, independent Gaussian matrices.

    Args:
        aspects: rows of $X_1, \dots, X_p$ relative to the columns of $X_1$; ones for square
            matrices, whose upper edge is $(p+1)^{p+1}/p^p$ (Fuss-Catalan).
        sigma: entries of every matrix have variance $\sigma^2$ / columns.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Example:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> print(f"{sx.product_law(1.0, 1.0, 1.0).edges()[1]:.4f}")  # 256/27
        9.4815

    Source: theory page, section 5.2.
    """
    if not aspects:
        raise ValueError("Argument `aspects` must name at least one matrix, got none.")
    names = [f"rows{k}" for k in range(len(aspects))]
    spaces = Spaces(columns=1.0, **dict(zip(names, aspects, strict=True)))
    v = x = spaces.vector("columns")
    for rows, cols in zip(names, ["columns", *names], strict=False):
        x = spaces.gaussian(rows, cols, _check.positive("sigma", sigma) ** 2) @ x
    return Pencil.gram(v, x)


def population_law(
    values: Sequence[ArrayLike], weights: Sequence[ArrayLike], aspect: ArrayLike
) -> Pencil:
    r"""The law of $\Sigma^{1/2} X^\top X\, \Sigma^{1/2}$: data with a given population spectrum.

    $$m = \sum_k w_k \frac1{z - t_k\,\alpha/(1 - \sum_j w_j t_j m_j)}, \qquad
      \text{entries of } X \text{ of variance } 1/M$$

    Args:
        values: eigenvalues $t_k$ of $\Sigma$.
        weights: their shares $w_k$ of the M columns; they are normalised.
        aspect: rows per column $\alpha$ of X.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Example:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> law = sx.population_law([1.0, 20.0], [0.8, 0.2], 8.0)
        >>> [round(float(x), 2) for x in law.support(2).ravel()]
        [3.6, 13.58, 114.25, 215.43]

    Source: theory page, section 5.2 (Silverstein and Bai, 1995).
    """
    if len(values) != len(weights) or not len(values):
        raise ValueError(
            f"Argument `weights` must have one entry for each of {len(values)} values, "
            f"got {len(weights)}."
        )
    weights = [_check.positive("weights", weight) for weight in weights]
    total = sum(weights)
    names = [f"part{k}" for k in range(len(values))]
    shares = dict(zip(names, [weight / total for weight in weights], strict=True))
    spaces = Spaces(rows=aspect, **shares)
    parts = [spaces.vector(name) for name in names]
    image = None
    for name, value, part in zip(names, values, parts, strict=True):
        # variance 1 / M, whatever the share of this part is
        X = spaces.gaussian("rows", name, _check.positive("values", value) * shares[name])
        image = X @ part if image is None else image + X @ part
    return Pencil.gram(parts, image)


def free_sum(first: Pencil, second: Pencil) -> Pencil:
    r"""Free additive convolution: the law of A + B for independent matrices of two laws.

    Args:
        first: a law about one vector.
        second: another.

    Raises:
        ValueError: if a law asks about several vectors.

    Example:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> spaces = sx.Spaces(N=1.0)
        >>> X, v = spaces.gaussian("N", "N", 0.5), spaces.vector("N")
        >>> semicircle = sx.Pencil.symmetric(v, X @ v + X.T @ v)
        >>> low, high = sx.free_sum(semicircle, semicircle).edges()  # variances add
        >>> print(f"{high**2:.4f}")
        8.0000

    Source: theory page, section 5.2.
    """
    if len(first.probes) != 1 or len(second.probes) != 1:
        raise ValueError("Argument `second` must be a law about one vector, as must the first.")
    fields, spaces, blocks = len(first.spaces), len(first.ratios), len(first.blocks)
    (u,), (v,) = first.probes, second.probes
    place = [u if k == v else fields + k - (k > v) for k in range(len(second.spaces))]
    unit = first.ratios[first.spaces[u]] / second.ratios[second.spaces[v]]

    def space(s):
        return first.spaces[u] if s == second.spaces[v] else spaces + s

    def scaled(law):
        into = jnp.array([law.scale if i in law.probes else 1.0 for i, *_ in law.links])
        return law.coefficients * into

    return Pencil(
        jnp.ones(()),
        jnp.concatenate([first.ratios, second.ratios * unit]),
        jnp.concatenate([first.variances, second.variances]),
        jnp.concatenate([scaled(first), scaled(second)]),
        first.spaces + tuple(space(s) for k, s in enumerate(second.spaces) if k != v),
        first.blocks + tuple((space(r), space(c)) for r, c in second.blocks),
        first.links
        + tuple(
            (place[i], place[j], b + blocks if b >= 0 else -1, t) for i, j, b, t in second.links
        ),
        (u,),
        None,
    )
