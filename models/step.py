"""One update of a Flax network, compiled once for all networks of one shape."""

import functools
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

LARGEST = 1e100  # of a loss; what is beyond has diverged before it overflows


class How(NamedTuple):
    """What a step does; equal ones share a compilation.

    Args:
        graph: structure of the network.
        transformation: of the gradients.
        loss: `loss(model, inputs, targets)`, mean over samples.
    """

    graph: nnx.GraphDef
    transformation: optax.GradientTransformation
    loss: Callable


class State(NamedTuple):
    """What a step changes; its buffers are reused by the next one."""

    params: nnx.State
    optimizer: optax.OptState


def start(model: nnx.Module, transformation, loss: Callable) -> tuple[How, State, nnx.State]:
    """How to train, the state to begin with (a copy), and what stays fixed.

    Raises:
        ValueError: if the model changes while it is applied, as with batch statistics.
    """
    moving = nnx.to_flat_state(nnx.state(model, (nnx.BatchStat, nnx.RngState)))
    names = ["/".join(map(str, path)) for path, _ in moving]
    if names:
        raise ValueError(
            f"Argument `model` must hold nothing that changes when it is applied, got {names[0]!r}."
        )
    graph, params, fixed = nnx.split(model, nnx.Param, ...)
    params = jax.tree.map(jnp.copy, params)  # the caller's arrays are not ours to reuse
    return How(graph, transformation, loss), State(params, transformation.init(params)), fixed


@functools.partial(jax.jit, static_argnames="how", donate_argnames="state")
def update(how: How, state: State, fixed: nnx.State, batch) -> tuple[State, jax.Array, jax.Array]:
    """One update from the mean gradient of all micro-batches.

    Args:
        how: see `How`.
        state: donated.
        fixed: variables that are no parameters.
        batch: (inputs, targets), leading axes (micro-batches, samples).

    Returns:
        The new state (the old one if anything new is not finite), the loss before the update, and
        whether all of it is finite, and the loss at most 1e100.
    """

    def mean_loss(params, inputs, targets):
        return how.loss(nnx.merge(how.graph, params, fixed), inputs, targets)

    loss, gradient = _mean(jax.value_and_grad(mean_loss), state.params, batch)
    updates, optimizer = how.transformation.update(gradient, state.optimizer, state.params)
    new = State(optax.apply_updates(state.params, updates), optimizer)
    finite = [_sound(loss), *(jnp.isfinite(x).all() for x in jax.tree.leaves(new.params))]
    fine = jnp.stack(finite).all()
    # Types stay what they were, also where an optimizer mixes in double precision.
    kept = jax.tree.map(lambda x, old: jnp.where(fine, x.astype(old.dtype), old), new, state)
    return kept, loss, fine


def _sound(loss: jax.Array) -> jax.Array:
    """Whether a loss is one that training can go on from."""
    if float(jnp.finfo(loss.dtype).max) <= LARGEST:
        return jnp.isfinite(loss).all()
    return jnp.abs(loss) <= LARGEST  # NaN is not


def _mean(function: Callable, params, batch):
    """Mean of function(params, inputs, targets) over the leading axis, one after the other."""

    def add(total, part):
        return jax.tree.map(jnp.add, total, function(params, *part)), None

    first, count = jax.tree.map(lambda x: x[0], batch), len(jax.tree.leaves(batch)[0])
    shapes = jax.eval_shape(function, params, *first)
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    # Inside a loop XLA has no fast convolutions for processors: 60 times slower.
    total, _ = jax.lax.scan(add, zero, batch, unroll=jax.default_backend() == "cpu")
    return jax.tree.map(lambda x: x / count, total)


@functools.partial(jax.jit, static_argnames="how")
def loss_of(how: How, params: nnx.State, fixed: nnx.State, batch) -> jax.Array:
    """The loss on one batch, (inputs, targets)."""
    return how.loss(nnx.merge(how.graph, params, fixed), *batch)


def place(batch, params: nnx.State, count: int, parts: int | None = None) -> Any:
    """A batch on its way to the device; does not wait for it to arrive.

    Args:
        batch: (inputs, targets) of arrays with leading axis `count`.
        params: floating arrays get their type, integers 32 bits.
        count: expected number of samples.
        parts: if given, the leading axis becomes (parts, count / parts).

    Raises:
        ValueError: if the batch is not of that length.
    """
    dtype = jnp.result_type(*jax.tree.leaves(params))

    def to_device(x):
        x = np.asarray(x)
        if x.shape[:1] != (count,):
            raise ValueError(
                f"Argument `data` must give {count} samples, got an array of shape {x.shape}."
            )
        if jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(dtype)
        elif x.dtype == np.int64:
            x = x.astype(np.int32)
        shape = x.shape if parts is None else (parts, count // parts, *x.shape[1:])
        return jax.device_put(x.reshape(shape))

    return jax.tree.map(to_device, tuple(batch))


def fingerprint(how: How, state: State, fixed: nnx.State, batch) -> str:
    """The same for two steps if they compute the same: model, loss, optimizer and all numbers."""
    text = update.lower(how, state, fixed, batch).as_text()
    return hashlib.sha256(text.encode()).hexdigest()[:16]
