"""What `solve` returns: order parameters, losses, and how it went."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from spectrax import _kind, _show, check
from spectrax._batches import counted, over_batches
from spectrax.program.interpreter import AbstractLimit
from spectrax.program.objects import dimension
from spectrax.seam import (
    CoupledSpikes,
    CoupledWeights,
    SymmetricSpikes,
    SymmetricWeights,
    TrainedWeights,
    Weights,
)
from spectrax.training.base import AbstractDMFT
from spectrax.training.order import Order


class RESULTS(eqx.Enumeration):
    """How a solve went."""

    successful = "The training was solved."
    divergent = "The training diverged: its order parameters exceed 1e75 from some step on."
    unstable = "The sharpness exceeds the largest stable one at some step."
    unconverged = "The iteration of the self-consistency map did not converge."
    invalid = "A hyperparameter is out of its domain."


class Residual(eqx.Module):
    """How far a solution is from self-consistency, found when it is asked for.

    Args:
        model: the model.
        limit: its limit.
        solver, adjoint: how it was solved.
        function: of these four.
    """

    model: AbstractDMFT
    limit: AbstractLimit
    solver: eqx.Module
    adjoint: eqx.Module
    function: Callable = eqx.field(static=True)

    def __call__(self) -> Float[Array, ""]:
        """The residual; it costs a solve."""
        return self.function(self.model, self.limit, self.solver, self.adjoint)


class Stats(eqx.Module, Mapping):
    """Numbers about a solve, by name; the residual is computed when it is read.

    Args:
        known: what is known.
        residual: what is not known yet.
    """

    known: dict
    residual: Residual

    def __iter__(self):
        return iter((*self.known, "residual"))

    def __len__(self) -> int:
        return len(self.known) + 1

    def __getitem__(self, name: str):
        if name != "residual":
            return self.known[name]
        function = Residual.__call__
        for _ in range(self.known["diverged_at"].ndim):
            function = eqx.filter_vmap(function)
        return function(self.residual)


class Solution(eqx.Module):
    """The solved training of a model, or a batch of them as `jax.vmap(solve)` returns it.

    Args:
        model: the model.
        order: correlation and response kernels; rows from a divergence on are zero.
        observed: what the program reported at each step.
        coordinates: row t holds (a, c_0, c_1, …) of the trained weights after t updates.
        result: how it went.
        stats: `residual` of the self-consistency map, which costs a solve when it is read, and
            `diverged_at`, the first step that is not finite (num_steps if there is none).
    """

    model: AbstractDMFT
    order: Order
    observed: dict
    coordinates: Float[Array, "*batch t1 t1"]
    result: RESULTS
    stats: Stats | dict

    __repr__ = _show.solution

    @property
    def batch_axes(self) -> int:
        """Leading axes of a batch; 0 for one training."""
        return self.coordinates.ndim - 2

    @property
    def num_layers(self) -> int:
        """Number of trained weight matrices."""
        return len(self.order.matrices)

    @property
    def train_loss(self) -> Float[Array, "*batch t"]:
        """Mean squared error on the training data, mean over classes; +inf after a divergence."""
        return self._loss("train_error")

    @property
    def test_loss(self) -> Float[Array, "*batch t"]:
        """Mean squared error on new data, mean over classes; +inf after a divergence."""
        return self._loss("test_error")

    @property
    def predictions(self) -> Float[Array, "*batch t samples"]:
        """Outputs on the samples of each step, before its update, (num_steps, samples, …)."""
        return self._seen("predictions")

    @property
    def test_predictions(self) -> Float[Array, "*batch t samples"]:
        """Outputs on the test inputs, before the update of each step, (num_steps, samples, …)."""
        return self._seen("test_predictions")

    def _seen(self, name: str):
        if name not in self.observed:
            raise ValueError(f"Argument `model` has no {name.replace('_', ' ')}.")
        return self.observed[name]

    def _loss(self, name: str) -> Float[Array, "*batch t"]:
        error = self._seen(name)
        loss = jnp.trace(error, axis1=-2, axis2=-1) / error.shape[-1]
        fine = jnp.arange(loss.shape[-1]) < jnp.expand_dims(self.stats["diverged_at"], -1)
        return jnp.where(fine, loss, jnp.inf)

    @property
    def layers(self) -> tuple[int, ...]:
        """Which W^layer are large random matrices."""
        matrices = self.order.matrices
        return tuple(k for k, name in enumerate(self.order.layers) if name in matrices)

    @over_batches
    def weights(self, layer: int | str) -> Weights:
        """The weight matrix W^layer, or that of a name, throughout training."""
        name, model = self.matrix(layer), self.model
        matrix, sigma = self.order.plan.matrix(name), model.objects(0)[name].sigma
        *kernels, coupling = self.order.kernels(name, model.num_steps)
        dims, stencil = model.spaces(), self.order.plan.record(matrix.forward).stencil
        aspect = jnp.asarray(dimension(dims[matrix.rows]) / dimension(dims[matrix.cols]))
        if stencil is not None:
            aspect = aspect / len(stencil.table)  # a column for each offset
        if model.coupling is not None:
            return CoupledWeights(*kernels, model.coupling, aspect, sigma)
        if matrix.symmetric:
            C, _, R, _ = kernels
            return SymmetricWeights(C, R, self.coordinates, sigma, model.time_unit)
        return TrainedWeights(*kernels, self.coordinates, aspect, sigma, coupling)

    def matrix(self, layer: int | str) -> str:
        """Name of the weight matrix W^layer.

        Raises:
            ValueError: if there is none; negative numbers count from the last.
        """
        layers, names = self.layers, self.order.matrices
        if isinstance(layer, str):
            if layer not in names:
                known = ", ".join(names) or "that of a deeper network"
                raise ValueError(f"Argument `layer` must be {known}, got {layer}.")
            return layer
        whole = isinstance(layer, int | np.integer)
        if not whole or layer not in layers and not -len(layers) <= layer < 0:
            known = f"between {layers[0]} and {layers[-1]}" if layers else "of a deeper network"
            raise ValueError(f"Argument `layer` must be {known}, got {layer}.")
        return self.order.layers[layers[layer] if layer < 0 else layer]

    @property
    def message(self) -> str:
        """One sentence on how it went (concrete results only), with their numbers for a batch."""
        if self.batch_axes:
            return counted(self, len(self.coordinates))
        sentence = RESULTS[self.result]
        if self.result == RESULTS.divergent:
            step, unit = int(self.stats["diverged_at"]), float(self.model.time_unit)
            time = "" if unit == 1 else f" (time {unit * step:.6g})"
            sentence = f"The training diverged at step {step}{time}."
        return sentence


@over_batches
def spikes(
    solution: Solution, layer: int | str, step: int | Int[Array, ""]
) -> CoupledSpikes | SymmetricSpikes:
    r"""The weight $W^{layer}$ after `step` updates, as a random matrix with coupled spikes.

    Args:
        solution: what `solve` returned.
        layer: 0 … depth − 1 counts $W^0 \dots W^{depth-1}$; for wide networks from 1 on, because
            their inputs have finite dimension. Negative numbers count from the last. Or the name of
            a matrix in the model's program.
        step: number of updates made, 0 … num_steps; may be traced.

    Returns:
        Spikes of all steps, zero for those not made yet.

    Raises:
        ValueError: if a concrete `step` or `layer` is out of range.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 20, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> top = sx.outliers(sx.spikes(sx.solve(model), layer=0, step=10), count=1)
        >>> print(f"{top.location[0]:.4f}")
        4.4994

    Source: theory page, section 3.5.
    """
    weights = _kind.solution(solution).weights(layer)
    return weights.at(check.step(step, weights.num_steps))
