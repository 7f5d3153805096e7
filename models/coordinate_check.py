r"""Coordinate check: do a few steps move every layer by the same amount at every width?

$$\Delta h = \mathrm{rms}(h_t - h_0) \propto m^{\rm slope}, \qquad \text{µP: slope 0 for every layer}$$

The change of each layer's output, and of each weight array, after a few steps on fixed data, at
several widths; slopes of its logarithm against that of the width.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from models.roles import roles
from spectrax import _check

TOLERANCE = 0.1


@dataclasses.dataclass(frozen=True)
class Coordinates:
    """Sizes of updates at several widths; each array is (widths, seeds).

    Args:
        widths: the widths, or whatever was varied.
        outputs: layer -> rms change of its output.
        weights: parameter -> change; root mean square of entries, but the Frobenius norm of hidden
            kernels, whose updates are of low rank: their entries go as 1/m, their action does not.
    """

    widths: tuple[int, ...]
    outputs: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]

    @property
    def slopes(self) -> dict[str, float]:
        """Slope for the output of every layer."""
        return {name: slope(self.widths, values) for name, values in self.outputs.items()}

    @property
    def weight_slopes(self) -> dict[str, float]:
        """Slope for every parameter."""
        return {name: slope(self.widths, values) for name, values in self.weights.items()}

    @property
    def worst(self) -> float:
        """Largest |slope| of an output."""
        return max(abs(value) for value in self.slopes.values())


def slope(widths: Sequence[int], values: np.ndarray) -> float:
    """Slope of log₂(root mean square over seeds) against log₂(width).

    Args:
        widths: (widths,).
        values: (widths, seeds), positive.

    Returns:
        The slope of the least-squares line.
    """
    mean = np.sqrt(np.mean(np.square(np.asarray(values, np.float64)), axis=1))
    return float(np.polyfit(np.log2(widths), np.log2(mean), 1)[0])


def coordinate_check(
    build: Callable[[int, nnx.Rngs], nnx.Module],
    widths: Sequence[int],
    *,
    transformation: Callable[[nnx.Module], optax.GradientTransformation],
    loss: Callable,
    inputs: jax.Array,
    targets: jax.Array,
    num_steps: int = 4,
    num_seeds: int = 4,
    key: jax.Array,
) -> Coordinates:
    """Train networks of several widths for a few steps and measure what moved.

    Args:
        build: width and random keys -> network; every other setting is the same.
        widths: at least two, increasing. A depth may be varied just as well: compared are the
            layers that exist in every network.
        transformation: network -> optimizer, e.g. by `models.optimizer.optimizer`.
        loss: (model, inputs, targets) -> scalar.
        inputs: of all steps, and those on which outputs are compared.
        targets: of all steps.
        num_steps: steps of training.
        num_seeds: independent initial values.
        key: random key.

    Returns:
        Sizes of all updates and their slopes.

    Raises:
        ValueError: if there are fewer than two widths.
    """
    if len(widths) < 2:
        raise ValueError(f"Argument `widths` must hold at least two, got {len(widths)}.")
    _check.integer("num_steps", num_steps, 1)
    keys = jax.random.split(key, _check.integer("num_seeds", num_seeds, 1))
    found = []
    for width in widths:

        def changes(key, width=width):
            before = build(width, nnx.Rngs(key))
            after = _train(before, transformation(before), loss, inputs, targets, num_steps)
            return _output_changes(before, after, inputs), _weight_changes(before, after)

        found.append(jax.device_get(jax.jit(jax.vmap(changes))(keys)))
    outputs, weights = (_in_all([pair[k] for pair in found]) for k in (0, 1))
    return Coordinates(tuple(widths), outputs, weights)


def _train(model, transformation, loss, inputs, targets, num_steps: int):
    """The model after some steps on the same data."""
    graph, params = nnx.split(model, nnx.Param)

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda p: loss(nnx.merge(graph, p), inputs, targets))(params)
        updates, state = transformation.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (params, transformation.init(params))
    (params, _), _ = jax.lax.scan(step, start, length=num_steps)
    return nnx.merge(graph, params)


def layer_outputs(model: nnx.Module, inputs: jax.Array) -> dict[str, jax.Array]:
    """Output of every module inside the model, in the order of the forward pass' tree.

    Args:
        model: network.
        inputs: of the network.

    Returns:
        Path, e.g. "blocks.0.conv1"; "output" for the model itself -> array.
    """
    forward = nnx.capture(model, nnx.Intermediate, method_outputs=nnx.Intermediate)
    _, captured = forward(inputs)
    return {
        ".".join(map(str, path[:-1])) or "output": value.get_value()[0]
        for path, value in nnx.to_flat_state(captured)
        if path[-1] == "__call__"
    }


def _rms(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.square(x.astype(jnp.float32))))


def _output_changes(before, after, inputs) -> dict[str, jax.Array]:
    old, new = layer_outputs(before, inputs), layer_outputs(after, inputs)
    return {name: _rms(new[name] - old[name]) for name in old}


def _weight_changes(before, after) -> dict[str, jax.Array]:
    old, new = (dict(nnx.to_flat_state(nnx.state(m, nnx.Param))) for m in (before, after))
    found = {}
    for path, role in roles(before).items():
        change = new[path].get_value() - old[path].get_value()
        size = change.size**0.5 if role.name == "hidden" else 1.0
        found[".".join(map(str, path))] = size * _rms(change)
    return found


def _in_all(rows: list[dict]) -> dict[str, np.ndarray]:
    """What every row has, stacked."""
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: np.stack([row[name] for row in rows]) for name in shared}
