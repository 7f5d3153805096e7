"""The matrix Dyson equation of a pencil, with all its fields."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Complex, Float

from spectrax import _kind, _show
from spectrax.spectrum.expressions.pencil import Pencil
from spectrax.spectrum.laws.continuation import in_batches


class Dyson(eqx.Module):
    """Solution of the matrix Dyson equation.

    Args:
        G: traced blocks between the fields, (*z, n, n).
        stieltjes: the Stieltjes transform of the law, (*z,).
        residual: largest entry of G - (A - Sigma[G])^(-1), (*z,).
        physical: whether G solves the equation and the transform has the sign of a law's, (*z,).
    """

    G: Complex[Array, "*z n n"]
    stieltjes: Complex[Array, "*z"]
    residual: Float[Array, "*z"]
    physical: Bool[Array, "*z"]

    __repr__ = _show.table


def dyson(pencil: Pencil, z: ArrayLike) -> Dyson:
    r"""Solve the matrix Dyson equation at any z, from far above the real axis downwards.

    Args:
        pencil: a law made by `Pencil.gram` or `Pencil.symmetric`.
        z: complex, any shape; complex numbers on the real axis mean the limit from above. Real
            numbers have to lie off the bulk.

    Returns:
        A `Dyson`; differentiable in z and in everything that the pencil is made of.

    Raises:
        ValueError: if a concrete real z lies inside the bulk.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> spaces = sx.Spaces(D=1.0, N=1.0)
        >>> W, v = spaces.gaussian("N", "D"), spaces.vector("D")
        >>> found = sx.dyson(sx.Pencil.gram(v, W @ v), 1.0 + 1.0j)
        >>> print(f"{found.stieltjes:.4f}", bool(found.physical))
        0.1069-0.6360j True

    Source: theory page, section 5.2.
    """
    _kind.law("pencil", pencil)
    real = not jnp.iscomplexobj(z)
    found = _dyson(pencil, jnp.asarray(z, complex))
    inside = jnp.abs(found.stieltjes.imag) * pencil.scale * pencil.bound() > 1e-6
    if real and not isinstance(inside, jax.core.Tracer) and bool(jnp.any(inside)):
        at = np.ravel(np.asarray(z))[np.ravel(np.asarray(inside))][0]
        raise ValueError(
            f"Argument `z` must lie off the bulk or be complex (+0j: from above), got {at}."
        )
    return found


@eqx.filter_jit
def _dyson(pencil, z):
    def at(z):
        z = z / pencil.scale
        upper = jnp.where(z.imag < 0, z.conj(), z)
        g = pencil.solve(upper)
        residual = jnp.max(jnp.abs(g - pencil.update(g, upper)))
        S = pencil.transform(g)
        fine = (residual < 1e-8) & (S.imag < 1e-8 / pencil.bound())
        G = pencil.matrix(g) / pencil.scale
        return jax.tree.map(lambda x: jnp.where(z.imag < 0, x.conj(), x), (G, S / pencil.scale)), (
            residual,
            fine,
        )

    (G, S), (residual, fine) = in_batches(pencil, at, z.ravel())
    shape = z.shape
    return Dyson(
        G.reshape(*shape, *G.shape[1:]),
        S.reshape(shape),
        residual.reshape(shape),
        fine.reshape(shape),
    )
