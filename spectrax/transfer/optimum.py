"""The learning rate with the lowest loss, and how it moves with everything else."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Float

from spectrax import _kind, check
from spectrax.training.solve import solve
from spectrax.transfer._crossing import GridCrossing
from spectrax.transfer.stability import largest_conceivable_lr, only_eta, require_constant, with_eta

LOWEST, HIGHEST = 2.0**-6, 1.0  # range of the search, over the largest conceivable rate
TOLERANCE = 1e-9


def optimal_lr(
    model, *, loss: str = "test", nodes: int = 25, span: tuple[float, float] = (LOWEST, HIGHEST)
) -> Float[Array, ""]:
    r"""Constant learning rate of the lowest loss at the last step, $\arg\min_\eta L_{T-1}(\eta)$.

    The loss and its derivative are scanned on a logarithmic grid; the zero of the derivative next
    to the lowest node is refined. Rates at which the training diverges are none.

    Args:
        model: with a constant learning rate, whose value does not matter.
        loss: "test" or "train".
        nodes: grid points.
        span: range of the grid, in units of the largest rate at which the first step is stable.

    Returns:
        $\eta$, a scalar; an end of the range if the loss falls towards it. Differentiable in every
        other hyperparameter, $d\eta = -\partial_\eta^{-2} L\; d\,\partial_\eta L$.

    Raises:
        ValueError: for a schedule, an `optimizer`, or an unknown loss.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 10, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> print(f"{sx.optimal_lr(model):.4f}")
        0.1886

    Source: theory page, section 7.
    """
    require_constant(_kind.deep_linear(model))
    check.one_of("loss", loss, ("test", "train"))
    nodes = check.integer("nodes", nodes, 3)
    low, high = (check.positive("span", end) for end in span)
    return _optimal(model, loss=loss, nodes=nodes, span=(float(low), float(high)))[0]


def final_loss(model, loss: str) -> Float[Array, ""]:
    """Loss at the last step, +inf if the training diverged before."""
    solution = solve(model, throw=False)
    return (solution.test_loss if loss == "test" else solution.train_loss)[-1]


def _slope(model, loss: str):
    """Loss and its derivative in log(eta)."""
    tangent = only_eta(model, model.eta)
    return eqx.filter_jvp(lambda model: final_loss(model, loss), (model,), (tangent,))


@eqx.filter_custom_jvp
def _optimal(model, *, loss: str, nodes: int, span: tuple[float, float]):
    """The rate, and whether it is inside the range."""

    def slope(log_eta, model):
        value, slope = _slope(with_eta(model, jnp.exp(log_eta)), loss)
        return jnp.where(jnp.isfinite(value), slope, jnp.inf), value

    fixed = jax.lax.stop_gradient(model)
    top = jnp.log(largest_conceivable_lr(fixed, fixed.governing_kernel))
    grid = top + jnp.linspace(jnp.log(span[0]), jnp.log(span[1]), nodes)
    options = {"grid": grid}
    solver = GridCrossing(rtol=0.0, atol=TOLERANCE)
    found = optx.root_find(
        slope, solver, grid[0], fixed, options, has_aux=True, max_steps=80 + nodes, throw=False
    )
    return jnp.exp(found.value), found.stats["found"]


@_optimal.def_jvp
def _optimal_jvp(primals, tangents, *, loss: str, nodes: int, span: tuple[float, float]):
    (model,), (dot,) = primals, tangents
    eta, found = _optimal(model, loss=loss, nodes=nodes, span=span)

    def slope(model):
        return _slope(model, loss)[1] / model.eta

    here = with_eta(model, eta)
    curvature = eqx.filter_jvp(slope, (here,), (only_eta(model, jnp.ones_like(eta)),))[1]
    dot = eqx.tree_at(lambda m: m.eta, dot, None, is_leaf=lambda x: x is None)
    move = eqx.filter_jvp(slope, (here,), (dot,))[1]
    safe = jnp.where(found, curvature, 1.0)
    return (eta, found), (jnp.where(found, -move / safe, 0.0), None)
