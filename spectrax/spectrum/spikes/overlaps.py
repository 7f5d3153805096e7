"""Overlaps of the fields of the spikes: with the outliers' vectors, and through the resolvent."""

from functools import singledispatch

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Inexact

from spectrax import check
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.laws.classical import MarchenkoPastur, Semicircle
from spectrax.spectrum.spikes.eigen import leading_projectors
from spectrax.spectrum.spikes.outliers import outliers
from spectrax.spectrum.spikes.transfer_matrix import (
    overlap_parts,
    transfer_matrix,
    transpose,
    usable,
)


@compiled("count", "side", "end")
@over_batches
def overlaps(
    spikes: CoupledSpikes | SymmetricSpikes,
    count: int = 1,
    *,
    side: str = "right",
    end: str = "above",
) -> Float[Array, "count n n"]:
    r"""Overlaps of the outliers' singular vectors with the fields of the spikes.

    $$\frac1M (v\cdot e_k)(v\cdot e_l) =
      \Big[\frac{r\, l^\top \mathcal{L} S}{l^\top r}\Big]_{c_k,l}
      \frac{-m}{\theta^2}\frac{dz}{dx}, \qquad
      S = \begin{bmatrix}\sigma^2R_e^\top\\ C_e\end{bmatrix}, \quad
      \mathcal{L} = \begin{bmatrix} I & K\\ 0 & I\end{bmatrix}$$

    with the unit right singular vector v, $x = 1/\theta^2$, $m = x/(1+\sigma^2x)$ and
    $dz/dx = -1/x^2 + \alpha_W\sigma^4$. Equal strengths (class copies) have no separate vectors:
    each of them gets the mean over their common space, so that their sum is the overlap of the
    fields with that space.

    Args:
        spikes: p spikes on the left, q on the right.
        count: how many outliers, farthest out first.
        side: "right" for v and the fields e; "left" for u and the fields f, divided by N. A
            symmetric matrix has one kind of vectors.
        end: outliers "above" or "below" the bulk.

    Returns:
        The overlaps, shape (count, q, q) or (count, p, p), zero where there is no outlier.

    Raises:
        ValueError: if count or side is out of range.

    Source: theory page, section 1.5.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> overlaps(spikes).round(4).tolist()  # strength 4: (16 - 1) / (4 * 5)
        [[[0.75]]]
    """
    check.one_of("side", side, ("right", "left"))
    check.one_of("end", end, ("above", "below"))
    if side == "left" and isinstance(spikes, CoupledSpikes):
        spikes = transpose(spikes)
    found = outliers(spikes, count, side=end)
    spikes = usable(spikes)
    p, sign = spikes.K.shape[0], 1.0 if end == "above" else -1.0
    projectors = leading_projectors(sign * transfer_matrix(spikes), count).real
    dimension = jnp.maximum(1.0, jnp.round(jnp.trace(projectors, axis1=1, axis2=2)))
    source, slope = overlap_parts(spikes, jnp.where(found.escaped, found.strength, 1.0))
    residue = projectors[:, p:] @ source / dimension[:, None, None]  # (count, q, q)
    return jnp.where(found.escaped[:, None, None], slope[:, None, None] * residue, 0.0)


@compiled()
@over_batches
def resolvent_overlaps(
    spikes: CoupledSpikes | SymmetricSpikes, z: ArrayLike
) -> Inexact[Array, "*z q q"]:
    r"""Matrix elements of the resolvent between the fields of the spikes.

    $$\frac1M e_k^\top (z - W^\top W)^{-1} e_j =
      \big[m\,(1 - x\mathcal{T})^{-1}\mathcal{L}S\big]_{c_k,j}, \qquad
      x = \frac{m}{1-\sigma^2m}$$

    with m, $\mathcal T$, $\mathcal L$, S of sections 1.2 and 1.5; for symmetric matrices
    $x = m = G(z)$. The Laplace transform of `projected_probe` at p is s times this at z = sp.

    Args:
        spikes: p spikes on the left, q on the right.
        z: off the spectrum, real or complex, any shape.

    Returns:
        The elements, shape (*z, q, q).

    Source: theory page, section 6.5.

    Examples:
        >>> import jax.numpy as jnp, spectrax as sx
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = sx.CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> print(f"{resolvent_overlaps(spikes, -1.0)[0, 0]:.4f}")
        -0.2445
    """
    m = _stieltjes(spikes, z)[..., None, None]
    x = m / (1 - spikes.sigma**2 * m) if isinstance(spikes, CoupledSpikes) else m
    matrix = transfer_matrix(spikes)
    source, _ = overlap_parts(spikes, jnp.ones(1))
    right = jnp.linalg.solve(jnp.eye(len(matrix)) - x * matrix, m * source)
    return right[..., -spikes.K.shape[-1] :, :]


@singledispatch
def _stieltjes(spikes: CoupledSpikes, z):
    return MarchenkoPastur(spikes.aspect, spikes.sigma).stieltjes(z)


@_stieltjes.register
def _(spikes: SymmetricSpikes, z):
    return Semicircle(spikes.sigma).stieltjes(z)
