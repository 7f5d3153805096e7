r"""A direction that evolves under a matrix in a time of its own: $\dot v = sW^\top Wv$."""

from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import check
from spectrax.spectrum.probes._response import MAX_STEPS, Options, Response, follow


def probe(
    W: Any,
    start: ArrayLike,
    times: ArrayLike | Sequence[float],
    *,
    sign: int = -1,
    source: ArrayLike | None = None,
    fields: ArrayLike | None = None,
    symmetric: bool = False,
    rtol: ArrayLike = 1e-9,
    atol: ArrayLike = 1e-12,
    max_steps: int = MAX_STEPS,
    solver: diffrax.AbstractSolver | None = None,
    adjoint: diffrax.AbstractAdjoint | None = None,
    throw: bool = True,
) -> Response:
    r"""Probe one matrix, of which only products with vectors are needed.

    $$\frac{dv}{d\tau} = s\,W^\top W\,v + \mathrm{source}, \qquad
      \text{symmetric:}\quad \frac{dv}{d\tau} = s\,W v + \mathrm{source}$$

    Args:
        W: array (N, M); Lineax operator; function v -> W v, linear and made of JAX operations; or
            two functions v -> W v and u -> W^T u. The weight of an `eqx.nn.Linear` is W, the kernel
            of a Flax `Dense` is W^T. A function made anew for each call is compiled for each call.
        start: v at time zero, (M,).
        times: at which to report, increasing and not negative, (times,).
        sign: s, -1 decaying or +1 growing.
        source: constant, (M,); None = none.
        fields: e_k to compare with, (k, M); None = report v itself.
        symmetric: use W instead of W^T W; W is square and not checked for symmetry.
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        max_steps: largest number of steps.
        solver: of Diffrax; Dopri8 by default.
        adjoint: of Diffrax; reverse mode with checkpoints by default, `diffrax.ForwardMode()` for
            `jax.jvp`.
        throw: raise if the probe fails. Under `jit` and `vmap` nothing raises: see `result`.

    Returns:
        Response. Its values are v, (times, M), or the overlaps $e_k\cdot v/M$, (times, k).

    Raises:
        ValueError: if an argument is out of range, or W is not linear.
        RuntimeError: one sentence with the time at which the probe blew up or stopped.

    Source: theory page, section 6.2.

    Examples:
        >>> import jax.numpy as jnp, spectrax as sx
        >>> sx.enable_x64()
        >>> response = sx.probe(jnp.diag(jnp.array([1.0, 2.0])), jnp.ones(2), jnp.array([0.5]))
        >>> print("{:.6f} {:.6f}".format(*response.values[0]))  # exp(-0.5) and exp(-2)
        0.606531 0.135335
    """
    start = check.shaped("start", start, (None,))
    size = len(start)
    W, transpose = _products(W, size, symmetric)
    source = None if source is None else check.shaped("source", source, (size,))
    fields = None if fields is None else check.shaped("fields", fields, (None, size))
    options = Options(rtol, atol, solver, adjoint, max_steps)
    return follow(
        _Rate(W, transpose, source, check.sign(sign)),
        _Observe(fields),
        start,
        times,
        options,
        throw,
    )


class _Rate(eqx.Module):
    """s W^T W v + source, or s W v + source without a transpose."""

    W: Any
    transpose: Any
    source: Any
    sign: Float[Array, ""]

    def __call__(self, v):
        v = self.W(v) if self.transpose is None else self.transpose(self.W(v))
        return self.sign * v if self.source is None else self.sign * v + self.source


class _Observe(eqx.Module):
    """Overlaps e_k · v / M, or v itself."""

    fields: Any

    def __call__(self, v):
        return v if self.fields is None else self.fields @ v / v.shape[0]


class _Product(eqx.Module):
    """v -> A v for a Lineax operator A."""

    operator: lx.AbstractLinearOperator

    def __call__(self, v):
        return self.operator.mv(v)


def _products(W, size: int, symmetric: bool) -> tuple[Callable, Callable | None]:
    """Products v -> W v and u -> W^T u, None for the second if the matrix is symmetric."""
    backward, vector = None, jax.ShapeDtypeStruct((size,), float)
    if isinstance(W, tuple) and len(W) == 2 and all(callable(f) for f in W):
        W, backward = W
    if isinstance(W, lx.AbstractLinearOperator):
        operator = W
    elif callable(W):
        _is_linear(W, size)
        operator = lx.FunctionLinearOperator(W, vector)  # what it closes over becomes leaves
    else:
        operator = lx.MatrixLinearOperator(check.shaped("W", W, (None, size)))
    _fits(operator.mv, size, symmetric)
    if symmetric:
        return _Product(operator), None
    if backward is None:
        return _Product(operator), _Product(operator.T)
    return _Product(operator), _Product(
        lx.FunctionLinearOperator(backward, operator.out_structure())
    )


def _fits(forward: Callable, size: int, symmetric: bool) -> None:
    """Refuse products of a wrong shape."""
    shape = jax.eval_shape(forward, jax.ShapeDtypeStruct((size,), float)).shape
    if len(shape) != 1 or (symmetric and shape != (size,)):
        wanted = f"({size},)" if symmetric else "(N,)"
        raise ValueError(f"Argument `W` must map ({size},) to {wanted}, got shape {shape}.")


def _is_linear(forward: Callable, size: int) -> None:
    """Refuse a layer that adds a bias: its transpose would silently drop it."""
    offset = jnp.max(jnp.abs(forward(jnp.zeros(size))))
    if not isinstance(offset, jax.core.Tracer) and offset > 0:
        raise ValueError(
            f"Argument `W` must be linear, got W(0) with an entry {float(offset):.3g}."
        )
