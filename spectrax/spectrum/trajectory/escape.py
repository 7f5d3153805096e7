"""Outliers along a training, and the time at which the first of them leaves the bulk."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax import _kind, check
from spectrax._batches import over_batches
from spectrax._compiled import compiled
from spectrax.seam import CoupledSpikes, TrainedWeights, Weights
from spectrax.spectrum.spikes.outliers import Outliers, classify, margin, outliers, strengths
from spectrax.spectrum.spikes.transfer_matrix import critical_strength
from spectrax.spectrum.trajectory._strengths import CHUNK, prepare, strengths_at, strengths_of


@compiled("count")
@over_batches
def strength_path(weights: Weights, count: int = 1) -> Float[Array, "steps count"]:
    r"""Real parts of the strengths $\theta^2(t)$ after t = 0 … T updates, descending.

    Up to 32 steps all spikes are used as they are. Longer trainings are compressed: strengths above
    the threshold keep an error of about 1e-7, while those far below it are no eigenvalues of
    $W^\top W$ and can be too sensitive for more than a few digits. Derivatives are first order.

    On CPUs the strengths are eigenvalues of the transfer matrix. GPUs and TPUs find the real ones
    from symmetric matrices (section 1.6): the same beyond the threshold, and the largest below it
    down to a hundredth of it. They report zero for the first if no strength is real there, where a
    CPU reports the real part of a complex pair.

    Args:
        weights: one weight matrix through its training of T steps.
        count: how many strengths at each step.

    Returns:
        Shape (T + 1, count), zero at t = 0.

    Raises:
        ValueError: if count is out of range.

    Source: theory page, sections 1.3, 1.6 and 3.5.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import TrainedWeights
        >>> C, R = jnp.ones((2, 2)), jnp.zeros((2, 2))  # one field, spikes of 0.8 in each step
        >>> coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.8, 0.0], [1.0, 0.8, 0.8]])
        >>> weights = TrainedWeights(C, C, R, R, coordinates, aspect=1.0, sigma=1.0)
        >>> [round(float(strength), 4) for strength in strength_path(weights)[:, 0]]
        [0.0, 0.64, 2.56]
    """
    if not isinstance(_kind.weights(weights), TrainedWeights):
        return _map_steps(weights, lambda spikes: strengths(spikes, count))
    return _path(weights, count, 1.0)[0]


@compiled("count", "side")
@over_batches
def outlier_path(weights: Weights, count: int = 1, *, side: str = "above") -> Outliers:
    """Outliers after t = 0 … T updates, as `outliers` reports them for one step.

    Args:
        weights: one weight matrix through its training of T steps.
        count: how many outliers at each step.
        side: "above" or "below" the bulk.

    Returns:
        Outliers with a leading axis of length T + 1.

    Raises:
        ValueError: if count or side is out of range.

    Source: theory page, sections 1.3 and 3.5.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import TrainedWeights
        >>> C, R = jnp.ones((2, 2)), jnp.zeros((2, 2))  # one field, spikes of 0.8 in each step
        >>> coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.8, 0.0], [1.0, 0.8, 0.8]])
        >>> weights = TrainedWeights(C, C, R, R, coordinates, aspect=1.0, sigma=1.0)
        >>> [round(float(location), 4) for location in outlier_path(weights).location[:, 0]]
        [4.0, 4.0, 4.9506]
    """
    _kind.weights(weights)
    check.one_of("side", side, ("above", "below"))
    if not isinstance(weights, TrainedWeights):
        return _map_steps(weights, lambda spikes: outliers(spikes, count, side=side))
    real, imag = _path(weights, count, 1.0 if side == "above" else -1.0)
    bulk = jax.vmap(lambda step: _bulk(weights, step))(jnp.arange(weights.num_steps + 1))
    return jax.vmap(lambda *args: classify(*args, side))(bulk, real, imag)


@compiled()
@over_batches
def margin_path(weights: Weights) -> Float[Array, " steps"]:
    r"""Distance to the threshold after t = 0 … T updates, as `margin` has it for one step:
    $\max\mathrm{Re}\,\theta^2 - a^2\sigma^2\sqrt{\alpha_W}$.

    On GPUs and TPUs of real strengths only, see `strength_path`: where the leading ones are a
    complex pair there is no outlier, and the margin is that of the next real one or minus the
    critical strength.

    Args:
        weights: one weight matrix through its training of T steps.

    Returns:
        The margin after t = 0 … T updates, shape (T + 1,).

    Source: theory page, section 1.4.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import TrainedWeights
        >>> C, R = jnp.ones((2, 2)), jnp.zeros((2, 2))  # one field, spikes of 0.8 in each step
        >>> coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.8, 0.0], [1.0, 0.8, 0.8]])
        >>> weights = TrainedWeights(C, C, R, R, coordinates, aspect=1.0, sigma=1.0)
        >>> [round(float(margin), 4) for margin in margin_path(weights)]
        [-1.0, -0.36, 1.56]
    """
    return _margins(_kind.weights(weights))(jnp.arange(weights.num_steps + 1))


@over_batches
def escape_time(solution, layer: int | str) -> Float[Array, ""]:
    r"""Time at which the first outlier of a layer leaves the bulk (BBP transition).

    Args:
        solution: a solved training.
        layer: index of the weight matrix, or its name in the program.

    Returns:
        First zero of `margin_path`, interpolated linearly between steps 0 … T; +inf if there is
        none. In steps; for models with a step length dt in units of time.

    Source: theory page, section 1.4.
    """
    weights = _kind.solution(solution).weights(layer)
    steps = escape_time_of(weights)
    found = jnp.isfinite(steps)
    return jnp.where(found, jnp.where(found, steps, 0.0) * weights.time_unit, jnp.inf)


@compiled()
@over_batches
def escape_time_of(weights: Weights) -> Float[Array, ""]:
    r"""First zero of the linearly interpolated margin, with
    $dt_*/dp = -\partial_p\,\mathrm{margin} / \partial_t\,\mathrm{margin}$.

    Args:
        weights: one weight matrix through its training of T steps.

    Returns:
        The time in steps, +inf (with zero derivative) if there is no escape up to T.

    Source: theory page, section 1.4.

    Examples:
        >>> import jax.numpy as jnp
        >>> from spectrax.seam import TrainedWeights
        >>> C, R = jnp.ones((2, 2)), jnp.zeros((2, 2))  # one field, spikes of 0.8 in each step
        >>> coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.8, 0.0], [1.0, 0.8, 0.8]])
        >>> weights = TrainedWeights(C, C, R, R, coordinates, aspect=1.0, sigma=1.0)
        >>> float(escape_time_of(weights))  # 1 + 0.36 / 1.92
        1.1875
    """
    return _escape(_kind.weights(weights))


@jax.custom_jvp
def _escape(weights):
    return _interpolate(*_crossing(weights))


@_escape.defjvp
def _escape_jvp(primals, tangents):
    step, margins = _crossing(primals[0])
    steps = jnp.where(jnp.isfinite(step), step, 1).astype(int) - jnp.array([1, 0])
    moves = jax.jvp(lambda weights: _margins(weights)(steps), primals, tangents)[1]
    return jax.jvp(lambda margins: _interpolate(step, margins), (margins,), (moves,))


def _interpolate(step, margins):
    """Zero of the line through the margins at step - 1 and step; constant without a crossing."""
    found = jnp.isfinite(step)
    before, after = jnp.where(found, margins, jnp.array([-1.0, 1.0]))
    return jnp.where(found, step - after / (after - before), jnp.inf)


def _crossing(weights):
    """First step with a positive margin (inf if there is none), margins before and at it."""
    last, margins_at = weights.num_steps, _margins(weights)

    def search(state):
        start, _, margins = state
        steps = jnp.minimum(start + jnp.arange(CHUNK), last)
        margins = jnp.concatenate([margins[1:], margins_at(steps)])  # from start - 1 on
        outside = margins[1:] > 0
        first = jnp.where(jnp.any(outside), jnp.argmax(outside), len(steps) - 1)
        step = jnp.where(jnp.any(outside), steps[first], jnp.inf)
        return start + CHUNK, step, margins[first + jnp.arange(2)]

    def unfinished(state):
        start, step, _ = state
        return (start <= last) & jnp.isinf(step)

    start = -jnp.ones(2) * critical_strength(weights.at(0))  # no spikes yet
    return jax.lax.while_loop(unfinished, search, (1, jnp.inf, start))[1:]


def _path(weights, count, sign):
    check.integer("count", count, 1, len(weights.Ce) + len(weights.Cf))
    real, imag = strengths_at(weights, jnp.arange(1, weights.num_steps + 1), count, sign)
    none = jnp.zeros((1, count), real.dtype)
    return jnp.concatenate([none, real]), jnp.concatenate([none, imag])


def _map_steps(weights, function):
    """A function of the spikes after t = 0 … T updates, one eigenproblem after the other."""
    steps = jnp.arange(weights.num_steps + 1)
    return jax.lax.map(lambda step: function(weights.at(step)), steps)


def _margins(weights):
    """The margin as a function of several steps."""
    if not isinstance(weights, TrainedWeights):
        return jax.vmap(lambda step: margin(weights.at(step)))
    prepared = prepare(weights)

    def margins(steps):
        critical = jax.vmap(lambda step: critical_strength(_bulk(weights, step)))(steps)
        return strengths_of(prepared, steps)[0][:, 0] - critical

    return margins


def _bulk(weights, step):
    """The weight after `step` updates without its spikes."""
    none = jnp.zeros((0, 0), weights.Ce.dtype)
    sigma = weights.coordinates[step, 0] * weights.sigma
    return CoupledSpikes(none, none, none, none, none, weights.aspect, sigma)
