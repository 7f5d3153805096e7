"""µP found by gradient: exponents of width for which training does not depend on width."""

import functools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import _kind, _show, check
from spectrax.parameterization import Parameterization
from spectrax.spectrum.kernel.ntk import ntk_path
from spectrax.spectrum.trajectory.escape import escape_time, strength_path
from spectrax.training.solve import solve
from spectrax.transfer.optimum import optimal_lr


def _strengths(model):
    solution = solve(model, throw=False)
    fine = solution.stats["diverged_at"] == model.num_steps
    weights = solution.weights(-1)
    # over the aspect ratio, which is the width ratio where there is one hidden layer
    return jnp.where(fine, strength_path(weights)[1:, 0] / weights.aspect, jnp.inf)


def _escape(model):
    return escape_time(solve(model, throw=False), layer=-1)


def _sharpness(model):
    return jnp.max(ntk_path(solve(model, throw=False), kernel=model.governing_kernel))


OBSERVABLES: dict[str, Callable] = {
    "strengths": _strengths,  # theta^2(t) / alpha_W of the last hidden weight
    "escape_time": _escape,
    "sharpness": _sharpness,
    "optimal_lr": optimal_lr,
}


class Fit(eqx.Module):
    """What `fit_parameterization` found.

    Args:
        parameterization: the exponents of the lowest spread.
        spread: relative spread over widths there.
        path: exponents (output, learning rate) along the descent, (steps + 1, 2).
        spreads: relative spread along the descent, +inf where a trial diverged, (steps + 1,).
    """

    parameterization: Parameterization
    spread: Float[Array, ""]
    path: Float[Array, "steps 2"]
    spreads: Float[Array, " steps"]

    __repr__ = _show.table


def relative_spread(values: Float[Array, "widths *shape"]) -> Float[Array, ""]:
    r"""$\sum_t \mathrm{Var}_\nu\, x(t) / \sum_t (\mathrm{mean}_\nu\, x(t))^2$; +inf if not finite.

    Relative, because the absolute spread is smallest where nothing is learned.
    """
    fine = jnp.all(jnp.isfinite(values))
    values = jnp.where(fine, values, 1.0)
    mean = jnp.mean(values, axis=0)
    size = jnp.sum(mean**2)
    spread = jnp.sum(jnp.var(values, axis=0)) / jnp.where(size > 0, size, 1.0)
    return jnp.where(fine & (size > 0), spread, jnp.inf)


def fit_parameterization(
    model,
    widths: Sequence[float] | ArrayLike,
    *,
    observable: str | Callable = "strengths",
    start: Parameterization | tuple[float, float] = (0.0, 0.0),
    optimizer: optax.GradientTransformation | None = None,
    num_iterations: int = 80,
) -> Fit:
    r"""Exponents of width, by gradient descent on the spread of an observable over widths.

    $\gamma = \gamma_0\nu^a$, $\eta_{\mathrm{eff}} = \eta\nu^b$: minimises over (a, b) the relative
    spread, descending its root. A trial that diverges counts as +inf: it is taken back, and the
    next one goes half as far.

    Args:
        model: its width and parameterization do not matter.
        widths: at least two width ratios $\nu$.
        observable: "strengths" ($\theta^2(t)/\alpha_W$ of the last hidden weight), "escape_time",
            "sharpness", "optimal_lr", or a function of the model that returns an array. With one
            number per width, as the last three, few widths fix a curve of exponents, not a point.
        start: first exponents (a, b).
        optimizer: an Optax transformation; None = Adam with a cosine-decayed rate of 0.1.
        num_iterations: of the descent.

    Returns:
        A `Fit`.

    Raises:
        ValueError: one sentence naming the argument and its value, also if the first trial is not
            finite.

    Source: theory page, section 7.
    """
    _kind.deep_linear(model)
    nu = width_ratios(widths)
    num_iterations = check.integer("num_iterations", num_iterations, 1)
    if isinstance(observable, str):
        observable = OBSERVABLES[check.one_of("observable", observable, tuple(OBSERVABLES))]
    if optimizer is None:
        optimizer = _default_optimizer(num_iterations)
    if isinstance(start, Parameterization):
        start = (start.output_exponent, start.lr_exponent)
    exponents = jnp.asarray(start, float)
    path, spreads = _descend(model, nu, exponents, observable, optimizer, num_iterations)
    if not isinstance(spreads, jax.core.Tracer) and not np.isfinite(spreads[0]):
        raise ValueError(
            f"Argument `start` must be exponents for which no width diverges and something is "
            f"learned, got {tuple(float(x) for x in exponents)}."
        )
    best = jnp.argmin(spreads)
    return Fit(Parameterization(path[best, 0], path[best, 1]), spreads[best], path, spreads)


@functools.lru_cache
def _default_optimizer(num_iterations: int) -> optax.GradientTransformation:
    """One object for each length: a new one is a new function, and everything compiles again."""
    rate = optax.cosine_decay_schedule(0.1, num_iterations)
    return optax.adam(rate, b1=0.8, b2=0.95)


def width_ratios(widths) -> Float[Array, " widths"]:
    """At least two positive numbers, as an array."""
    if np.ndim(widths) != 1 or np.size(widths) < 2:
        raise ValueError(f"Argument `widths` must be at least two numbers, got {widths}.")
    return jnp.asarray(check.positive("widths", jnp.asarray(widths, float)))


@eqx.filter_jit
def _descend(model, nu, exponents, observable, optimizer, num_iterations: int):
    """Exponents and spreads along the descent."""

    def spread(exponents):
        def at(nu):
            parameterization = Parameterization(exponents[0], exponents[1])
            return observable(
                eqx.tree_at(lambda m: (m.nu, m.parameterization), model, (nu, parameterization))
            )

        return relative_spread(jax.vmap(at)(nu))

    def value_and_slope(exponents):
        """The slope is that of the root: steps stay of one size while the spread falls by decades.

        With two exponents forward mode costs less than reverse.
        """
        value, slope = jax.vmap(
            lambda direction: jax.jvp(spread, (exponents,), (direction,)), out_axes=(None, 0)
        )(jnp.eye(2))
        return value, slope / (2 * jnp.sqrt(jnp.where(value > 0, value, jnp.inf)))

    def step(carry, _):
        exponents, move, state = carry
        value, slope = value_and_slope(exponents)
        good = jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
        updates, new = optimizer.update(jnp.where(good, slope, 0.0), state, exponents)
        state = jax.tree.map(lambda x, y: jnp.where(good, x, y), new, state)
        # a bad trial is taken back by half of the move that led there
        move = jnp.where(good, updates, -move / 2)
        return (exponents + move, jnp.where(good, move, -move), state), (exponents, value)

    start = (exponents, jnp.zeros_like(exponents), optimizer.init(exponents))
    _, (path, spreads) = jax.lax.scan(step, start, length=num_iterations + 1)
    return path, spreads
