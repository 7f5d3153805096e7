r"""Networks whose matrix learns in continuous time: a coupled ODE, solved by Diffrax."""

from collections.abc import Callable

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float, PRNGKeyArray

from spectrax import _kind, _show, check
from spectrax.empirical.tracy_widom import tracy_widom_quantile
from spectrax.training.functions import activation_function
from spectrax.training.hebbian import AntiHebbian
from spectrax.training.solution import RESULTS

RATE = 1e-3  # of matrices without spikes whose largest eigenvalue passes the default level
BLOW_UP = 1e6  # how much larger than J_0 the spikes are when a motion has diverged


class Flow(eqx.Module):
    """One network in continuous time.

    Args:
        times: where things were recorded, (k,).
        activity: <phi(x)^2>, (k,); +inf after `end`.
        smallest, largest: extreme eigenvalues of J, (k,); +inf after `end`.
        end: time reached.
        escape_time: first time at which an extreme eigenvalue passed `level`; +inf if none did.
        level: distance from zero that counts as out of the bulk.
        state, matrix: x and J at `end`, (N,) and (N, N).
        result: `RESULTS.divergent` if the spikes became a million times larger than J_0,
            `RESULTS.unconverged` if max_steps did not suffice; `end` says when.
        steps: number of steps of the ODE solver.
        interpolation: of (x, N (J - J_0)) between all steps; None without `dense`.
        initial: J_0.
    """

    times: Float[Array, " k"]
    activity: Float[Array, " k"]
    smallest: Float[Array, " k"]
    largest: Float[Array, " k"]
    end: Float[Array, ""]
    escape_time: Float[Array, ""]
    level: Float[Array, ""]
    state: Float[Array, " n"]
    matrix: Float[Array, "n n"]
    result: RESULTS
    steps: Array
    interpolation: diffrax.DenseInterpolation | None
    initial: Float[Array, "n n"]

    __repr__ = _show.table

    @property
    def message(self) -> str:
        """One sentence on how it went (concrete results only)."""
        if self.result == RESULTS.divergent:
            return f"The motion diverged at time {float(self.end):.6g}."
        if self.result == RESULTS.unconverged:
            return f"The motion came to time {float(self.end):.6g} in {int(self.steps)} steps."
        return RESULTS[self.result]

    def at(self, time) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
        """Return x and J at any time up to `end`; needs `dense=True`.

        Raises:
            ValueError: if there is no interpolation, or if a concrete time lies outside.
        """
        if self.interpolation is None:
            raise ValueError("Argument `dense` of flow must be True for states at any time.")
        if not any(isinstance(x, jax.core.Tracer) for x in (time, self.end)):
            if not 0 <= float(time) <= float(self.end):
                raise ValueError(
                    f"Argument `time` must be between 0 and {float(self.end):g}, got {time}."
                )
        x, spikes = self.interpolation.evaluate(time)
        return x, self.initial + spikes / x.size


def flow(
    model: AntiHebbian,
    size: int,
    *,
    key: PRNGKeyArray,
    times=None,
    stop_at_escape: bool = False,
    level=None,
    dense: bool = False,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    max_steps: int = 4096,
    solver: diffrax.AbstractSolver | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    throw: bool = True,
) -> Flow:
    r"""A finite network in continuous time: the limit dt → 0 of `simulate`.

    $$\dot x = -\mu x + J\phi(x), \qquad
      \dot S = -\frac\kappa N\phi(x)\phi(x)^\top - \mathrm{decay}\; S, \qquad J = J_0 + S$$

    from time 0 to num_steps · dt, by adaptive steps. An event with a root finder marks when the
    first extreme eigenvalue of J leaves the bulk.

    Args:
        model: an `AntiHebbian`; its dt only sets the duration.
        size: number N of neurons.
        key: explicit PRNG key of J_0 and x_0.
        times: where to record, increasing, none later than num_steps · dt; 33 evenly spaced ones by
            default.
        stop_at_escape: stop when an extreme eigenvalue passes `level`.
        level: distance from zero at which an eigenvalue counts as out of the bulk; by default
            $2\sigma + 3.27\,\sigma N^{-2/3}$ (Tracy-Widom), which one matrix in a thousand passes
            on each side without any spikes.
        dense: keep the motion between all steps, for `Flow.at`. Memory:
            max_steps · stages · N² numbers; choose a small `max_steps`.
        rtol: relative tolerance of x and of the entries of N S.
        atol: absolute tolerance of the same.
        max_steps: steps of the ODE solver after which to give up.
        solver: of Diffrax; `Tsit5()` by default.
        adjoint: of Diffrax; reverse mode by default, forward mode needs `diffrax.ForwardMode()`.
        throw: raise if the motion does not reach its end (concrete results only).

    Returns:
        A `Flow`; differentiable in the hyperparameters, `escape_time` included.

    Raises:
        ValueError: one sentence naming the argument and its value.
        RuntimeError: if the motion does not reach its end, with the time.

    Examples:
        >>> import jax, spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.AntiHebbian(40, dt=0.1, mu=-0.5, kappa=2.0)
        >>> motion = sx.flow(model, 100, key=jax.random.key(0), stop_at_escape=True)
        >>> bool(1 < motion.escape_time < 2)
        True

    Source: theory page, section 2.4.
    """
    _kind.provides("model", model, "an AntiHebbian", "dt", "kappa")
    _kind.key(key)
    size = check.integer("size", size, 2)
    max_steps = check.integer("max_steps", max_steps, 1)
    duration = model.num_steps * model.dt
    times = jnp.linspace(0.0, 1.0, 33) * duration if times is None else _within(times, duration)
    if level is None:
        level = model.sigma * (2 + tracy_widom_quantile(RATE) * size ** (-2 / 3))
    check.positive("level", level)
    controller = diffrax.PIDController(
        rtol=check.positive("rtol", rtol), atol=check.positive("atol", atol), norm=_largest_part
    )
    solver = diffrax.Tsit5() if solver is None else solver
    adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint
    how = (size, stop_at_escape, dense, max_steps)
    numbers = (duration, times, jnp.asarray(level, float))
    found = _flow(model, key, numbers, controller, solver, adjoint, how)
    if throw and not isinstance(found.result._value, jax.core.Tracer):
        if found.result != RESULTS.successful:
            raise RuntimeError(found.message)
    return found


