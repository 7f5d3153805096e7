r"""The bulk as a chain: Jacobi coefficients, Gauss nodes, and the trace response.

Repeated products with $W^\top W$ walk along a chain of orthogonal directions. In the limit its
hopping rates are known exactly and constant but for the first, so that n sites give every moment of
the bulk up to $2n - 1$.
"""

from functools import singledispatch

import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import _kind, check
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.laws.classical import MarchenkoPastur, Semicircle

SITES = 64


@singledispatch
def jacobi(law: MarchenkoPastur | CoupledSpikes, num: int) -> tuple:
    r"""Diagonal and off-diagonal of the Jacobi matrix of the bulk.

    $$a_0 = \sigma^2\alpha_W, \qquad a_n = \sigma^2(1 + \alpha_W), \qquad
      b_n = \sigma^2\sqrt{\alpha_W}$$

    for Marchenko-Pastur, with its mass at zero; $a_n = 0$, $b_n = \sigma$ for the semicircle.

    Args:
        law: the bulk, or spikes, which do not change it.
        num: number of sites.

    Returns:
        Diagonal (num,) and off-diagonal (num - 1,).

    Source: theory page, section 6.1.
    """
    variance = _kind.bulk(law).sigma ** 2
    rest = jnp.full(num - 1, 1.0)
    diagonal = variance * jnp.concatenate([law.aspect[None], (1 + law.aspect) * rest])
    return diagonal, variance * jnp.sqrt(law.aspect) * rest


@jacobi.register(Semicircle | SymmetricSpikes)
def _(law, num):
    return jnp.zeros(num), law.sigma * jnp.ones(num - 1)


def gauss_nodes(
    law: MarchenkoPastur | Semicircle | CoupledSpikes | SymmetricSpikes, num: int = SITES
) -> tuple[Float[Array, " num"], Float[Array, " num"]]:
    r"""Nodes and weights of the bulk.

    $$\int\rho(\lambda)\, f(\lambda)\,d\lambda = \sum_k \omega_k f(\lambda_k)$$

    for polynomials f of degree below 2 num, the mass at zero included. Golub and Welsch: nodes are
    the eigenvalues of the Jacobi matrix, weights the squared first entries of its eigenvectors.

    Args:
        law: the bulk, or spikes, which do not change it.
        num: number of nodes.

    Returns:
        Nodes, ascending, and weights, which sum to one, each (num,).

    Raises:
        ValueError: if num is not a positive integer.

    Source: theory page, section 6.1.

    Examples:
        >>> from spectrax.spectrum import MarchenkoPastur
        >>> nodes, weights = gauss_nodes(MarchenkoPastur(0.5), 20)
        >>> print(f"{weights @ nodes:.6f} {weights @ nodes**2:.6f}")  # 1/2 and 1/2 + 1/4
        0.500000 0.750000
    """
    a, b = jacobi(law, check.integer("num", num, 1))
    nodes, vectors = jnp.linalg.eigh(jnp.diag(a) + jnp.diag(b, 1) + jnp.diag(b, -1))
    return nodes, vectors[0] ** 2


def trace_response(
    law: MarchenkoPastur | Semicircle | CoupledSpikes | SymmetricSpikes,
    times: ArrayLike,
    *,
    sign: int = -1,
    num_nodes: int = SITES,
) -> Float[Array, "..."]:
    r"""Mean response of a random direction to the probe.

    $$\lim\frac1M\mathrm{tr}\,e^{s\tau W^\top W} = \int\rho(\lambda)\,e^{s\lambda\tau}d\lambda,
      \qquad \int_0^\infty e^{-p\tau}(\dots)\,d\tau = s\,m(sp)$$

    For a semicircle this is $I_1(2\sigma\tau)/(\sigma\tau)$. The default of 64 nodes is good to
    1e-10 up to $\tau(\lambda_+ - \lambda_-) = 700$; `nodes_needed` says what other times need.
    Finitely many outliers do not count in the limit, but with sign = +1 one of them adds
    $e^{z_\mathrm{out}\tau}/M$ to the trace of a finite matrix and soon exceeds the bulk.

    Args:
        law: the bulk, or spikes, which do not change it.
        times: $\tau$, any shape.
        sign: s, -1 decaying or +1 growing.
        num_nodes: number of Gauss nodes.

    Returns:
        The response, in the shape of times.

    Raises:
        ValueError: if sign or num_nodes is out of range.

    Source: theory page, section 6.1.

    Examples:
        >>> from spectrax.spectrum import MarchenkoPastur
        >>> print(f"{trace_response(MarchenkoPastur(1.0), 2.0):.6f}")
        0.385753
    """
    nodes, weights = gauss_nodes(law, check.integer("num_nodes", num_nodes, 1))
    exponents = check.sign(sign) * jnp.asarray(times, float)[..., None] * nodes
    return jnp.exp(exponents) @ weights


def nodes_needed(
    law: MarchenkoPastur | Semicircle | CoupledSpikes | SymmetricSpikes,
    time: float,
    *,
    tolerance: float = 1e-10,
) -> int:
    r"""Smallest number of Gauss nodes whose bound on the error is below the tolerance.

    With half width $w = (\lambda_+ - \lambda_-)/2$ of the bulk the error of n nodes, relative to
    the largest of $e^{s\lambda\tau}$ on the bulk, is at most

    $$4\, e^{-w\tau} \sum_{d\ge2n} I_d(w\tau)
      \approx e^{-2n^2/w\tau} \quad (n \lesssim w\tau),$$

    from the expansion of the exponential in Chebyshev polynomials. Runs on the host.

    Args:
        law: the bulk, or spikes; concrete.
        time: $\tau$, concrete.
        tolerance: of the relative error.

    Returns:
        The number of nodes.

    Raises:
        ValueError: if time is negative, or tolerance is not positive.

    Source: theory page, section 6.1.

    Examples:
        >>> from spectrax.spectrum import MarchenkoPastur
        >>> nodes_needed(MarchenkoPastur(1.0), 20.0)
        22
    """
    x = 2 * float(jacobi(law, 2)[1][0]) * float(check.nonnegative("time", time))
    check.positive("tolerance", tolerance)
    degrees = np.arange(2, 40 + int(x + 12 * np.sqrt(x)))
    tails = 4 * np.cumsum(scipy.special.ive(degrees, x)[::-1])[::-1]  # sum from each degree on
    return int(np.argmax(tails[::2] <= tolerance)) + 1
