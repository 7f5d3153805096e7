"""Outliers, margin and overlaps: what the eigenvalues of the transfer matrix say."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from spectrax import _show, check
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.spikes._roots import real_strengths
from spectrax.spectrum.spikes.eigen import leading_eigenvalues, on_cpu
from spectrax.spectrum.spikes.transfer_matrix import (
    bulk_edges,
    critical_strength,
    locate,
    lowest_strength,
    transfer_matrix,
    usable,
)

# An eigenvalue is real if its imaginary part is this small, relative to its modulus: rounding can
# turn a pair of equal real eigenvalues into a complex pair.
REAL = 1e-6


class Outliers(eqx.Module):
    r"""Eigenvalues that left the bulk.

    Args:
        location: eigenvalues of $W^\top W$ (of W if symmetric), filled with the bulk edge where
            there is no outlier, shape (count,).
        escaped: where there is an outlier, shape (count,).
        strength: real parts of the effective spike strengths $\theta^2$ (symmetric: $\theta$),
            shape (count,).
    """

    location: Float[Array, "*steps count"]
    escaped: Bool[Array, "*steps count"]
    strength: Float[Array, "*steps count"]

    __repr__ = _show.outliers


@compiled("count")
@over_batches
def strengths(
    spikes: CoupledSpikes | SymmetricSpikes, count: int | None = None
) -> Float[Array, " count"]:
    r"""Real parts of the eigenvalues $\theta^2$ of the transfer matrix, descending.

    Args:
        spikes: p spikes on the left, q on the right.
        count: how many, at most p + q; None = all.

    Returns:
        $\mathrm{Re}\,\theta^2$, shape (count,); zeros if the transfer matrix is not finite.

    Raises:
        ValueError: if count is out of range.

    Source: theory page, section 1.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 1.5 * one, aspect=0.5, sigma=1.0)
        >>> strengths(spikes).tolist()
        [1.125, 0.0]
    """
    return _leading(spikes, count)[0]


@compiled()
@over_batches
def margin(spikes: CoupledSpikes | SymmetricSpikes) -> Float[Array, ""]:
    r"""Distance to the threshold, $\max \mathrm{Re}\,\theta^2 - \sigma^2\sqrt{\alpha_W}$.

    Positive if and only if there is an outlier above the bulk; of a symmetric matrix, whose
    outliers leave on both sides alike, if there is one on either side: $\max |\theta| - \sigma$
    of real strengths.

    GPUs and TPUs know real strengths only, down to a hundredth of the critical one: where the
    leading ones are complex, or smaller, the margin is negative, but not that of a CPU.

    Args:
        spikes: p spikes on the left, q on the right.

    Returns:
        The margin, a scalar.

    Source: theory page, section 1.4.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> float(margin(spikes))  # 4 - 1
        3.0
    """
    if isinstance(spikes, SymmetricSpikes):
        lowest, _ = _leading_outside(spikes, 1, "below")
        farthest = jnp.maximum(_leading_outside(spikes, 1)[0][0], -lowest[0])
    else:
        farthest = _leading_outside(spikes, 1)[0][0]
    return farthest - critical_strength(spikes)


@compiled("count", "side")
@over_batches
def outliers(
    spikes: CoupledSpikes | SymmetricSpikes, count: int | None = None, *, side: str = "above"
) -> Outliers:
    r"""Eigenvalues outside the bulk: one for each real strength beyond the threshold.

    $$\theta^2 > \sigma^2\sqrt{\alpha_W} \ \text{(above)}, \qquad
      -\sigma^2\max(1, \alpha_W) < \theta^2 < -\sigma^2\sqrt{\alpha_W} \ \text{(below)}$$

    Args:
        spikes: p spikes on the left, q on the right.
        count: how many to report, at most p + q; None = all.
        side: "above": locations and strengths descending; "below": both ascending.

    Returns:
        Outliers. Where there is none the location is the bulk edge and `escaped` is False, also if
        the transfer matrix is not finite: nothing is NaN, derivatives included. Strengths of what
        is no outlier are real parts on CPUs, elsewhere those of `strength_path`.

    Raises:
        ValueError: if count or side is out of range.

    Source: theory page, section 1.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 1.5 * one, aspect=0.5, sigma=1.0)
        >>> round(float(outliers(spikes, 1).location[0]), 4)
        3.0694
    """
    check.one_of("side", side, ("above", "below"))
    return classify(spikes, *_leading_outside(spikes, count, side), side)


def classify(
    spikes: CoupledSpikes | SymmetricSpikes,
    real: Float[Array, " count"],
    imag: Float[Array, " count"],
    side: str = "above",
) -> Outliers:
    """Outliers from real and imaginary parts of the strengths; kernels of spikes are not read."""
    lower, upper = bulk_edges(spikes)
    threshold = critical_strength(spikes)
    outside = jnp.abs(imag) <= REAL * jnp.hypot(real, imag)
    if side == "above":
        edge, outside = upper, outside & (real > threshold)
    else:
        edge, outside = lower, outside & (real < -threshold) & (real > lowest_strength(spikes))
    safe = jnp.where(outside, real, 2 * threshold)  # keeps derivatives off division by zero
    return Outliers(jnp.where(outside, locate(spikes, safe), edge), outside, real)


@compiled()
@over_batches
def complex_excess(spikes: CoupledSpikes | SymmetricSpikes) -> Float[Array, ""]:
    r"""Largest $|\theta^2|$ of the complex strengths minus the critical strength.

    Never positive for fields that exist: a complex strength beyond the threshold would be a complex
    eigenvalue of $W^\top W$. A positive value shows kernels that contradict each other.

    Args:
        spikes: p spikes on the left, q on the right.

    Returns:
        The excess, a scalar; minus the critical strength if no strength is complex.

    Source: theory page, section 1.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> float(complex_excess(spikes))  # no complex strength at all: 0 - 1
        -1.0
    """
    real, imag = _leading(spikes, None)
    modulus = jnp.hypot(real, imag)
    largest = jnp.max(jnp.where(jnp.abs(imag) > REAL * modulus, modulus, 0.0))
    return largest - critical_strength(spikes)


def _leading(spikes, count=None, side="above"):
    """Real and imaginary parts of the strengths that come first from above or from below."""
    matrix = transfer_matrix(usable(spikes))
    count = matrix.shape[-1] if count is None else count
    check.integer("count", count, 1, matrix.shape[-1])
    sign = 1.0 if side == "above" else -1.0
    real, imag = leading_eigenvalues(sign * matrix, count)
    return sign * real, sign * imag


def _leading_outside(spikes, count=None, side="above"):
    """The same of what may be an outlier; from symmetric matrices where there is no CPU."""

    def symmetric(spikes):
        size = sum(spikes.K.shape)  # of the transfer matrix
        places = size if isinstance(spikes, CoupledSpikes) else size // 2
        number = size if count is None else count
        sign = 1.0 if side == "above" else -1.0
        real, _ = real_strengths(usable(spikes), min(number, places), sign)
        real = -sign * jnp.sort(-sign * real)
        real = jnp.pad(real, (0, number - len(real)))
        return real, jnp.zeros_like(real)

    return on_cpu(lambda spikes: _leading(spikes, count, side), symmetric, spikes)
