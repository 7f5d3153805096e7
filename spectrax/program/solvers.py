"""How the limit of a program is found, and how it is differentiated: two independent choices."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Float

from spectrax.program.adjoint import causal_tangent
from spectrax.program.causal import History, Task, all_linear, sweep, tangent, update
from spectrax.program.tapes import Tapes


class AbstractSolver(eqx.Module):
    """A way to find the fixed point of the self-consistency map."""

    @abc.abstractmethod
    def solve(self, task: Task) -> History:
        """The limit of the program."""


class CausalSweep(AbstractSolver):
    """Row by row in time: exact, no iteration, no overflow before the training itself diverges."""

    def solve(self, task: Task) -> History:
        """The limit of the program."""
        return sweep(task)


class Iteration(AbstractSolver):
    """Any Optimistix solver, on the self-consistency map over whole kernels, from zero.

    Causality makes plain iteration end after as many rounds as there are steps, but in the rich
    regime its early rounds overflow: `CausalSweep` is the solver to use, this is its check.
    """

    solver: optx.AbstractFixedPointSolver | optx.AbstractRootFinder
    max_steps: int = 1024

    def solve(self, task: Task) -> History:
        """The limit of the program."""
        found = optx.fixed_point(
            lambda tapes, task: update(task, tapes)[0],
            self.solver,
            task.blank(),
            args=task,
            max_steps=self.max_steps,
            throw=False,
        )
        tapes, seen = update(task, found.value)
        found = jnp.full(task.coordinates.shape[0], found.result == optx.RESULTS.successful)
        return History(tapes, seen, found)


class AbstractAdjoint(eqx.Module):
    """A way to differentiate the fixed point."""

    @abc.abstractmethod
    def tangent(self, task: Task, history: History, task_dot: Task) -> tuple[Tapes, dict]:
        """Tangents of tapes and observations, linear in `task_dot`."""


class CausalAdjoint(AbstractAdjoint):
    """The sweep of tangents; in reverse mode, the sweep backward in time.

    Needs the final tapes only: memory of a few times the tapes.
    """

    def tangent(self, task: Task, history: History, task_dot: Task) -> tuple[Tapes, dict]:
        """Tangents of tapes and observations, linear in `task_dot`."""
        return causal_tangent(task, history, task_dot)


class ImplicitAdjoint(AbstractAdjoint):
    r"""Implicit differentiation of the self-consistency map F, matrix-free.

    $(1 - \partial_x F)\,\dot x = \partial_\theta F\,\dot\theta$. By causality $\partial_x F$ is
    nilpotent; a Krylov solver needs few products.

    Args:
        linear_solver: an iterative Lineax solver.
    """

    linear_solver: lx.AbstractLinearSolver = lx.GMRES(1e-11, 1e-11, restart=40)

    def tangent(self, task: Task, history: History, task_dot: Task) -> tuple[Tapes, dict]:
        """Tangents of tapes and observations, linear in `task_dot`."""

        def F(task, tapes):
            return update(task, tapes, history.live)

        forced = tangent(lambda task: F(task, history.tapes)[0], (task,), (task_dot,))
        forced = all_linear(forced, task_dot)
        _, product = jax.linearize(lambda x: F(task, x)[0], history.tapes)

        def matvec(x):
            return jax.tree.map(jnp.subtract, x, product(x))

        dots = jax.lax.custom_linear_solve(matvec, forced, self._solve, self._solve)
        return dots, tangent(F, (task, history.tapes), (task_dot, dots))[1]

    def _solve(self, matvec, b: Tapes) -> Tapes:
        """Solve for a unit right-hand side: tolerances of Krylov solvers are not scale-free."""
        norm = optx.two_norm(b)
        scale = jnp.where(norm > 0, norm, 1.0)
        b = jax.tree.map(lambda x: x / scale, b)
        operator = lx.FunctionLinearOperator(matvec, jax.eval_shape(lambda: b))
        state = self.linear_solver.init(operator, {})
        x, result, _ = self.linear_solver.compute(state, b, {})
        failed = result != lx.RESULTS.successful
        return jax.tree.map(lambda x: jnp.where(failed, jnp.nan, x * scale), x)


@eqx.filter_custom_jvp
def limit(task: Task, *, solver: AbstractSolver, adjoint: AbstractAdjoint) -> History:
    """The limit of a program, differentiable in forward and reverse mode."""
    del adjoint
    return solver.solve(task)


@limit.def_jvp
def _limit_jvp(primals, tangents, *, solver, adjoint):
    (task,), (task_dot,) = primals, tangents
    history = limit(task, solver=solver, adjoint=adjoint)
    tapes_dot, seen_dot = adjoint.tangent(task, history, task_dot)
    return history, History(tapes_dot, seen_dot, None)


def residual(task: Task, history: History) -> Float[Array, ""]:
    """Largest violation of self-consistency, |x - F(x)| / (1 + |x|), over steps that are finite."""
    dynamic, static = eqx.partition((task, history), eqx.is_array)
    task, history = eqx.combine(jax.lax.stop_gradient(dynamic), static)
    tapes, _ = update(task, history.tapes, history.live)

    def gap(x, y):
        return jnp.max(jnp.abs(x - y) / (1.0 + jnp.abs(y)), initial=0.0)

    gaps = jax.tree.map(gap, tapes, history.tapes)
    return jnp.stack(jax.tree.leaves(gaps)).max()
