r"""Sizes of updates against width: what a coordinate check measures.

$$\mathrm{rms}(h_t - h_0) \propto m^{\rm slope}, \qquad \text{slope} = 0 \text{ in µP}$$

µP promises this for widths that are large, also against the number of distinct inputs: each of them
contributes to an update in a direction of its own, and two random directions overlap by 1/√width.
Two more parts die out with width. A random readout W projects the changed features at random,
m⁻¹ W Δh, which adds a part of order 1/√m to the change of the output; without a signal of its own
it can be as large as the rest at base width. A readout that starts at zero has no such part. And
the initial outputs, of order 1/√m, enter the error that drives everything.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from models.roles import roles
from spectrax import check


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
        """Slopes of the outputs of all layers."""
        return {name: slope(self.widths, values)[0] for name, values in self.outputs.items()}

    @property
    def weight_slopes(self) -> dict[str, float]:
        """Slopes of all parameters."""
        return {name: slope(self.widths, values)[0] for name, values in self.weights.items()}

    @property
    def stderr(self) -> dict[str, float]:
        """Standard errors of both, from the scatter between seeds."""
        found = self.outputs | self.weights
        return {name: slope(self.widths, values)[1] for name, values in found.items()}

    @property
    def worst(self) -> tuple[str, float]:
        """Layer or parameter with the largest |slope|, and its slope."""
        return max((self.slopes | self.weight_slopes).items(), key=lambda item: abs(item[1]))


def slope(widths: Sequence[int], values: np.ndarray) -> tuple[float, float]:
    """Slope of log(mean over seeds) against log(width).

    Args:
        widths: (widths,).
        values: (widths, seeds), positive.

    Returns:
        Slope of the least-squares line and its standard error; NaN from a single seed.
    """
    values = np.asarray(values, np.float64)
    mean = values.mean(axis=1)
    x = np.log(widths) - np.mean(np.log(widths))
    weights = x / np.sum(x**2)
    found = float(weights @ np.log(mean))
    if values.shape[1] < 2:
        return found, float("nan")
    relative = values.std(axis=1, ddof=1) / values.shape[1] ** 0.5 / mean
    return found, float(np.sqrt(np.sum((weights * relative) ** 2)))


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
    check.integer("num_steps", num_steps, 1)
    keys = jax.random.split(key, check.integer("num_seeds", num_seeds, 1))
    found = []
    for width in widths:
        rows = _changes(build, width, transformation, loss, inputs, targets, num_steps, keys)
        found.append(jax.tree.map(lambda *values: np.stack(values), *rows))
    outputs, weights = (_in_all([pair[k] for pair in found]) for k in (0, 1))
    return Coordinates(tuple(widths), outputs, weights)


def _changes(build, width, transformation, loss, inputs, targets, num_steps: int, keys) -> list:
    """Changes of outputs and weights for every key, at one width.

    Steps are a loop in Python: XLA's convolutions inside of a loop of its own are a hundred times
    slower on CPUs.
    """
    template = nnx.eval_shape(lambda: build(width, nnx.Rngs(keys[0])))
    graph, _ = nnx.split(template, nnx.Param)
    tx = transformation(template)

    @jax.jit
    def start(key):
        params = nnx.state(build(width, nnx.Rngs(key)), nnx.Param)
        return params, tx.init(params)

    @jax.jit
    def step(params, state):
        gradient = jax.grad(lambda p: loss(nnx.merge(graph, p), inputs, targets))(params)
        updates, state = tx.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def compare(before, after):
        before, after = nnx.merge(graph, before), nnx.merge(graph, after)
        return _output_changes(before, after, inputs), _weight_changes(before, after)

    rows = []
    for key in keys:
        before, state = start(key)
        after = before
        for _ in range(num_steps):
            after, state = step(after, state)
        rows.append(jax.device_get(compare(before, after)))
    return rows


def layer_outputs(model: nnx.Module, inputs: jax.Array) -> dict[str, jax.Array]:
    """Output of every module inside the model, in the order of the forward pass' tree.

    Args:
        model: network.
        inputs: of the network.

    Returns:
        Path, e.g. "blocks.0.conv1" -> array.
    """
    forward = nnx.capture(model, nnx.Intermediate, method_outputs=nnx.Intermediate)
    _, captured = forward(inputs)
    return {
        ".".join(map(str, path[:-1])): value.get_value()[0]
        for path, value in nnx.to_flat_state(captured)
        if len(path) > 1 and path[-1] == "__call__"
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
