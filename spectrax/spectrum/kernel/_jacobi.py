"""Lanczos coefficients of an infinite matrix: a constant tail, and the eigenvalue above it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def settled(
    a: Float[Array, " num"], b: Float[Array, " num"]
) -> tuple[Float[Array, " num"], Float[Array, " num"]]:
    """Lanczos coefficients, constant from where they change least.

    They converge fast to those of the bulk, but rounding errors grow with every iteration, for the
    kernel on the samples up to order one after 20 to 30.
    """
    change = jnp.abs(jnp.diff(a)) + jnp.abs(jnp.diff(b))  # (num - 1,)
    change = jnp.where(jnp.isfinite(change) & (b[1:] > 0), change, jnp.inf)
    change = jnp.maximum(jnp.maximum(change[2:], change[1:-1]), change[:-2])  # three in a row
    last = jnp.argmin(change) + 3
    k = jnp.arange(a.shape[0])
    return jnp.where(k < last, a, a[last]), jnp.where(k < last, b, b[last])


def top_of_jacobi(
    a: Float[Array, " num"], b: Float[Array, " num"], edge: Float[Array, ""]
) -> Float[Array, ""]:
    r"""Largest spectral point of a Jacobi matrix that continues with constant coefficients.

    The constant tail, with upper edge $E = a_\infty + 2b_\infty$ and $b_\infty = b_{num-1}$, adds
    $b_{num-1}^2 s(z)$ to the last diagonal entry, s its resolvent. The largest eigenvalue
    $\lambda(z)$ of that matrix decreases with z: an eigenvalue outside solves $\lambda(z) = z$.

    Args:
        a: diagonal coefficients.
        b: off-diagonal coefficients; b[-1] couples the tail.
        edge: upper edge E of the bulk.

    Returns:
        The eigenvalue, or E if there is none above it.
    """
    fixed = jax.lax.stop_gradient((a, b, edge))

    def gap(z, a, b, edge, vector=None):
        """The eigenvalue minus z, with a fixed eigenvector if one is given; the vector."""
        tail = b[-1]
        distance = (z - edge) / tail
        s = (distance + 2 - jnp.sqrt(distance * (distance + 4))) / (2 * tail)
        inner = b[:-1]
        matrix = jnp.diag(a.at[-1].add(tail**2 * s)) + jnp.diag(inner, 1) + jnp.diag(inner, -1)
        if vector is None:
            values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
            vector = vectors[:, -1]
        return vector @ matrix @ vector - z, vector

    def newton(z, _):
        vector = gap(z, *fixed)[1]
        value, slope = jax.value_and_grad(lambda z: gap(z, *fixed, vector)[0])(z)
        return jnp.maximum(z - value / slope, floor), None

    floor = fixed[2] + 1e-12 * fixed[1][-1]  # the slope is infinite at the edge itself
    above = gap(floor, *fixed)[0]
    outside = above > 0
    start = floor + jnp.maximum(above, 0.0)
    z = jax.lax.stop_gradient(jax.lax.scan(newton, start, length=24)[0])
    z = jnp.where(outside, z, floor + fixed[1][-1])
    vector = gap(z, *fixed)[1]
    slope = jax.grad(lambda z: gap(z, *fixed, vector)[0])(z)
    root = z - gap(z, a, b, edge, vector)[0] / slope  # carries the derivative
    return jnp.where(outside, root, edge)
