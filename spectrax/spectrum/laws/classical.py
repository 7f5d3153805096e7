"""Laws of the bulk: the spectrum of a matrix without spikes."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Inexact

from spectrax import _show, check
from spectrax.spectrum.laws.mass import RESULTS, result_of


class MarchenkoPastur(eqx.Module):
    r"""Spectrum of $W^\top W$ for a random N × M matrix W with entry variance $\sigma^2/M$.

    $$m(z) = \frac{1}{z - \dfrac{\sigma^2\alpha}{1 - \sigma^2 m(z)}}, \qquad \alpha = N/M,
      \qquad \lambda_\pm = \sigma^2 (1 \pm \sqrt\alpha)^2 .$$

    Args:
        aspect: rows per column, $\alpha = N/M$ (positive).
        sigma: standard deviation scale of the entries (positive).

    Raises:
        ValueError: if a concrete argument is not positive.

    Source: theory page, section 1.1.

    Examples:
        >>> from spectrax.spectrum import MarchenkoPastur
        >>> [float(edge) for edge in MarchenkoPastur(4.0).edges()]
        [1.0, 9.0]
    """

    aspect: Float[Array, "..."]
    sigma: Float[Array, "..."]

    __repr__ = _show.table

    def __init__(self, aspect: ArrayLike, sigma: ArrayLike = 1.0):
        self.aspect = jnp.asarray(check.positive("aspect", aspect))
        self.sigma = jnp.asarray(check.positive("sigma", sigma))

    def edges(self) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        r"""Lower and upper edge $\sigma^2(1 \mp \sqrt\alpha)^2$ of the continuous part."""
        root = jnp.sqrt(self.aspect)
        return self.sigma**2 * (1 - root) ** 2, self.sigma**2 * (1 + root) ** 2

    def atom(self) -> Float[Array, "..."]:
        r"""Mass $\max(0, 1 - \alpha)$ of the eigenvalue zero."""
        return jnp.maximum(0.0, 1.0 - self.aspect)

    def mass(self) -> Float[Array, "..."]:
        """One: density and atom in closed form."""
        return jnp.ones(jnp.broadcast_shapes(self.aspect.shape, self.sigma.shape))

    def result(self) -> RESULTS:
        """`RESULTS.resolved`, in closed form."""
        return result_of(self.mass())

    def density(self, x: ArrayLike) -> Float[Array, "..."]:
        r"""Density $\sqrt{(\lambda_+ - x)(x - \lambda_-)} / (2\pi\sigma^2 x)$, zero off the bulk.

        The continuous part only: it integrates to $\min(1, \alpha)$.

        Args:
            x: eigenvalues of $W^\top W$, any shape.

        Returns:
            The density at each x.
        """
        lower, upper = self.edges()
        square = (upper - x) * (x - lower)
        inside = square > 0
        root = jnp.sqrt(jnp.where(inside, square, 1.0))  # 1.0 keeps the derivative off sqrt(0)
        return jnp.where(inside, root / (2 * jnp.pi * self.sigma**2 * jnp.where(inside, x, 1.0)), 0)

    def stieltjes(self, z: ArrayLike) -> Inexact[Array, "..."]:
        r"""Stieltjes transform $m(z) = \frac1M \mathrm{tr} (z - W^\top W)^{-1}$, physical branch.

        The branch that behaves like $1/z$ at infinity, in closed form:
        $m = 2 / [z + \sigma^2(1-\alpha) + \sqrt{z - \lambda_-}\sqrt{z - \lambda_+}]$.

        Args:
            z: real or complex, any shape. Real z inside the bulk gives the principal value,
                which is the real part of m on either side of the cut.

        Returns:
            m(z), real for real z.
        """
        z = jnp.asarray(z)
        lower, upper = self.edges()
        shift = z + self.sigma**2 * (1 - self.aspect)
        if jnp.iscomplexobj(z):
            # each factor has its cut on the negative axis; below the bulk the two signs cancel
            return 2 / (shift + jnp.sqrt(z - lower) * jnp.sqrt(z - upper))
        square = (z - lower) * (z - upper)
        outside = square > 0
        root = jnp.sqrt(jnp.where(outside, square, 1.0)) * jnp.where(z > upper, 1.0, -1.0)
        real_part = shift / (2 * self.sigma**2 * jnp.where(outside, 1.0, z))
        return jnp.where(outside, 2 / (shift + jnp.where(outside, root, 0.0)), real_part)

    def scaled(self, factor: ArrayLike) -> "MarchenkoPastur":
        """The law of factor × eigenvalue (factor positive)."""
        check.positive("factor", factor)
        return MarchenkoPastur(self.aspect, self.sigma * jnp.sqrt(factor))


class Semicircle(eqx.Module):
    r"""Spectrum of a symmetric random matrix with entry variance $\sigma^2/N$.

    $$G(z) = \frac{1}{z - \sigma^2 G(z)}, \qquad \lambda_\pm = \pm 2\sigma .$$

    Args:
        sigma: standard deviation scale of the entries (positive).

    Raises:
        ValueError: if a concrete argument is not positive.

    Source: theory page, section 2.1.

    Examples:
        >>> from spectrax.spectrum import Semicircle
        >>> float(Semicircle(2.0).stieltjes(5.0))  # 1 / 0.25 + 4 * 0.25 = 5
        0.25
    """

    sigma: Float[Array, "..."]

    __repr__ = _show.table

    def __init__(self, sigma: ArrayLike = 1.0):
        self.sigma = jnp.asarray(check.positive("sigma", sigma))

    def edges(self) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        r"""Lower and upper edge $\mp 2\sigma$."""
        return -2 * self.sigma, 2 * self.sigma

    def mass(self) -> Float[Array, "..."]:
        """One: the density in closed form."""
        return jnp.ones(self.sigma.shape)

    def result(self) -> RESULTS:
        """`RESULTS.resolved`, in closed form."""
        return result_of(self.mass())

    def density(self, x: ArrayLike) -> Float[Array, "..."]:
        r"""Density $\sqrt{4\sigma^2 - x^2} / (2\pi\sigma^2)$, zero off the bulk.

        Args:
            x: eigenvalues, any shape.

        Returns:
            The density at each x.
        """
        square = 4 * self.sigma**2 - jnp.square(x)
        inside = square > 0
        root = jnp.sqrt(jnp.where(inside, square, 1.0))  # 1.0 keeps the derivative off sqrt(0)
        return jnp.where(inside, root / (2 * jnp.pi * self.sigma**2), 0.0)

    def stieltjes(self, z: ArrayLike) -> Inexact[Array, "..."]:
        r"""Stieltjes transform $G(z) = \frac1N \mathrm{tr} (z - J)^{-1}$, physical branch.

        Args:
            z: real or complex, any shape. Real z inside the bulk gives the principal value.

        Returns:
            $G = 2 / [z + \sqrt{z - 2\sigma}\sqrt{z + 2\sigma}]$, real for real z.
        """
        z = jnp.asarray(z)
        if jnp.iscomplexobj(z):
            return 2 / (z + jnp.sqrt(z - 2 * self.sigma) * jnp.sqrt(z + 2 * self.sigma))
        square = z**2 - 4 * self.sigma**2
        outside = square > 0
        root = jnp.sqrt(jnp.where(outside, square, 1.0)) * jnp.sign(z)
        return jnp.where(outside, 2 / jnp.where(outside, z + root, 1.0), z / (2 * self.sigma**2))

    def scaled(self, factor: ArrayLike) -> "Semicircle":
        """The law of factor × eigenvalue (factor positive)."""
        check.positive("factor", factor)
        return Semicircle(self.sigma * factor)
