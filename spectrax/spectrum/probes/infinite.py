"""The probe of an infinite matrix with coupled spikes: a finite linear system for its overlaps."""

from collections.abc import Sequence
from functools import singledispatch

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import _kind, _show, check
from spectrax._batches import require_one
from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.probes._response import MAX_STEPS, Options, Response, follow
from spectrax.spectrum.probes.chain import SITES, jacobi


class Modes(eqx.Module):
    r"""State of the projected probe on a chain that stands for the bulk, leading axis sites.

    Args:
        X: overlaps of the probe with the fields e; site 0 is c, (sites, q, probes).
        Y: its responses; site 0 is $R^v$, (sites, p, probes).
        U: memory of the forward product, (sites, p, probes); None for symmetric matrices.
        T: memory of its response, (sites, q, probes); None for symmetric matrices.
    """

    X: Float[Array, "sites q probes"]
    Y: Float[Array, "sites p probes"]
    U: Float[Array, "sites p probes"] | None = None
    T: Float[Array, "sites q probes"] | None = None

    __repr__ = _show.table


def projected_probe(
    spikes: CoupledSpikes | SymmetricSpikes,
    times: ArrayLike | Sequence[float],
    *,
    sign: int = -1,
    start: ArrayLike | None = None,
    source: ArrayLike | None = None,
    num_nodes: int = SITES,
    rtol: ArrayLike = 1e-9,
    atol: ArrayLike = 1e-12,
    max_steps: int = MAX_STEPS,
    solver: diffrax.AbstractSolver | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    throw: bool = True,
) -> Response:
    r"""Overlaps of the probe of an infinite matrix with the fields of its spikes.

    $$c_{kj}(\tau) = \frac1M e_k^\top e^{s\tau W^\top W} e_j
      \qquad\Big(\text{symmetric:}\ \frac1N x_k^\top e^{s\tau W} x_j\Big)$$

    The bulk is replaced by a chain of num_nodes sites, equivalently by as many Gauss nodes:
    `nodes_needed` says how many a time needs, and an outlier of strength $\theta^2$ is cut off with
    an error of order $(\sigma^2\sqrt{\alpha_W}/\theta^2)^{2n}$ (symmetric: $(\sigma/\theta)^{2n}$).

    Args:
        spikes: p spikes on the left, q on the right.
        times: at which to report, increasing and not negative, (times,).
        sign: s, -1 decaying or +1 growing.
        start: v(0) = sum_j start_j e_j, coefficients (q, probes); None = each field in turn, the
            identity.
        source: constant source in the same coefficients, (q, probes); None = none.
        num_nodes: number of sites.
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        max_steps: largest number of steps.
        solver: of Diffrax; Dopri8 by default.
        adjoint: of Diffrax; reverse mode with checkpoints by default, `diffrax.ForwardMode()` for
            `jax.jvp`.
        throw: raise if the probe fails. Under `jit` and `vmap` nothing raises: see `result`.

    Returns:
        Response with the overlaps as values, (times, q, probes).

    Raises:
        ValueError: if an argument is out of range.
        RuntimeError: one sentence with the time at which the probe blew up or stopped.

    Source: theory page, sections 6.3 and 6.4.

    Examples:
        >>> import jax.numpy as jnp, spectrax as sx
        >>> sx.enable_x64()
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = sx.CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> response = sx.projected_probe(spikes, jnp.array([3.0, 4.0]), sign=1)
        >>> print(f"{response.growth_rates()[0, 0, 0]:.4f}")  # the outlier is at 6.25
        6.2500
    """
    require_one("spikes", spikes)
    q = spikes.K.shape[-1]
    start = jnp.eye(q) if start is None else check.shaped("start", start, (q, None))
    zero = jnp.zeros_like(start)
    source = zero if source is None else check.shaped("source", source, start.shape)
    rate = _Rate(spikes, check.sign(sign), *_injected(spikes, source))
    first = _at_first_site(spikes, _injected(spikes, start), num_nodes)
    options = Options(rtol, atol, solver, adjoint, max_steps)
    return follow(rate, _overlap, first, times, options, throw)


