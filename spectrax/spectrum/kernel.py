"""The neural tangent kernel: its top eigenvalue (the sharpness) and its bulk."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax import _check, _kind
from spectrax._batches import over_batches, require_one
from spectrax.program.causal import Task
from spectrax.program.field import Field
from spectrax.program.lanczos import Lanczos, lanczos
from spectrax.program.solvers import CausalAdjoint, CausalSweep, limit
from spectrax.program.tapes import Tapes
from spectrax.spectrum.escape import outlier_path
from spectrax.spectrum.nested_products import NestedProducts

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
    kernel = _check.kernel(kernel)
    num = _check.integer("num", num, 4)
    last = _kind.with_kernel(solution).model.num_steps
    step = _check.step(step, last)
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
    kernel = _check.kernel(kernel)
    num = _check.integer("num", num, 4)
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
    kernel = _check.kernel(kernel)
    require_one("solution", _kind.with_kernel(solution))
    step = _check.step(step, solution.model.num_steps)
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


def settled(
    a: Float[Array, " num"], b: Float[Array, " num"]
) -> tuple[Float[Array, " num"], Float[Array, " num"]]:
    """Lanczos coefficients, constant from where they change least.

    They converge fast to those of the bulk, but rounding errors grow with every iteration, for the
    kernel on the samples up to order one after 20 to 30.
    """
    change = jnp.abs(jnp.diff(a)) + jnp.abs(jnp.diff(b))  # (num - 1,)
    change = jnp.where(jnp.isfinite(change) & (b[1:] > 0), change, jnp.inf)
    change = jnp.maximum(jnp.maximum(change[2:], change[1:-1]), change[:-2])  # three in a row
    last = jnp.argmin(change) + 3
    k = jnp.arange(a.shape[0])
    return jnp.where(k < last, a, a[last]), jnp.where(k < last, b, b[last])


def _law(model, G, trained: _Trained, step, kernel: str) -> NestedProducts:
    variance, aspect, scale = model.kernel_chain(kernel)
    weights = jnp.arange(variance.shape[0]) < len(G)  # the data have no factor a
    variance = jnp.where(weights, trained.coordinates[step, 0] ** 2, 1.0) * variance
    shift = jnp.stack([x[0, 0] for x in reversed(G)])
    return NestedProducts(variance, aspect, scale, jnp.pad(shift, (0, len(variance) - len(G))))


def top_of_jacobi(
    a: Float[Array, " num"], b: Float[Array, " num"], edge: Float[Array, ""]
) -> Float[Array, ""]:
    r"""Largest spectral point of a Jacobi matrix that continues with constant coefficients.

    The constant tail, with upper edge $E = a_\infty + 2b_\infty$ and $b_\infty = b_{num-1}$, adds
    $b_{num-1}^2 s(z)$ to the last diagonal entry, s its resolvent. The largest eigenvalue
    $\lambda(z)$ of that matrix decreases with z: an eigenvalue outside solves $\lambda(z) = z$.

    Args:
        a: diagonal coefficients.
        b: off-diagonal coefficients; b[-1] couples the tail.
        edge: upper edge E of the bulk.

    Returns:
        The eigenvalue, or E if there is none above it.
    """
    fixed = jax.lax.stop_gradient((a, b, edge))

    def gap(z, a, b, edge, vector=None):
        """The eigenvalue minus z, with a fixed eigenvector if one is given; the vector."""
        tail = b[-1]
        distance = (z - edge) / tail
        s = (distance + 2 - jnp.sqrt(distance * (distance + 4))) / (2 * tail)
        inner = b[:-1]
        matrix = jnp.diag(a.at[-1].add(tail**2 * s)) + jnp.diag(inner, 1) + jnp.diag(inner, -1)
        if vector is None:
            values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
            vector = vectors[:, -1]
        return vector @ matrix @ vector - z, vector

    def newton(z, _):
        vector = gap(z, *fixed)[1]
        value, slope = jax.value_and_grad(lambda z: gap(z, *fixed, vector)[0])(z)
        return jnp.maximum(z - value / slope, floor), None

    floor = fixed[2] + 1e-12 * fixed[1][-1]  # the slope is infinite at the edge itself
    above = gap(floor, *fixed)[0]
    outside = above > 0
    start = floor + jnp.maximum(above, 0.0)
    z = jax.lax.stop_gradient(jax.lax.scan(newton, start, length=24)[0])
    z = jnp.where(outside, z, floor + fixed[1][-1])
    vector = gap(z, *fixed)[1]
    slope = jax.grad(lambda z: gap(z, *fixed, vector)[0])(z)
    root = z - gap(z, a, b, edge, vector)[0] / slope  # carries the derivative
    return jnp.where(outside, root, edge)
