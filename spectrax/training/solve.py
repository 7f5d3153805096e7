"""Level 1: from a model to its order parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx

from spectrax.program.solvers import (
    AbstractAdjoint,
    AbstractSolver,
    CausalAdjoint,
    CausalSweep,
    Iteration,
    limit,
    residual,
)
from spectrax.solution import RESULTS, Solution
from spectrax.training.base import AbstractDMFT
from spectrax.training.order import Order


class GaussianLimit(eqx.Module):
    """Interpreter of linear programs: the exact limit, by coefficients on base Gaussians."""


def solve(
    model: AbstractDMFT,
    *,
    interpreter: GaussianLimit | None = None,
    solver: AbstractSolver | optx.AbstractFixedPointSolver | optx.AbstractRootFinder | None = None,
    adjoint: AbstractAdjoint | None = None,
    throw: bool = True,
    allow_float32: bool = False,
) -> Solution:
    """Solve the dynamical mean-field theory of a model's training.

    Args:
        model: e.g. `DeepLinear`.
        interpreter: None means `GaussianLimit()`, exact for linear programs.
        solver: `CausalSweep()` by default; an Optimistix solver iterates `model.update` instead.
        adjoint: how to differentiate: `CausalAdjoint()` by default, or `ImplicitAdjoint()`.
        throw: raise if the training diverges. Acts on concrete results only: nothing is raised
            under `jit`, `vmap` or `grad`; there and with `throw=False` look at `.result`.
        allow_float32: the theory needs double precision; True solves single precision all the same.

    Returns:
        A `Solution`. After a divergence everything before it is intact.

    Raises:
        ValueError: if a hyperparameter is in single precision.
        RuntimeError: if the training diverges (names the step).

    Example:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> solution = sx.solve(sx.DeepLinear(1, 5, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0))
        >>> print(solution.test_loss.round(4))
        [1.0625 0.7227 0.5247 0.3722 0.2704]

    Source: theory page, section 3.2.
    """
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
    if not isinstance(interpreter, GaussianLimit | None):
        raise ValueError(f"Argument `interpreter` must be a GaussianLimit, got {interpreter}.")
    if solver is None:
        solver = CausalSweep()
    elif not isinstance(solver, AbstractSolver):
        solver = Iteration(solver)
    solution = _solve(model, solver, CausalAdjoint() if adjoint is None else adjoint)
    if throw and not isinstance(solution.result._value, jax.core.Tracer):
        if not bool(jnp.all(solution.result == RESULTS.successful)):
            raise RuntimeError(solution.message)
    return solution


@eqx.filter_jit
def _solve(model: AbstractDMFT, solver: AbstractSolver, adjoint: AbstractAdjoint) -> Solution:
    task = model.task()
    history = limit(task, solver=solver, adjoint=adjoint)
    diverged_at = jnp.sum(history.live)  # live is a prefix of the steps
    bad = RESULTS.unconverged if isinstance(solver, Iteration) else RESULTS.divergent
    result = RESULTS.where(history.live[-1], RESULTS.successful, bad)
    result = RESULTS.where(model.valid(), result, RESULTS.invalid)
    stats = {"residual": residual(task, history), "diverged_at": diverged_at}
    order = Order(history.tapes, task.plan())
    return Solution(model, order, history.seen, model.coordinates(), result, stats)
