"""Fewer spikes, same spectrum: orthonormal fields that span the fields of a whole training."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from spectrax import _kind, check
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes, TrainedWeights, Weights, responses_to

# Without a rank: room for this many directions per class. Full-batch training spans 10 to 20.
ROOM = 32
# Variances below this, relative to the field, are rounding errors of the kernels.
ROUNDING = 1e-14


class CompressedWeights(eqx.Module):
    r"""One weight matrix through its training, in orthonormal fields.

    $e = Q\hat e$, $f = P\hat f$ with $\langle\hat e\hat e^\top\rangle = 1$, so that
    $\hat R_e = Q^+R_eP$, $\hat R_f = P^+R_fQ$ and $\hat K_t = P^\top K(t)\,Q$.

    Args:
        Q, P: old fields in new ones, (q, rank) and (p, rank); columns of dropped ones are zero.
        Re, Rf: responses of the new fields, shape (rank, rank).
        used_e, used_f: which new fields exist, shape (rank,).
        residual: largest dropped variance, relative to the field, of e and of f, shape (2,).
        coordinates, aspect, sigma: as in `TrainedWeights`.
        coupling: the numbers M of each step, (steps, p / steps, q / steps).

    Source: theory page, section 1.3.
    """

    Q: Float[Array, "q rank"]
    P: Float[Array, "p rank"]
    Re: Float[Array, "rank rank"]
    Rf: Float[Array, "rank rank"]
    used_e: Bool[Array, " rank"]
    used_f: Bool[Array, " rank"]
    residual: Float[Array, "2"]
    coordinates: Float[Array, "t1 t1"]
    aspect: Float[Array, ""]
    sigma: Float[Array, ""]
    coupling: Float[Array, "t f e"]

    @property
    def rank(self) -> int:
        """Number of new fields on each side, dropped ones included."""
        return self.Q.shape[-1]

    @property
    def batch_axes(self) -> int:
        """Leading axes of a batch; 0 for one matrix."""
        return self.coordinates.ndim - 2

    @over_batches
    def at(self, step: int | Int[Array, ""]) -> CoupledSpikes:
        """The weight after `step` updates as spikes of size rank."""
        theta = self.coordinates[step]
        made = jnp.where(jnp.arange(len(theta) - 1) < step, theta[1:], 0.0)
        Re, Rf = responses_to(theta[0], self.Re, self.Rf)
        return CoupledSpikes(
            Ce=jnp.diag(self.used_e.astype(self.Q.dtype)),
            Cf=jnp.diag(self.used_f.astype(self.P.dtype)),
            Re=Re,
            Rf=Rf,
            K=jnp.tensordot(made, projected(self.coupling, self.P, self.Q), 1),
            aspect=self.aspect,
            sigma=theta[0] * self.sigma,
        )


@compiled("rank")
@over_batches
def compress(
    weights: Weights, tol: float | Float[Array, ""] = 1e-12, rank: int | None = None
) -> CompressedWeights:
    r"""Express the spikes of a training in few orthonormal fields.

    The new fields are the old ones at the most informative times (pivoted Cholesky), made
    orthonormal. Fields that a step has not made yet do no harm: they are fields like any other,
    which K(t) leaves uncoupled. Strengths are right to about $\sqrt{\mathrm{tol}}$ above the
    threshold; below it they can be more sensitive.

    Args:
        weights: spikes of every step.
        tol: drop directions whose variance, relative to their field, is below it (>= 1e-14).
        rank: number of new fields, a static bound; None = 32 for each field of a step, but no more
            than fields. A bound below the numerical rank shows in `residual`.

    Returns:
        The compressed weights. They cannot be differentiated, because kernels beside the given ones
        have another span: differentiate `strength_path` or `outlier_path`.

    Raises:
        ValueError: if rank is not between 1 and the number of fields, or if no optimizer made the
            spikes.
        NotImplementedError: if a derivative is taken.

    Source: theory page, section 1.3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import TrainedWeights
        >>> C, R = jnp.ones((3, 3)), jnp.zeros((3, 3))  # the same field at all three times
        >>> coordinates = jnp.hstack([jnp.ones((4, 1)), jnp.tril(jnp.ones((4, 3)), -1)])
        >>> weights = TrainedWeights(C, C, R, R, coordinates, aspect=1.0, sigma=1.0)
        >>> compress(weights, rank=1).at(2).K.tolist()
        [[2.0]]
    """
    if not isinstance(_kind.weights(weights), TrainedWeights):
        raise ValueError(f"Argument `weights` must be TrainedWeights, got {check.named(weights)}.")
    n = max(weights.Ce.shape[-1], weights.Cf.shape[-1])
    rank = min(n, ROOM * max(weights.each_step)) if rank is None else rank
    check.integer("rank", rank, 1, n)
    return basis(_constant(weights), rank, tol).weights


class Basis(NamedTuple):
    """A training in few orthonormal fields, and their responses to all old ones."""

    weights: CompressedWeights
    Re: Float[Array, "rank p"]
    Rf: Float[Array, "rank q"]


def basis(weights: TrainedWeights, rank: int, tol: float | Float[Array, ""]) -> Basis:
    """`compress` of weights that are constants."""
    e, f = select_times(weights.Ce, rank, tol), select_times(weights.Cf, rank, tol)
    Re, Rf = new_from_old(e, weights.Re), new_from_old(f, weights.Rf)
    small = CompressedWeights(
        Q=e.Q,
        P=f.Q,
        Re=Re @ f.Q,
        Rf=Rf @ e.Q,
        used_e=e.used,
        used_f=f.used,
        residual=jnp.stack([e.residual, f.residual]),
        coordinates=weights.coordinates,
        aspect=weights.aspect,
        sigma=weights.sigma,
        coupling=weights.numbers,
    )
    return Basis(small, Re, Rf)


def projected(
    coupling: Float[Array, "t f e"], P: Float[Array, "p r"], Q: Float[Array, "q r"]
) -> Float[Array, "t r r"]:
    r"""$P_s^\top M_s Q_s$ of every step, the coupling of its spikes in new fields."""
    t, f, e = coupling.shape
    if f == e == 1:
        return coupling * P[:, :, None] * Q[:, None, :]
    return jnp.einsum("tfr,tfe,teq->trq", P.reshape(t, f, -1), coupling, Q.reshape(t, e, -1))


@jax.custom_jvp
def _constant(weights):
    return weights


@_constant.defjvp
def _no_derivative(primals, tangents):
    raise NotImplementedError(
        "Compressed weights cannot be differentiated: use `strength_path` or `outlier_path`."
    )


class Times(NamedTuple):
    """Result of a pivoted Cholesky factorisation C = Q Qᵀ, in the order of its pivots."""

    Q: Float[Array, "n rank"]
    times: Int[Array, " rank"]
    residual: Float[Array, ""]  # largest relative variance left unexplained
    used: Bool[Array, " rank"]


def select_times(C: Float[Array, "n n"], rank: int, tol: float | Float[Array, ""]) -> Times:
    r"""Most informative times: repeatedly the field that the chosen ones explain worst.

    A field's unexplained variance counts relative to the largest variance so far, so that neither
    decayed fields add noise nor late explosions hide early fields.

    Args:
        C: correlations, shape (n, n).
        rank: bound on the number of times.
        tol: stop when the largest relative unexplained variance is below it.

    Returns:
        The factor Q and the chosen times.
    """
    n = C.shape[0]
    variance = jnp.diagonal(C)
    scale = jnp.maximum(jax.lax.cummax(variance), jnp.finfo(C.dtype).tiny)
    tol = jnp.maximum(tol, ROUNDING)

    def unfinished(state):
        k, rest, *_ = state
        return (k < rank) & (jnp.max(rest / scale) > tol)

    def choose(state):
        k, rest, Q, times = state
        new = jnp.argmax(rest / scale)
        column = (C[new] - Q @ Q[new]) / jnp.sqrt(rest[new])
        rest = (rest - column**2).at[new].set(0.0)
        return k + 1, rest, Q.at[:, k].set(column), times.at[k].set(new)

    start = (0, variance, jnp.zeros((n, rank), C.dtype), jnp.zeros(rank, int))
    k, rest, Q, times = jax.lax.while_loop(unfinished, choose, start)
    return Times(Q, times, jnp.max(rest / scale), jnp.arange(rank) < k)


def new_from_old(chosen: Times, rows: Float[Array, "n m"]) -> Float[Array, "rank m"]:
    """Rows of the new fields from rows of the old ones; zero where unused."""
    both = chosen.used[:, None] & chosen.used[None, :]
    triangle = jnp.tril(chosen.Q[chosen.times])  # (chosen old fields) = triangle (new fields)
    triangle = jnp.where(both, triangle, jnp.eye(len(chosen.times)))
    new = jax.scipy.linalg.solve_triangular(triangle, rows[chosen.times], lower=True)
    return jnp.where(chosen.used[:, None], new, 0.0)
