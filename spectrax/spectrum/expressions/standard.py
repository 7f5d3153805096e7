"""Standard laws as pencils of a few lines."""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from spectrax import _kind, check
from spectrax.spectrum.expressions.expression import Spaces
from spectrax.spectrum.expressions.pencil import Pencil


def product_law(*aspects: ArrayLike, sigma: ArrayLike = 1.0) -> Pencil:
    r"""The law of $W^\top W$ for $W = X_p \cdots X_1$, independent Gaussian matrices.

    Args:
        aspects: rows of $X_1, \dots, X_p$ relative to the columns of $X_1$; ones for square
            matrices, whose upper edge is $(p+1)^{p+1}/p^p$ (Fuss-Catalan).
        sigma: entries of every matrix have variance $\sigma^2$ / columns.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
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
        x = spaces.gaussian(rows, cols, check.positive("sigma", sigma) ** 2) @ x
    return Pencil.gram(v, x)


def population_law(
    values: Sequence[ArrayLike], weights: Sequence[ArrayLike], aspect: ArrayLike
) -> Pencil:
    r"""The law of $\Sigma^{1/2} X^\top X\, \Sigma^{1/2}$: data with a given population spectrum.

    $$m = \sum_k w_k m_k, \qquad m_k = \frac1{z - t_k s}, \qquad
      s = \frac\alpha{1 - \sum_k w_k t_k m_k}, \qquad \text{entries of } X
      \text{ of variance } 1/M$$

    Args:
        values: eigenvalues $t_k$ of $\Sigma$.
        weights: their shares $w_k$ of the M columns; they are normalised.
        aspect: rows per column $\alpha$ of X.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
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
    weights = [check.positive("weights", weight) for weight in weights]
    total = sum(weights)
    names = [f"part{k}" for k in range(len(values))]
    shares = dict(zip(names, [weight / total for weight in weights], strict=True))
    spaces = Spaces(rows=aspect, **shares)
    parts = [spaces.vector(name) for name in names]
    image = None
    for name, value, part in zip(names, values, parts, strict=True):
        # variance 1 / M, whatever the share of this part is
        X = spaces.gaussian("rows", name, check.positive("values", value) * shares[name])
        image = X @ part if image is None else image + X @ part
    return Pencil.gram(parts, image)


def free_sum(first: Pencil, second: Pencil) -> Pencil:
    r"""Free additive convolution: the law of A + B for independent matrices of two laws.

    Args:
        first: a law about one vector.
        second: another.

    Raises:
        ValueError: if a law asks about several vectors.

    Examples:
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
    (u,), (v,) = _only_probe("first", first), _only_probe("second", second)
    return _joined(_unit_scale(first), _unit_scale(second), (u, u), v, (u,), None)


def free_product(first: Pencil, second: Pencil) -> Pencil:
    r"""Free multiplicative convolution: the law of $W_1^\top (W_2^\top W_2) W_1$, independent.

    The eigenvalues that are not zero are those of the product of $W_2^\top W_2$ and
    $W_1 W_1^\top$. Rows of $W_1$ are columns of $W_2$, whatever the ratios of the two laws are
    relative to.

    Args:
        first: the law of $W_1^\top W_1$, made by `Pencil.gram`.
        second: the law of $W_2^\top W_2$, about one vector.

    Raises:
        ValueError: if one is the law of a symmetric matrix, or the second about several vectors.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> square = sx.product_law(1.0)
        >>> print(f"{sx.free_product(square, square).edges()[1]:.4f}")  # Fuss-Catalan
        6.7500

    Source: theory page, section 5.2.
    """
    for name, law in (("first", first), ("second", second)):
        if law.output is None:
            raise ValueError(f"Argument `{name}` must be made by Pencil.gram, got another law.")
    (v,) = _only_probe("second", second)
    # w = W_1 v is given to W_2; what comes back, (W_2^T W_2) w, starts the adjoint half of the
    # first law, which w itself started: every link out of w.
    back, w = len(first.spaces), first.output
    links = tuple((i, back if j == w else j, b, t) for i, j, b, t in first.links)
    opened = eqx.tree_at(lambda law: law.scale, first, first.scale * second.scale)
    opened = replace(opened, links=links, spaces=(*first.spaces, first.spaces[w]))
    second = eqx.tree_at(lambda law: law.scale, second, jnp.ones(()))
    output = back + 1 + second.output - (second.output > v)
    return _joined(opened, second, (back, w), v, first.probes, output)


def _only_probe(name: str, law: Pencil) -> tuple[int]:
    if len(_kind.law(name, law).probes) != 1:
        raise ValueError(
            f"Argument `{name}` must be a law about one vector, got one about {len(law.probes)}."
        )
    return law.probes


def _unit_scale(law: Pencil) -> Pencil:
    """The same law with its scale in the links to the given vector."""
    into = np.isin([i for i, *_ in law.links], law.probes)
    new = law.coefficients * jnp.where(into, law.scale, 1.0), jnp.ones(())
    return eqx.tree_at(lambda law: (law.coefficients, law.scale), law, new)


def _joined(first, second, ends, v, probes, output) -> Pencil:
    """One system of two; the vector v of the second is `ends` (into, out of) of the first."""
    into, out = ends
    fields, spaces, blocks = len(first.spaces), len(first.ratios), len(first.blocks)
    unit = first.ratios[first.spaces[out]] / second.ratios[second.spaces[v]]

    def place(k, end):
        return end if k == v else fields + k - (k > v)

    def space(s):
        return first.spaces[out] if s == second.spaces[v] else spaces + s

    links = tuple(
        (place(i, into), place(j, out), b + blocks if b >= 0 else -1, t)
        for i, j, b, t in second.links
    )
    return Pencil(
        first.scale,
        jnp.concatenate([first.ratios, second.ratios * unit]),
        jnp.concatenate([first.variances, second.variances]),
        jnp.concatenate([first.coefficients, second.coefficients]),
        first.spaces + tuple(space(s) for k, s in enumerate(second.spaces) if k != v),
        first.blocks + tuple((space(r), space(c)) for r, c in second.blocks),
        first.links + links,
        probes,
        output,
    )
