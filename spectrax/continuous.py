r"""Networks whose matrix learns in continuous time: a coupled ODE, solved by Diffrax."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float, PRNGKeyArray

from spectrax import _check
from spectrax.solution import RESULTS
from spectrax.training.activations import activation_function
from spectrax.training.hebbian import AntiHebbian

TRACY_WIDOM = 3.27  # 99.9 % quantile of the largest eigenvalue in units of sigma N^(-2/3)
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
        times: where to record; 33 evenly spaced times by default.
        stop_at_escape: stop when an extreme eigenvalue passes `level`.
        level: distance from zero at which an eigenvalue counts as out of the bulk; by default
            $2\sigma + 3.27\,\sigma N^{-2/3}$, which one matrix in a thousand passes on either side
            without any spikes.
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

    Example:
        >>> import jax, spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.AntiHebbian(40, dt=0.1, mu=-0.5, kappa=2.0)
        >>> motion = sx.flow(model, 100, key=jax.random.key(0), stop_at_escape=True)
        >>> bool(1 < motion.escape_time < 2)
        True

    Source: theory page, section 2.4.
    """
    size = _check.integer("size", size, 2)
    max_steps = _check.integer("max_steps", max_steps, 1)
    duration = model.num_steps * model.dt
    if times is None:
        times = jnp.linspace(0.0, 1.0, 33) * duration
    times = _check.shaped("times", times, (None,))
    if level is None:
        level = model.sigma * (2 + TRACY_WIDOM * size ** (-2 / 3))
    _check.positive("level", level)
    controller = diffrax.PIDController(
        rtol=_check.positive("rtol", rtol), atol=_check.positive("atol", atol), norm=_largest_part
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


@eqx.filter_jit
def _flow(model, key, numbers, controller, solver, adjoint, how) -> Flow:
    size, stop_at_escape, dense, max_steps = how
    duration, times, level = numbers
    phi = activation_function(model.activation)
    J0, start = _sample(model, size, key)

    def motion(t, y, args):
        del t
        mu, kappa, decay, J0 = args
        x, S = y
        f = phi(x)
        return J0 @ f + S @ f / size - mu * x, -kappa * jnp.outer(f, f) - decay * S

    def extremes(y):
        values = jnp.linalg.eigvalsh(J0 + y[1] / size)
        return values[0], values[-1]

    def record(t, y, args):
        del t, args
        return jnp.mean(phi(y[0]) ** 2), *extremes(y)

    def blown(t, y, args, **kwargs):
        del t, args, kwargs
        return jnp.log1p(jnp.mean((y[1] / size) ** 2) / jnp.mean(J0**2)) - 2 * np.log(BLOW_UP)

    def escaped(t, y, args, **kwargs):
        del t, args, kwargs
        low, high = extremes(y)
        return jnp.maximum(high, -low) - level

    conditions = {"blown": blown} | ({"escaped": escaped} if stop_at_escape else {})
    save = {"record": diffrax.SubSaveAt(ts=times, fn=record), "end": diffrax.SubSaveAt(t1=True)}
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(motion),
        solver,
        t0=jnp.zeros(()),
        t1=duration,
        dt0=None,
        y0=(start, jnp.zeros_like(J0)),
        args=(model.mu, model.kappa, model.decay, J0),
        saveat=diffrax.SaveAt(subs=save, dense=dense),
        stepsize_controller=controller,
        adjoint=adjoint,
        event=diffrax.Event(conditions, optx.Newton(1e-8, 1e-8)),
        max_steps=max_steps,
        throw=False,
    )
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
        matrix=J0 + spikes / size,
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
