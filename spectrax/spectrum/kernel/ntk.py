"""The neural tangent kernel: its top eigenvalue (the sharpness) and its bulk."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax import _kind, check
from spectrax._batches import over_batches, require_one
from spectrax.program.causal import Task
from spectrax.program.field import Field
from spectrax.program.lanczos import Lanczos, lanczos
from spectrax.program.solvers import CausalAdjoint, CausalSweep, limit
from spectrax.program.tapes import Tapes
from spectrax.spectrum.kernel._jacobi import settled, top_of_jacobi
from spectrax.spectrum.kernel.nested_products import NestedProducts
from spectrax.spectrum.trajectory.escape import outlier_path

BATCH = 8  # steps probed together: bounds the memory of a path


class _Operator(eqx.Module):
    """The kernel of a model with given correlations of the backward fields."""

    model: eqx.Module
    G: tuple[Float[Array, "c c"], ...]
    kernel: str = eqx.field(static=True)

    def __call__(self, ops, v: Field) -> Field:
        apply: Callable = getattr(
            self.model, "train_kernel" if self.kernel == "train" else "tangent_kernel"
        )
        return apply(ops, v, self.G)


class _Trained(NamedTuple):
    """A training with the fields of its last weights: one row more than updates."""

    task: Task
    tapes: Tapes
    coordinates: Float[Array, "t1 t2"]


@over_batches
def ntk_top(
    solution, step: int | Int[Array, ""], *, kernel: str = "population", num: int = 24
) -> Float[Array, ""]:
    r"""Sharpness $\kappa$: the top eigenvalue of the neural tangent kernel after `step` updates.

    Gradient descent at rate $\eta$ is stable while $\eta\kappa < 2$, with the population kernel

    $$\Theta = G_1 + \tfrac1\nu Y_0^\top[G_2 + Y_1^\top[G_3 + \dots]Y_1]Y_0, \qquad
      G_l = \langle g^l g^l\rangle$$

    for online data, and with the kernel on the training samples $\frac1\alpha X\Theta X^\top$ for
    full batch. At depth 1 the population kernel is a shift, $\kappa = G_1 + \lambda/\nu$ with the
    top eigenvalue $\lambda$ of the first layer. Otherwise: Lanczos coefficients from further steps
    of the program, closed by those of the bulk: the whole semi-infinite matrix is solved.

    Args:
        solution: what `solve` returned.
        step: number of updates made, 0 … num_steps; may be traced.
        kernel: "population" or "train".
        num: Lanczos iterations.

    Returns:
        A scalar, the edge of the bulk where no mode has escaped; +inf from a divergence on.

    Raises:
        ValueError: if `step` is out of range, or `kernel` is "train" for online data.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 10, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> print(f"{sx.ntk_top(sx.solve(model), 9):.4f}")
        8.0783

    Source: theory page, section 3.6.
    """
    kernel = check.kernel(kernel)
    num = check.integer("num", num, 4)
    last = _kind.with_kernel(solution).model.num_steps
    step = check.step(step, last)
    return _path(solution, jnp.asarray(step)[None], kernel, num, _within(step, last))[0]


@over_batches
def ntk_path(solution, *, kernel: str = "population", num: int = 24) -> Float[Array, " t"]:
    r"""The sharpness $\kappa(t)$ before each update, t = 0 … T − 1, shape (num_steps,).

    Args:
        solution: what `solve` returned.
        kernel: "population" or "train".
        num: Lanczos iterations.

    Raises:
        ValueError: if `kernel` is "train" for online data.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 10, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> sx.ntk_path(sx.solve(model))[jnp.array([0, 5, 9])].round(2).tolist()
        [5.0, 7.32, 8.08]

    Source: theory page, section 3.6.
    """
    kernel = check.kernel(kernel)
    num = check.integer("num", num, 4)
    _kind.with_kernel(solution)
    return _path(solution, jnp.arange(solution.model.num_steps), kernel, num, True)


def ntk_law(solution, step: int | Int[Array, ""], *, kernel: str = "population") -> NestedProducts:
    """Bulk of the neural tangent kernel after `step` updates: density, resolvent, edges.

    Spikes move no bulk: it is that of independent random weights with the correlations of the
    backward fields of this step, a shifted Marchenko-Pastur law at depth 1.

    Args:
        solution: what `solve` returned, for one class.
        step: number of updates made, 0 … num_steps; may be traced.
        kernel: "population" (on the input space) or "train" (on the samples).

    Returns:
        A law with `density(x)`, `stieltjes(z)`, `edges()`, `atom()`, and `result()`, which says
        whether its mass is one; not resolved from a divergence on.

    Raises:
        ValueError: for several classes, whose bulks do not commute, or if a concrete `step` is out
            of range.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 10, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> [round(float(edge), 4) for edge in sx.ntk_law(sx.solve(model), 0).edges()]
        [1.0, 5.0]

    Source: theory page, section 3.6.
    """
    kernel = check.kernel(kernel)
    require_one("solution", _kind.with_kernel(solution))
    step = check.step(step, solution.model.num_steps)
    classes = solution.model.num_classes
    if classes != 1:
        raise ValueError(f"Argument `solution` must have one class, got {classes}.")
    trained = _extend(solution, _within(step, solution.model.num_steps))
    G = _gains(solution, trained.tapes, step)
    G = tuple(jnp.where(_alive(solution, step), x, jnp.inf) for x in G)
    return _law(solution.model, G, trained, step, kernel)


@eqx.filter_jit
def _path(solution, steps, kernel: str, num: int, within: bool):
    trained = _extend(solution, within)
    alive = _alive(solution, steps)
    steps = jnp.where(alive, steps, 0)  # derivatives of what is not shown could be NaN
    if solution.num_layers == 1 and kernel == "population":
        kappa = _by_shift(solution, trained, steps)
    else:
        probe = partial(_by_lanczos, solution, trained, kernel=kernel, num=num)
        kappa = jax.lax.map(probe, steps, batch_size=min(BATCH, len(steps)))
    return jnp.where(alive & jnp.isfinite(kappa), kappa, jnp.inf)


def _alive(solution, steps):
    """Whether a training had not diverged."""
    diverged_at = solution.stats["diverged_at"]
    return (steps < diverged_at) | (diverged_at == solution.model.num_steps)


def _within(step: int | Int[Array, ""], last: int) -> bool:
    """Whether a step is surely before the last one, whose fields no row of the tapes has."""
    return isinstance(step, int) and step < last


def _extend(solution, within: bool) -> _Trained:
    """The training; with one row more for the fields after the last update unless not needed."""
    task, coordinates = solution.model.task(), solution.coordinates
    if within:
        return _Trained(task, solution.order.tapes, coordinates)
    longer = jnp.pad(coordinates, ((0, 0), (0, 1)))
    more = task.followed_by(task.program, longer, solution.order.tapes)
    history = limit(more, solver=CausalSweep(), adjoint=CausalAdjoint())
    return _Trained(task, history.tapes, longer)


def _gains(solution, tapes: Tapes, step) -> tuple[Float[Array, "c c"], ...]:
    """Correlations of the backward fields at one step, those of the first layer first."""
    records = [matrix.backward for matrix in solution.order.plan.matrices]
    return tuple(tapes[name].gram[step, :, step, :] for name in records)


def _by_shift(solution, trained: _Trained, steps):
    (G,) = jax.vmap(lambda step: _gains(solution, trained.tapes, step))(steps)
    weights = solution.weights(0)
    top = outlier_path(weights).location[steps, 0]
    return jnp.linalg.eigvalsh(G)[:, -1] + top / weights.aspect


def _by_lanczos(solution, trained: _Trained, step, *, kernel: str, num: int):
    model, classes = solution.model, solution.model.num_classes
    G = _gains(solution, trained.tapes, step)
    space, record = ("samples", "X.backward") if kernel == "train" else ("input", "W0.forward")
    probe = Lanczos(_Operator(model, G, kernel), space, classes)
    theta = trained.coordinates[step]
    # from the first step's field: a late one is as small as the loss, with few correct digits
    a, b = lanczos(trained.task, trained.tapes, probe, theta, (record, 0), num)
    a, b = settled(a, b)
    if classes == 1:
        edge = _law(model, G, trained, step, kernel).top()
    else:
        edge = a[-1] + 2 * b[-1]
    return top_of_jacobi(a, b, edge)


def _law(model, G, trained: _Trained, step, kernel: str) -> NestedProducts:
    variance, aspect, scale = model.kernel_chain(kernel)
    weights = jnp.arange(variance.shape[0]) < len(G)  # the data have no factor a
    variance = jnp.where(weights, trained.coordinates[step, 0] ** 2, 1.0) * variance
    shift = jnp.stack([x[0, 0] for x in reversed(G)])
    return NestedProducts(variance, aspect, scale, jnp.pad(shift, (0, len(variance) - len(G))))
