"""Edge of stability: which learning rates training survives."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float, Int

from spectrax import _kind, _show, check
from spectrax._batches import counted, over_batches
from spectrax.program.causal import tangent
from spectrax.spectrum.kernel.nested_products import NestedProducts
from spectrax.spectrum.kernel.ntk import ntk_path, ntk_top
from spectrax.training.solution import RESULTS, Solution
from spectrax.training.solve import solve
from spectrax.transfer._crossing import GridCrossing

NODES = 12  # of the grid on which the first crossing is looked for
TOLERANCE = 1e-10


class Stability(eqx.Module):
    r"""How far a training stays from the edge of stability, $\eta\kappa(t) < 2$.

    Args:
        sharpness: $\kappa(t)$ before each update, (num_steps,); +inf from a divergence on.
        bound: sharpness that is just stable at each step: $2/\eta_t$ for plain gradient descent,
            $(2 + 2\mu - \lambda)/\eta_t$ with momentum and decay, (num_steps,).
        crossed_at: first step with a sharpness above it, num_steps if there is none.
        result: `RESULTS.successful`, `RESULTS.unstable` or `RESULTS.divergent`.
    """

    sharpness: Float[Array, "*batch t"]
    bound: Float[Array, "*batch t"]
    crossed_at: Int[Array, "*batch"]
    result: RESULTS

    __repr__ = _show.table

    @property
    def message(self) -> str:
        """One sentence on how it went (concrete results only), with their numbers for a batch."""
        if self.sharpness.ndim > 1:
            return counted(self, len(self.sharpness))
        sentence = RESULTS[self.result]
        if self.result == RESULTS.unstable:
            sentence = f"The training is unstable from step {int(self.crossed_at)} on."
        return sentence


@over_batches
def stability(solution: Solution, *, kernel: str | None = None, num: int = 24) -> Stability:
    r"""Sharpness along a training against the largest stable one.

    Crossing $\eta\kappa = 2$ does not by itself make a training diverge: the motion first becomes
    bounded but does not converge. The two are two result codes.

    Args:
        solution: what `solve` returned (with `throw=False` if it may diverge).
        kernel: "population" or "train"; None = the one that governs the model's data: "population"
            for online data, "train" for full batch.
        num: Lanczos iterations.

    Returns:
        A `Stability`.

    Source: theory page, section 3.6.
    """
    model: Any = _kind.with_kernel(solution).model
    sharpness = ntk_path(solution, kernel=_kernel(model, kernel), num=num)
    rates = jnp.broadcast_to(model.effective_eta(), sharpness.shape)
    bound = model.stability_bound() / jnp.where(rates > 0, rates, jnp.finfo(rates.dtype).tiny)
    above = sharpness > bound
    crossed = jnp.where(jnp.any(above), jnp.argmax(above), len(sharpness))
    result = RESULTS.where(jnp.any(above), RESULTS.unstable, RESULTS.successful)
    diverged = solution.stats["diverged_at"] < len(sharpness)
    return Stability(sharpness, bound, crossed, RESULTS.where(diverged, RESULTS.divergent, result))


def max_stable_lr(model, *, kernel: str | None = None, num: int = 24) -> Float[Array, ""]:
    r"""Smallest learning rate $\eta$ with $\eta_{\mathrm{eff}} \max_{t<T} \kappa(t) = 2$.

    Sharpness depends on the rate through the training itself. With momentum and decay the bound is
    $2 + 2\mu - \lambda$. The answer lies below 2 over the sharpness at initialization, which is the
    edge of a bulk in closed form; this range is scanned, and the first crossing refined.

    Args:
        model: with a constant learning rate, whose value does not matter.
        kernel: "population" or "train"; None = the one that governs the model's data.
        num: Lanczos iterations.

    Returns:
        $\eta$, a scalar; differentiable (implicitly) in every other hyperparameter.

    Raises:
        ValueError: for a schedule, an `optimizer`, or "train" with online data.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 10, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0, data="online")
        >>> print(f"{sx.max_stable_lr(model):.4f}")
        0.2310

    Source: theory page, sections 3.6 and 7.
    """
    require_constant(_kind.deep_linear(model))
    kernel, num = _kernel(model, kernel), check.integer("num", num, 4)
    return _max_stable(model, kernel=kernel, num=num)


def initial_sharpness(model, kernel: str) -> Float[Array, ""]:
    """Sharpness at initialization, where no mode has escaped: the edge of the kernel's bulk."""
    variance, aspect, scale = model.kernel_chain(kernel)
    shift = jnp.stack([model.sigma ** (2 * k) for k in range(1, model.depth + 1)])
    shift = jnp.pad(shift, (0, len(variance) - model.depth))
    return NestedProducts(variance, aspect, scale, shift).top()


