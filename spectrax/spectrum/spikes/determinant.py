"""Outliers as zeros of a determinant: the independent check of the transfer matrix."""

import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Inexact

from spectrax import _kind, check
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes
from spectrax.spectrum.laws.classical import MarchenkoPastur
from spectrax.spectrum.spikes.outliers import Outliers
from spectrax.spectrum.spikes.transfer_matrix import bulk_edges, critical_strength


@over_batches
def response_matrix(
    spikes: CoupledSpikes, z: Inexact[Array, ""] | float | complex
) -> Inexact[Array, "n n"]:
    r"""Matrix of the linear system for $(c, R^v, d, R^w)$, singular where z is an outlier.

    $$c = m(\sigma^2R_e d + C_e b), \quad R^v = m R_e^\top b, \quad
      d = \alpha_W\tilde m(\sigma^2R_f c + C_f a), \quad R^w = \tilde m R_f^\top a,$$
    $$a = Kc + \sigma^2R^v, \quad b = K^\top d + \sigma^2\alpha_W R^w, \quad
      \tilde m = 1/(1 - \sigma^2 m).$$

    Args:
        spikes: p spikes on the left, q on the right.
        z: spectral variable outside the bulk, real or complex, scalar.

    Returns:
        Identity minus the map above, shape (2(p + q), 2(p + q)).

    Source: theory page, section 1.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, jnp.sqrt(2.0) * one, aspect=1.0, sigma=1.0)
        >>> abs(float(jnp.linalg.det(response_matrix(spikes, 4.5)))) < 1e-6  # the outlier
        True
    """
    p, q = spikes.K.shape
    alpha, variance = spikes.aspect, spikes.sigma**2
    m = MarchenkoPastur(alpha, spikes.sigma).stieltjes(z)
    mt = 1 / (1 - variance * m)

    def self_consistency(unknown):
        c, Rv, d, Rw = jnp.split(unknown, (q, q + p, q + 2 * p))
        a = spikes.K @ c + variance * Rv  # (p,)
        b = spikes.K.T @ d + variance * alpha * Rw  # (q,)
        c_new = m * (variance * spikes.Re @ d + spikes.Ce @ b)
        d_new = alpha * mt * (variance * spikes.Rf @ c + spikes.Cf @ a)
        return jnp.concatenate([c_new, m * spikes.Re.T @ b, d_new, mt * spikes.Rf.T @ a])

    eye = jnp.eye(2 * (p + q), dtype=jnp.result_type(m))
    return eye - jax.vmap(self_consistency, in_axes=1, out_axes=1)(eye)


@over_batches
def determinant_outliers(spikes: CoupledSpikes, count: int, grid: int = 512) -> Outliers:
    r"""Outliers above the bulk as zeros of the determinant of `response_matrix`.

    Sign changes of the determinant on a grid of z above the edge are bracketed by bisection and
    polished by Newton's method on the bordered system
    $\begin{bmatrix} M(z) & u\\ v^\top & 0\end{bmatrix}\begin{bmatrix}x\\ g\end{bmatrix} =
    \begin{bmatrix}0\\ 1\end{bmatrix}$, g(z) = 0, whose root carries the derivative.
    Equal outliers change the sign an even number of times and are not seen: the transfer matrix is
    the method to use, this one checks it.

    Args:
        spikes: finite kernels, p spikes on the left, q on the right.
        count: how many outliers to report.
        grid: number of grid points between the edge and a bound on the spectrum, quadratically
            denser towards the edge.

    Returns:
        Outliers, locations descending, filled with the bulk edge.

    Source: theory page, section 1.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import CoupledSpikes
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = CoupledSpikes(one, one, none, none, jnp.sqrt(2.0) * one, aspect=1.0, sigma=1.0)
        >>> round(float(determinant_outliers(spikes, 1).location[0]), 4)
        4.5
    """
    _kind.spikes(spikes)
    check.integer("grid", grid, 2)
    check.integer("count", count, 1, grid)
    return _determinant_outliers(spikes, count, grid)


@compiled("count", "grid")
def _determinant_outliers(spikes, count, grid):
    fixed = jax.lax.stop_gradient(spikes)
    left, right, found = _brackets(fixed, count, grid)
    z = jax.vmap(lambda lo, hi, ok: _zero(spikes, fixed, lo, hi, ok))(left, right, found)
    edge = bulk_edges(spikes)[1]
    z = jnp.where(found, z, edge)
    m = MarchenkoPastur(spikes.aspect, spikes.sigma).stieltjes(jnp.where(found, z, edge + 1.0))
    strength = (1 - spikes.sigma**2 * m) / m  # 1/x
    return Outliers(z, found, jnp.where(found, strength, critical_strength(spikes)))


def _brackets(spikes, count, grid):
    """The last `count` grid intervals in which the determinant changes sign, largest z first."""
    edge = bulk_edges(spikes)[1]
    gram = spikes.K @ spikes.Ce @ spikes.K.T @ spikes.Cf
    size = jnp.sqrt(spikes.aspect * jnp.maximum(jnp.trace(gram), 0.0))  # bounds the spikes' norm
    bound = 1.01 * (jnp.sqrt(edge) + size) ** 2
    nodes = edge + (bound - edge) * (jnp.arange(1, grid + 2) / (grid + 1)) ** 2  # (grid + 1,)
    signs = jax.vmap(lambda z: jnp.linalg.slogdet(response_matrix(spikes, z))[0])(nodes)
    changes = signs[1:] * signs[:-1] < 0
    last = jnp.argsort(jnp.where(changes, jnp.arange(grid), -1), descending=True)[:count]
    return nodes[last], nodes[last + 1], changes[last]


def _zero(spikes, fixed, left, right, found):
    """Root in one bracket; derivatives enter through `spikes` in the last equation only."""

    def rising(z, spikes):
        sign, log = jnp.linalg.slogdet(response_matrix(spikes, z))
        return rise * sign * jnp.exp(log / (2 * sum(spikes.K.shape)))  # no overflow

    rise = jnp.linalg.slogdet(response_matrix(fixed, right))[0]
    bisection = optx.Bisection(rtol=1e-9, atol=1e-9, flip=False)  # "detect" raises without a root
    ends = {"lower": left, "upper": right}
    start = optx.root_find(rising, bisection, left, fixed, ends, max_steps=60, throw=False).value
    start = jax.lax.stop_gradient(jnp.where(found, start, left))
    vectors = jnp.linalg.svd(response_matrix(fixed, start))
    border = (vectors[0][:, -1], vectors[2][-1])  # null vectors: no pole of g near the root
    newton = optx.Newton(rtol=1e-13, atol=1e-13)
    return optx.root_find(
        _bordered, newton, start, (spikes, border), max_steps=12, throw=False
    ).value


def _bordered(z, args):
    """The scalar g(z) that vanishes with the determinant."""
    spikes, (u, v) = args
    matrix = response_matrix(spikes, z)
    system = jnp.block([[matrix, u[:, None]], [v[None, :], jnp.zeros((1, 1))]])
    rhs = jnp.zeros(system.shape[0]).at[-1].set(1.0)
    return lx.linear_solve(lx.MatrixLinearOperator(system), rhs, lx.LU(), throw=False).value[-1]
