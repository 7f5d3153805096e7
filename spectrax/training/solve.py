"""Level 1: from a model to its order parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Float

from spectrax import _kind
from spectrax.program.gaussian import GaussianLimit
from spectrax.program.interpreter import AbstractInterpreter, AbstractLimit
from spectrax.program.sampled import SampledLimit
from spectrax.program.solvers import (
    AbstractAdjoint,
    AbstractSolver,
    CausalAdjoint,
    CausalSweep,
    Iteration,
    limit,
    residual,
)
from spectrax.training.base import AbstractDMFT
from spectrax.training.order import Order
from spectrax.training.solution import RESULTS, Residual, Solution, Stats


def solve(
    model: AbstractDMFT,
    *,
    interpreter: GaussianLimit | SampledLimit | None = None,
    solver: AbstractSolver | optx.AbstractFixedPointSolver | optx.AbstractRootFinder | None = None,
    adjoint: AbstractAdjoint | None = None,
    throw: bool = True,
    allow_float32: bool = False,
) -> Solution:
    """Solve the dynamical mean-field theory of a model's training.

    Args:
        model: e.g. `DeepLinear`.
        interpreter: `GaussianLimit()` by default, exact for linear models; a
            `SampledLimit(num_neurons, key=key)` for nonlinear ones.
        solver: `CausalSweep()` by default; an Optimistix solver iterates `model.update` instead.
        adjoint: how to differentiate: `CausalAdjoint()` by default, or `ImplicitAdjoint()`.
        throw: raise if the training diverges. Acts on concrete results only: nothing is raised
            under `jit`, `vmap` or `grad`; there and with `throw=False` look at `.result`.
        allow_float32: the theory needs double precision; True solves single precision all the same.

    Returns:
        A `Solution`. After a divergence everything before it is intact.

    Raises:
        ValueError: if a hyperparameter is in single precision, if the model is nonlinear and there
            is no `SampledLimit`, or if it is a batch of models (`jax.vmap(solve)` takes those).
        RuntimeError: if the training diverges (names the step).

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> solution = sx.solve(sx.DeepLinear(1, 5, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0))
        >>> print(solution.test_loss.round(4))
        [1.0625 0.7227 0.5247 0.3722 0.2704]

    Source: theory page, section 3.2.
    """
    if jnp.ndim(getattr(_kind.model(model), "sigma", 0.0)):
        raise ValueError(
            f"Argument `model` must be one model, got a batch of shape {jnp.shape(model.sigma)}; "
            "use `jax.vmap(solve)`."
        )
    leaves = [
        x
        for x in jax.tree.leaves(model)
        if eqx.is_array(x) and jnp.isdtype(x.dtype, "real floating")
    ]
    if not allow_float32 and any(x.dtype != jnp.float64 for x in leaves):
        raise ValueError(
            "Argument `model` has hyperparameters in single precision; call "
            "`spectrax.enable_x64()` before building it, or pass `allow_float32=True`."
        )
    interpreter = GaussianLimit() if interpreter is None else interpreter
    if not isinstance(interpreter, AbstractInterpreter):
        raise ValueError(
            f"Argument `interpreter` must be a GaussianLimit or a SampledLimit, got {interpreter}."
        )
    if solver is None:
        solver = CausalSweep()
    elif not isinstance(solver, AbstractSolver):
        solver = Iteration(_kind.provides("solver", solver, _SOLVERS, "init", "terminate"))
    adjoint = CausalAdjoint() if adjoint is None else adjoint
    if not isinstance(adjoint, AbstractAdjoint):
        raise ValueError(
            f"Argument `adjoint` must be a CausalAdjoint or an ImplicitAdjoint, got {adjoint!r}."
        )
    limits = interpreter.prepare(model.plan(), model.num_steps)
    found = [_solve(model, prepared, solver, adjoint) for prepared in limits]
    later = not jax.tree.leaves(interpreter)  # what was prepared from arrays is not made again
    if not later:
        each = [_residual(model, prepared, solver, adjoint) for prepared in limits]
        found = [_with_residual(x, gap) for x, gap in zip(found, each, strict=True)]
    solution = found[0] if len(found) == 1 else _average(found)
    if later:
        stats = Stats(solution.stats, Residual(model, limits[0], solver, adjoint, _residual))
        solution = eqx.tree_at(lambda x: x.stats, solution, stats)
    if throw and not isinstance(solution.result._value, jax.core.Tracer):
        if not bool(jnp.all(solution.result == RESULTS.successful)):
            raise RuntimeError(solution.message)
    return solution


_SOLVERS = "a CausalSweep or a solver of Optimistix"


@eqx.filter_jit
def _solve(
    model: AbstractDMFT,
    interpreter: AbstractLimit,
    solver: AbstractSolver,
    adjoint: AbstractAdjoint,
) -> Solution:
    if not model.has_gradients:
        model = _without_gradients(model)
    task = model.task(interpreter)
    history = limit(task, solver=solver, adjoint=adjoint)
    diverged_at = jnp.sum(history.live)  # live is a prefix of the steps
    bad = RESULTS.unconverged if isinstance(solver, Iteration) else RESULTS.divergent
    result = RESULTS.where(history.live[-1], RESULTS.successful, bad)
    result = RESULTS.where(model.valid(), result, RESULTS.invalid)
    stats = {"diverged_at": diverged_at}
    kernels = interpreter.order(task.plan, history.tapes, task.weights())
    order = Order(kernels, task.plan, model.layers, task.weights())
    return Solution(model, order, history.seen, model.coordinates(), result, stats)


@eqx.filter_jit
def _residual(model, interpreter, solver, adjoint) -> Float[Array, ""]:
    """How far the answer is from self-consistency; it costs a solve."""
    arrays, rest = eqx.partition(model, eqx.is_array)
    task = eqx.combine(jax.lax.stop_gradient(arrays), rest).task(interpreter)
    return residual(task, limit(task, solver=solver, adjoint=adjoint))


def _with_residual(solution: Solution, gap) -> Solution:
    stats = {**solution.stats, "residual": gap}
    return eqx.tree_at(lambda x: x.stats, solution, stats)


@eqx.filter_custom_jvp
def _without_gradients(model: AbstractDMFT) -> AbstractDMFT:
    return model


@_without_gradients.def_jvp
def _refuse_gradients(primals, tangents):
    del primals, tangents
    raise NotImplementedError(
        "Argument `activation` has a kink: derivatives along sampled paths are biased there, so "
        "none are given; use a smooth activation such as 'gelu' or 'softplus'."
    )


def _average(found: list[Solution]) -> Solution:
    """Mean of independent solutions, with standard errors; the first failure is the result."""

    def mean(*xs):
        return jnp.mean(jnp.stack(xs), axis=0)

    def stderr(*xs):
        return jnp.std(jnp.stack(xs), axis=0, ddof=1) / len(xs) ** 0.5

    parts = [(x.observed, x.order) for x in found]
    observed, order = jax.tree.map(mean, *parts)
    errors = jax.tree.map(stderr, *parts)
    stats = {
        "residual": jnp.max(jnp.stack([x.stats["residual"] for x in found])),
        "diverged_at": jnp.min(jnp.stack([x.stats["diverged_at"] for x in found])),
        "stderr": errors[0],
        "order_stderr": errors[1],
    }
    result = found[0].result
    for other in found[1:]:
        result = RESULTS.where(result == RESULTS.successful, other.result, result)
    first = found[0]
    return Solution(first.model, order, observed, first.coordinates, result, stats)
