"""Symmetric random matrices whose spikes remember them: what belongs to their law."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax._batches import over_batches
from spectrax.seam import SymmetricSpikes
from spectrax.spectrum.coupled import (
    bulk_edges,
    critical_strength,
    locate,
    lowest_strength,
    overlap_parts,
    transfer_matrix,
)


@transfer_matrix.register
@over_batches
def _(spikes: SymmetricSpikes) -> Float[Array, "k k"]:
    r"""Matrix whose eigenvalues are the effective spike strengths $\theta$.

    $$\mathcal{T} = \begin{bmatrix} I & K \\ 0 & I \end{bmatrix}
      \begin{bmatrix} \sigma^2 R^\top & 0 \\ C & \sigma^2 R \end{bmatrix}$$

    Source: theory page, section 2.2.
    """
    S = spikes.sigma**2 * spikes.R
    right = jnp.block([[S.T, jnp.zeros_like(S)], [spikes.C, S]])
    q = S.shape[0]
    return right.at[:q].add(spikes.K @ right[q:])


@critical_strength.register
def _(spikes: SymmetricSpikes) -> Float[Array, ""]:
    return spikes.sigma


@bulk_edges.register
def _(spikes: SymmetricSpikes) -> tuple[Float[Array, ""], Float[Array, ""]]:
    return -2 * spikes.sigma, 2 * spikes.sigma


@lowest_strength.register
def _(spikes: SymmetricSpikes) -> Float[Array, ""]:
    return -jnp.inf * jnp.ones_like(spikes.sigma)


@locate.register
def _(spikes: SymmetricSpikes, strength: Float[Array, " n"]) -> Float[Array, " n"]:
    return strength + spikes.sigma**2 / strength


@overlap_parts.register
def _(spikes: SymmetricSpikes, strength: Float[Array, " n"]) -> tuple:
    r"""With $(1/N)\, x_k^\top (z - W)^{-1} x_l = [x (1 - x\mathcal{T})^{-1} \mathcal{L}S]_{c_k,l}$.

    $S = [\sigma^2R^\top; C]$, $x = G(z)$: at the pole $x = 1/\theta$ the residue is that of the
    projector times $(\theta^2 - \sigma^2)/\theta^2$.
    """
    source = jnp.concatenate([spikes.sigma**2 * spikes.R.T + spikes.K @ spikes.C, spikes.C])
    return source, (strength**2 - spikes.sigma**2) / strength**2
