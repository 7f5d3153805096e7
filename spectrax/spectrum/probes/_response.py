"""Solving a probe with Diffrax, and what comes out of it."""

from collections.abc import Callable, Sequence

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PyTree

from spectrax import _show, check

# A probe that exceeds this is stopped: its steps still have room below the largest float.
LARGEST = {"float64": 1e150, "float32": 1e30}
MAX_STEPS = 16384


class Response(eqx.Module):
    """What a probe returns.

    Args:
        times: the requested times, (times,).
        values: the probe, or its overlaps, at these times, leading axis times; +inf from the time
            on at which it stopped.
        stopped_at: time up to which it was followed: the last of times if all went well.
        result: how it went, one of `diffrax.RESULTS`.
    """

    times: Float[Array, "*batch times"]
    values: Float[Array, "..."]
    stopped_at: Float[Array, "*batch"]
    result: diffrax.RESULTS

    __repr__ = _show.table

    @property
    def succeeded(self) -> Bool[Array, "*batch"]:
        """Whether all values are there."""
        return self.result == diffrax.RESULTS.successful

    @property
    def message(self) -> str:
        """One sentence on how it went (concrete results only)."""
        if bool(jnp.all(self.succeeded)):
            return "The probe reached its last time."
        time = float(jnp.min(self.stopped_at[~self.succeeded]))
        if bool(jnp.any(self.result == diffrax.RESULTS.event_occurred)):
            return f"The probe blew up at time {time:.6g}."
        if bool(jnp.any(self.result == diffrax.RESULTS.max_steps_reached)):
            return f"The probe stopped at time {time:.6g}: `max_steps` were too few."
        return f"The probe stopped at time {time:.6g}: a step failed."

    def growth_rates(self) -> Float[Array, "..."]:
        r"""Rates of growth between successive times, $\log|c(\tau')/c(\tau)|/(\tau'-\tau)$.

        They tend to the rate of the leading mode: with sign = +1 those of an overlap $c_{jj}$
        increase to $z_\mathrm{out}$, with a distance that shrinks like
        $e^{-(z_\mathrm{out}-\lambda_+)\tau}$. +inf where a value is zero or missing.
        """
        axis, extra = self.times.ndim - 1, self.values.ndim - self.times.ndim
        gaps = jnp.expand_dims(jnp.diff(self.times), tuple(range(-extra, 0)))
        fine = jnp.isfinite(self.values) & (self.values != 0)
        logs = jnp.log(jnp.abs(jnp.where(fine, self.values, 1.0)))
        n = self.times.shape[-1]
        early, late = (jnp.take(fine, i, axis) for i in (jnp.arange(n - 1), jnp.arange(1, n)))
        return jnp.where(early & late, jnp.diff(logs, axis=axis) / gaps, jnp.inf)


class Options(eqx.Module):
    """How Diffrax solves a probe; tolerances are arrays, so that new ones do not compile again."""

    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    solver: diffrax.AbstractSolver
    adjoint: diffrax.AbstractAdjoint
    max_steps: int = eqx.field(static=True)

    def __init__(self, rtol, atol, solver, adjoint, max_steps):
        check.resolved("rtol", rtol)
        self.rtol = check.array(check.positive("rtol", rtol))
        self.atol = check.array(check.positive("atol", atol))
        self.solver = diffrax.Dopri8() if solver is None else solver
        self.adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint
        self.max_steps = check.integer("max_steps", max_steps, 1)


def follow(
    rate: Callable[[PyTree], PyTree],
    observe: Callable[[PyTree], Array],
    start: PyTree,
    times: ArrayLike | Sequence[float],
    options: Options,
    throw: bool,
) -> Response:
    """Solve dy/dtau = rate(y) from tau = 0 and observe y at the times.

    Args:
        rate: time derivative of the state; a pytree, such as a callable `eqx.Module`.
        observe: what to report of the state; a pytree as well.
        start: the state at time zero.
        times: increasing, not negative, (times,).
        options: how.
        throw: raise a RuntimeError if a concrete probe fails.
    """
    response = _follow(rate, observe, start, check.times(times), options)
    if throw and not isinstance(response.stopped_at, jax.core.Tracer):
        if not bool(jnp.all(response.succeeded)):
            raise RuntimeError(response.message)
    return response


@eqx.filter_jit
def _follow(rate, observe, start, times, options: Options) -> Response:
    # Steps end at the times: values between steps are less accurate than the steps.
    controller = diffrax.ClipStepSizeController(
        diffrax.PIDController(options.rtol, options.atol), step_ts=times
    )
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_vector_field),
        options.solver,
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=start,
        args=rate,
        saveat=diffrax.SaveAt(
            subs={
                "values": diffrax.SubSaveAt(ts=times, fn=lambda t, y, args: observe(y)),
                "last": diffrax.SubSaveAt(t1=True, fn=lambda t, y, args: t),
            }
        ),
        stepsize_controller=controller,
        adjoint=options.adjoint,
        event=diffrax.Event(_blown_up),
        max_steps=options.max_steps,
        throw=False,
    )
    values, last = solution.ys["values"], solution.ys["last"][0]
    return Response(times, values, jax.lax.stop_gradient(last), solution.result)


def _vector_field(t, y, args):
    return args(y)


def _blown_up(t, y, args, **kwargs):
    del t, args, kwargs
    leaves = jax.tree.leaves(y)
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    return largest > LARGEST[str(largest.dtype)]
