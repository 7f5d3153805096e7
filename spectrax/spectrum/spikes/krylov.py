"""Third route to the outliers: the Krylov probe."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax import _kind, check
from spectrax._batches import over_batches
from spectrax.program.lanczos import Gram, Lanczos, lanczos, tridiagonal_eigenvalues
from spectrax.seam import TrainedWeights


@over_batches
def krylov(
    solution, layer: int | str, step: int | Int[Array, ""], *, num: int = 40
) -> tuple[Float[Array, " num"], Float[Array, " num"]]:
    r"""Lanczos coefficients of $W^\top W$ in the limit, from the forward fields of the last update.

    $$W^\top W\, v_k = b_{k-1} v_{k-1} + a_k v_k + b_k v_{k+1}, \qquad v_0 \propto h(step - 1).$$

    The products with W are further steps of the training's own program on its frozen tapes. The
    coefficients tend to those of the bulk; a separated outlier is a Ritz value.

    Args:
        solution: what `solve` returned.
        layer: 0 … depth − 1; negative numbers count from the last.
        step: number of updates made, at least 1; may be traced.
        num: number of iterations.

    Returns:
        a and b, each (num,).

    Raises:
        ValueError: if a concrete `step` is out of range, the matrix is symmetric, or its spikes
            are given and not trained.

    Source: theory page, section P (Krylov probe).
    """
    weights, num = _kind.solution(solution).weights(layer), check.integer("num", num, 2)
    if not isinstance(weights, TrainedWeights):
        raise ValueError(
            "Argument `solution` must be of trained rectangular weights, got those of "
            f"{check.named(solution.model)}."
        )
    step = check.step(step, weights.num_steps, first=1)
    return _krylov(solution, solution.matrix(layer), jnp.asarray(step), num)


@eqx.filter_jit
def _krylov(solution, name: str, step: Int[Array, ""], num: int):
    """Compiled once for all steps."""
    order, theta = solution.order, solution.coordinates[step]
    matrix = order.plan.matrix(name)
    start = order.plan.record(matrix.forward)
    probe = Lanczos(Gram(name), matrix.cols, start.width)
    return lanczos(solution.model.task(), order.tapes, probe, theta, (start.name, step - 1), num)


@over_batches
def ritz_values(solution, layer: int | str, step: int | Int[Array, ""], *, num: int = 40):
    r"""Eigenvalues of the Lanczos matrix of `krylov`, descending, shape (num,).

    The largest converges from below: exponentially to a separated outlier, like $1/num^2$ to the
    edge of the bulk.

    Args:
        solution: what `solve` returned.
        layer: 0 … depth − 1; negative numbers count from the last.
        step: number of updates made, at least 1; may be traced.
        num: number of iterations.

    Returns:
        Ritz values of $W^\top W$, shape (num,).

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> solution = sx.solve(sx.DeepLinear(1, 40, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0))
        >>> print(f"{sx.ritz_values(solution, 0, 20)[0]:.4f}")
        4.6754

    Source: theory page, section P (Krylov probe).
    """
    return tridiagonal_eigenvalues(*krylov(solution, layer, step, num=num))