def largest_conceivable_lr(model, kernel: str) -> Float[Array, ""]:
    """Learning rate at which the first step is just stable."""
    unit = with_eta(model, jnp.ones_like(model.eta)).effective_eta()
    return model.stability_bound() / (initial_sharpness(model, kernel) * unit)


def with_eta(model, eta):
    """The model with another learning rate."""
    return eqx.tree_at(lambda m: m.eta, model, eta)


def only_eta(model, value):
    """A tangent of the model that moves nothing but the learning rate."""
    nothing = jax.tree.map(lambda _: None, model)
    return eqx.tree_at(lambda m: m.eta, nothing, value, is_leaf=lambda x: x is None)


def _kernel(model, kernel: str | None) -> str:
    if kernel is None:
        return model.governing_kernel
    return check.kernel(kernel)


def require_constant(model) -> None:
    """Refuse a schedule."""
    if np.ndim(model.eta) != 0:
        raise ValueError(
            "Argument `model` must have a constant learning rate, got a schedule of shape "
            f"{np.shape(model.eta)}."
        )


@eqx.filter_custom_jvp
def _max_stable(model, *, kernel: str, num: int):
    top = largest_conceivable_lr(model, kernel)

    def excess(eta, model):
        solution = solve(with_eta(model, eta), throw=False)
        path = ntk_path(solution, kernel=kernel, num=num)
        # Far beyond the edge the sharpness is 1e90. Of several crossings the smallest.
        return jnp.log1p(_excess(solution.model, jnp.max(path))), eta

    grid = top * jnp.linspace(1 / NODES, 1.0 + 1e-9, NODES)
    solver = GridCrossing(rtol=TOLERANCE, atol=0.0)
    fixed = jax.lax.stop_gradient(model)
    # Rich networks leave the edge at rates far below all others: up to gamma0 of 1e4.
    options = {"grid": jnp.concatenate([1e-8 * grid[:1], grid])}
    return optx.root_find(
        excess, solver, options["grid"][0], fixed, options, has_aux=True, max_steps=80, throw=False
    ).value


@_max_stable.def_jvp
def _max_stable_jvp(primals, tangents, *, kernel: str, num: int):
    (model,), (dot,) = primals, tangents
    eta = _max_stable(model, kernel=kernel, num=num)
    here = with_eta(model, eta)
    solution = solve(jax.lax.stop_gradient(here), throw=False)
    step = jnp.argmax(ntk_path(solution, kernel=kernel, num=num))  # the others do not matter

    def excess(model):
        solution = solve(model, throw=False)
        return _excess(model, ntk_top(solution, step, kernel=kernel, num=num))

    slope = eqx.filter_jvp(excess, (here,), (only_eta(model, jnp.ones_like(eta)),))[1]
    dot = eqx.tree_at(lambda m: m.eta, dot, None, is_leaf=lambda x: x is None)
    move = tangent(excess, (here,), (dot,))  # zero if only eta is varied
    return eta, -move / slope


def _excess(model, sharpness):
    """Zero at the edge of stability, relative to the bound."""
    return model.effective_eta() * sharpness / model.stability_bound() - 1