def _within(times, duration):
    """Times at which a motion can be recorded."""
    times = check.times(times)
    if not any(isinstance(x, jax.core.Tracer) for x in (times, duration)):
        if times[-1] > duration * (1 + 1e-9):
            raise ValueError(
                f"Argument `times` must end by {float(duration):g} (num_steps · dt), "
                f"got {float(times[-1]):g}."
            )
    return jnp.minimum(times, duration)


class _Network(eqx.Module):
    """What the solver asks of one network; y is (x, N (J - J_0))."""

    mu: Array
    kappa: Array
    decay: Array
    J0: Array
    level: Array
    activation: str | Callable = eqx.field(static=True)

    def motion(self, t, y):
        """Derivative of y."""
        x, S = y
        f = activation_function(self.activation)(x)
        dx = self.J0 @ f + S @ f / x.size - self.mu * x
        return dx, -self.kappa * jnp.outer(f, f) - self.decay * S

    def extremes(self, y):
        """Smallest and largest eigenvalue of J."""
        values = jnp.linalg.eigvalsh(self.J0 + y[1] / y[0].size)
        return values[0], values[-1]

    def record(self, t, y):
        """What is kept at the times asked for."""
        f = activation_function(self.activation)(y[0])
        return jnp.mean(f**2), *self.extremes(y)

    def blown(self, t, y):
        """Changes sign when the spikes are too large."""
        size = jnp.mean((y[1] / y[0].size) ** 2) / jnp.mean(self.J0**2)
        return jnp.log1p(size) - 2 * np.log(BLOW_UP)

    def escaped(self, t, y):
        """Changes sign when an extreme eigenvalue passes the level."""
        low, high = self.extremes(y)
        return jnp.maximum(high, -low) - self.level


def _asked(method):
    """The method of the network that the solver passes on."""
    return lambda t, y, args, **kwargs: method(args, t, y)


@eqx.filter_jit
def _flow(model, key, numbers, controller, solver, adjoint, how) -> Flow:
    size, stop_at_escape, dense, max_steps = how
    duration, times, level = numbers
    J0, start = _sample(model, size, key)
    network = _Network(model.mu, model.kappa, model.decay, J0, level, model.activation)
    conditions = {"blown": _asked(_Network.blown)}
    if stop_at_escape:
        conditions["escaped"] = _asked(_Network.escaped)
    save = {
        "record": diffrax.SubSaveAt(ts=times, fn=_asked(_Network.record)),
        "end": diffrax.SubSaveAt(t1=True),
    }
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(_asked(_Network.motion)),
        solver,
        t0=jnp.zeros(()),
        t1=duration,
        dt0=None,
        y0=(start, jnp.zeros_like(J0)),
        args=network,
        saveat=diffrax.SaveAt(subs=save, dense=dense),
        stepsize_controller=controller,
        adjoint=adjoint,
        event=diffrax.Event(conditions, optx.Newton(1e-8, 1e-8)),
        max_steps=max_steps,
        throw=False,
    )
    return _as_flow(sol, times, level, J0)


def _as_flow(sol, times, level, J0) -> Flow:
    end, (state, spikes) = sol.ts["end"][0], jax.tree.map(lambda x: x[0], sol.ys["end"])
    left = sol.event_mask.get("escaped", jnp.zeros((), bool))
    fine = (sol.result == diffrax.RESULTS.successful) | left
    bad = RESULTS.where(sol.event_mask["blown"], RESULTS.divergent, RESULTS.unconverged)
    activity, smallest, largest = sol.ys["record"]
    return Flow(
        times=times,
        activity=activity,
        smallest=smallest,
        largest=largest,
        end=end,
        escape_time=jnp.where(left, end, jnp.inf),
        level=level,
        state=state,
        matrix=J0 + spikes / state.size,
        result=RESULTS.where(fine, RESULTS.successful, bad),
        steps=sol.stats["num_accepted_steps"],
        interpolation=sol.interpolation,
        initial=J0,
    )


def _sample(model, size: int, key):
    """J_0 and x_0."""
    first, second = jax.random.split(key)
    A = jax.random.normal(first, (size, size))
    J0 = model.sigma * (A + A.T) / np.sqrt(2 * size)
    return J0, jnp.sqrt(model.x0_variance) * jax.random.normal(second, (size,))


def _largest_part(y) -> Float[Array, ""]:
    """The larger of the root mean squares of x and of S: x must not drown in N times more."""
    return jnp.max(jnp.stack([jnp.sqrt(jnp.mean(part**2)) for part in jax.tree.leaves(y)]))