def probe_generator(
    spikes: CoupledSpikes | SymmetricSpikes, *, sign: int = -1, num_nodes: int = SITES
) -> lx.FunctionLinearOperator:
    r"""The linear map $A$ of the projected probe, $\dot y = Ay$, on one set of `Modes`.

    Outliers are eigenvalues $s z_\mathrm{out}$ of A; the others lie on the bulk.

    Args:
        spikes: p spikes on the left, q on the right.
        sign: s, -1 decaying or +1 growing.
        num_nodes: number of sites.

    Returns:
        A Lineax operator on `Modes` with one probe; `.as_matrix()` writes it out.

    Raises:
        ValueError: if sign or num_nodes is out of range.

    Source: theory page, sections 6.3 and 6.4.

    Examples:
        >>> import jax.numpy as jnp, spectrax as sx
        >>> one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> spikes = sx.CoupledSpikes(one, one, none, none, 2 * one, aspect=1.0, sigma=1.0)
        >>> generator = sx.probe_generator(spikes, sign=1, num_nodes=20)
        >>> print(f"{jnp.linalg.eigvals(generator.as_matrix()).real.max():.4f}")
        6.2500
    """
    require_one("spikes", _kind.spikes(spikes))
    none = jnp.zeros((spikes.K.shape[-1], 1))
    rate = _Rate(spikes, check.sign(sign), *_injected(spikes, none))
    modes = _at_first_site(spikes, _injected(spikes, none), num_nodes)
    return lx.FunctionLinearOperator(rate, jax.eval_shape(lambda: modes))


class _Rate(eqx.Module):
    """The rate of change of the modes; spikes decide which."""

    spikes: CoupledSpikes | SymmetricSpikes
    sign: Float[Array, ""]
    source_c: Float[Array, "q probes"]
    source_R: Float[Array, "p probes"]

    def __call__(self, modes: Modes) -> Modes:
        return _rate(self.spikes, modes, self.sign, self.source_c, self.source_R)


@singledispatch
def _rate(spikes: CoupledSpikes, modes: Modes, s, source_c, source_R) -> Modes:
    """Theory 6.3, in this order."""
    variance, alpha = spikes.sigma**2, spikes.aspect
    X, Y, U, T = (_walk(spikes, field) for field in (modes.X, modes.Y, modes.U, modes.T))
    c, Rv = modes.X[0], modes.Y[0]
    a = spikes.K @ c + variance * Rv
    J, Jr = variance * spikes.Rf @ c + spikes.Cf @ a, spikes.Rf.T @ a
    d, Rw = alpha * J + s * U[0], Jr + s / alpha * T[0]
    b = spikes.K.T @ d + variance * alpha * Rw
    return Modes(
        (s * X).at[0].add(s * (variance * spikes.Re @ d + spikes.Ce @ b) + source_c),
        (s * Y).at[0].add(s * spikes.Re.T @ b + source_R),
        (s * U).at[0].add(J),
        (s * T).at[0].add(Jr),
    )


@_rate.register
def _(spikes: SymmetricSpikes, modes: Modes, s, source_c, source_R) -> Modes:
    """Theory 6.4."""
    variance, c = spikes.sigma**2, modes.X[0]
    a = spikes.K @ c + variance * modes.Y[0]
    X, Y = _walk(spikes, modes.X), _walk(spikes, modes.Y)
    return Modes(
        (s * X).at[0].add(s * (variance * spikes.R @ c + spikes.C @ a) + source_c),
        (s * Y).at[0].add(s * spikes.R.T @ a + source_R),
    )


def _walk(spikes, field: Float[Array, "sites k probes"]) -> Float[Array, "sites k probes"]:
    """One product with the Jacobi matrix of the bulk."""
    a, b = (x[:, None, None] for x in jacobi(spikes, field.shape[0]))
    walked = a * field
    return walked.at[:-1].add(b * field[1:]).at[1:].add(b * field[:-1])


def _injected(spikes, coefficients) -> tuple:
    """Overlaps and responses of the vector that has these coefficients on the fields."""
    if isinstance(spikes, SymmetricSpikes):
        return spikes.C @ coefficients, spikes.R.T @ coefficients
    return spikes.Ce @ coefficients, spikes.Re.T @ coefficients


def _at_first_site(spikes, injected: tuple, num_nodes: int) -> Modes:
    """Modes that start from a vector with these overlaps and responses."""
    sites = check.integer("num_nodes", num_nodes, 2)
    X, Y = (jnp.zeros((sites, *x.shape)).at[0].set(x) for x in injected)
    if isinstance(spikes, SymmetricSpikes):
        return Modes(X, Y)
    return Modes(X, Y, jnp.zeros_like(Y), jnp.zeros_like(X))


def _overlap(modes: Modes) -> Float[Array, "q probes"]:
    return modes.X[0]
