"""Random matrices whose spikes remember them: the transfer matrix and what belongs to its law.

What depends on the kind of matrix is here, as functions that another kind of spikes overrides with
`register`; what follows from the eigenvalues of the transfer matrix is in `outliers.py`.
"""

from functools import singledispatch

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import _kind, check
from spectrax._batches import over_batches
from spectrax.seam import CoupledSpikes, SymmetricSpikes


@singledispatch
@over_batches
def transfer_matrix(spikes: CoupledSpikes) -> Float[Array, "k k"]:
    r"""Matrix whose eigenvalues are the effective spike strengths $\theta^2$.

    $$\mathcal{T} = \alpha_W
      \begin{bmatrix} I & K \\ 0 & I \end{bmatrix}
      \begin{bmatrix} \sigma^2 R_e^\top & 0 \\ C_e & \sigma^2 R_e \end{bmatrix}
      \begin{bmatrix} I & K^\top \\ 0 & I \end{bmatrix}
      \begin{bmatrix} \sigma^2 R_f^\top & 0 \\ C_f & \sigma^2 R_f \end{bmatrix}$$

    Args:
        spikes: p spikes on the left, q on the right.

    Returns:
        The real matrix $\mathcal{T}$, shape (p + q, p + q).

    Source: theory page, section 1.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 1.5 * one, aspect=0.5, sigma=1.0)
        >>> transfer_matrix(spikes).tolist()
        [[1.125, 0.0], [0.75, 0.0]]
    """
    variance = _kind.spikes(spikes).sigma ** 2
    product = assemble(spikes.Ce, spikes.Cf, variance * spikes.Re, variance * spikes.Rf, spikes.K)
    return spikes.aspect * product


def assemble(
    Ce: Float[Array, "q q"],
    Cf: Float[Array, "p p"],
    Se: Float[Array, "q p"],
    Sf: Float[Array, "p q"],
    K: Float[Array, "p q"],
) -> Float[Array, "k k"]:
    r"""The four factors of $\mathcal{T}/\alpha_W$ from $S_e = \sigma^2R_e$, $S_f = \sigma^2R_f$."""
    p, q = K.shape
    right = jnp.block([[Se.T, jnp.zeros((p, p))], [Ce, Se]])  # (p + q, q + p)
    left = jnp.block([[Sf.T, jnp.zeros((q, q))], [Cf, Sf]])  # (q + p, p + q)
    right = right.at[:p].add(K @ right[p:])  # [I K; 0 I] right
    left = left.at[:q].add(K.T @ left[q:])  # [I K^T; 0 I] left
    return right @ left


@singledispatch
def critical_strength(spikes: CoupledSpikes) -> Float[Array, ""]:
    r"""Strength $\sigma^2\sqrt{\alpha_W}$ above which a spike leaves the bulk.

    Args:
        spikes: of which only aspect and sigma matter.

    Returns:
        The critical strength, a scalar.

    Source: theory page, section 1.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 2 * one, aspect=4.0, sigma=1.0)
        >>> float(critical_strength(spikes))
        2.0
    """
    return _kind.spikes(spikes).sigma ** 2 * jnp.sqrt(spikes.aspect)


@singledispatch
def bulk_edges(spikes: CoupledSpikes) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""Lower and upper edge $\sigma^2(1 \mp \sqrt{\alpha_W})^2$ of the bulk of $W^\top W$."""
    variance, root = spikes.sigma**2, jnp.sqrt(spikes.aspect)
    return variance * (1 - root) ** 2, variance * (1 + root) ** 2


@singledispatch
def lowest_strength(spikes: CoupledSpikes) -> Float[Array, ""]:
    r"""Strength $-\sigma^2\max(1, \alpha_W)$ at which an outlier below the bulk reaches zero."""
    return -(spikes.sigma**2) * jnp.maximum(1.0, spikes.aspect)


@singledispatch
def locate(spikes: CoupledSpikes, strength: Float[Array, " n"]) -> Float[Array, " n"]:
    """Eigenvalues of real strengths beyond the threshold."""
    return location(strength, spikes.aspect, spikes.sigma)


@singledispatch
def overlap_parts(spikes: CoupledSpikes, strength: Float[Array, " n"]) -> tuple:
    r"""What overlaps are made of: $\mathcal{L}S$, (p + q, q), and $-m/\theta^2\, dz/dx$."""
    variance = spikes.sigma**2
    source = jnp.concatenate([variance * spikes.Re.T + spikes.K @ spikes.Ce, spikes.Ce])
    slope = (strength**2 - spikes.aspect * variance**2) / (strength * (strength + variance))
    return source, slope


def location(strength: ArrayLike, aspect: ArrayLike, sigma: ArrayLike = 1.0) -> Float[Array, "..."]:
    r"""Eigenvalue of $W^\top W$ made by a spike of strength $\theta^2$ beyond the threshold.

    $$z_\mathrm{out} = \frac{(\theta^2 + \sigma^2)(\theta^2 + \alpha_W \sigma^2)}{\theta^2}$$

    Args:
        strength: $\theta^2$, any shape.
        aspect: $\alpha_W$.
        sigma: $\sigma$.

    Returns:
        The eigenvalue, in the shape of strength.

    Source: theory page, section 1.2.

    Examples:
        >>> float(location(2.0, aspect=1.0))
        4.5
    """
    variance = jnp.square(check.number("sigma", sigma))
    strength, aspect = check.number("strength", strength), check.number("aspect", aspect)
    return (strength + variance) * ((strength + aspect * variance) / strength)


@over_batches
def transpose(spikes: CoupledSpikes) -> CoupledSpikes:
    r"""The spikes of $W^\top$: e and f swap, strengths and outliers stay.

    $$(C_e, C_f, R_e, R_f, K, \alpha_W, \sigma^2) \to
      (C_f, C_e, R_f, R_e, \alpha_W K^\top, 1/\alpha_W, \alpha_W\sigma^2)$$

    Source: theory page, section 1.5.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 2 * one, aspect=4.0, sigma=1.0)
        >>> other = transpose(spikes)
        >>> float(other.aspect), float(other.sigma), float(other.K[0, 0])
        (0.25, 2.0, 8.0)
    """
    alpha = spikes.aspect
    return CoupledSpikes(
        Ce=spikes.Cf,
        Cf=spikes.Ce,
        Re=spikes.Rf,
        Rf=spikes.Re,
        K=alpha * spikes.K.T,
        aspect=1 / alpha,
        sigma=jnp.sqrt(alpha) * spikes.sigma,
    )


def usable(spikes):
    """The spikes, or zero spikes of unit size if their transfer matrix is not finite.

    The choice is made on the kernels themselves, before any product: a NaN that only a result hides
    comes back in reverse mode as 0 × NaN.
    """
    fine = jnp.all(jnp.isfinite(transfer_matrix(jax.lax.stop_gradient(spikes))))
    kernels, scales = eqx.partition(spikes, lambda leaf: leaf.ndim > 0)
    kernels = jax.tree.map(lambda leaf: jnp.where(fine, leaf, 0.0), kernels)
    scales = jax.tree.map(lambda leaf: jnp.where(fine, leaf, 1.0), scales)
    return eqx.combine(kernels, scales)


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
