r"""Finite networks: the same program on sampled matrices. This *is* the simulation.

Trained matrices are dense arrays, updated by the optimizer itself: nothing of the theory enters.
"""

import zlib
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from spectrax.program.field import Field
from spectrax.program.interface import AbstractOps, MatrixHandle, VectorHandle, first_rows
from spectrax.program.objects import Constant, Objects
from spectrax.program.root import gram_root

Sizes = dict[str, int | tuple[int, ...]]


class FiniteOps(AbstractOps):
    """One step of a program on arrays; a field holds (index, dimension).

    Args:
        objects: what is random, as stated for this step.
        sizes: dimension of each space, or of each of its groups.
        key: seed of everything random; each object's own key follows from its name.
        t: this step.
        store: matrices, vectors and constants by name; what is missing is sampled and added.
        memory: remembered fields of earlier steps by name, (time, width, dimension), zero later.
    """

    def __init__(
        self,
        objects: Objects,
        sizes: Sizes,
        key: PRNGKeyArray,
        t: Int[Array, ""],
        store: dict,
        memory: dict | None = None,
    ):
        self.objects, self.sizes, self.key, self.t, self.store = objects, sizes, key, t, store
        self.memory = memory or {}
        self.gradients, self.records, self.seen = {}, {}, {}

    def size(self, space: str) -> int:
        """Dimension of a space."""
        return int(np.sum(self.sizes[space]))

    def _sample(self, name: str, shape, *, fresh: bool = False) -> Array:
        key = jax.random.fold_in(self.key, zlib.crc32(name.encode()))
        if fresh:
            return jax.random.normal(jax.random.fold_in(key, self.t), shape)
        return jax.random.normal(key, shape)

    def _array(self, matrix: MatrixHandle) -> Float[Array, "*offsets rows cols"]:
        declared = matrix.declared
        shape = rows, cols = self.size(declared.rows), self.size(declared.cols)
        if declared.stencil is not None:
            shape = (len(declared.stencil.table), *shape)
        if declared.fresh or matrix.name not in self.store:
            entries = self._sample(matrix.name, shape, fresh=declared.fresh)
            if declared.symmetric:
                entries = (entries + entries.T) / jnp.sqrt(2.0)
            entries = entries * (declared.sigma / jnp.sqrt(cols))
            if declared.fresh:
                return entries
            self.store[matrix.name] = entries
        return self.store[matrix.name]

    def _record(self, name: str, x: Field) -> None:
        self.records.setdefault(name, []).append(x.data)

    def constant(self, name: str, declared: Constant) -> Field:
        space, gram = declared.space, declared.gram
        if declared.fresh or name not in self.store:
            shape = (gram.shape[-1], self.size(space))
            sample = gram_root(gram) @ self._sample(name, shape, fresh=declared.fresh)
            if declared.fresh:
                return Field(space, sample)
            self.store[name] = sample
        return Field(space, self.store[name])

    def apply(self, matrix: MatrixHandle, x: Field) -> Field:
        self._record(matrix.forward, x)
        A, stencil = self._array(matrix), matrix.declared.stencil
        if stencil is None:
            return Field(matrix.declared.rows, x.data @ A.T)
        met = _read(x.data, stencil.reads)  # (offsets, outputs, cols)
        return Field(matrix.declared.rows, jnp.einsum("dij,doj->oi", A, met))

    def apply_transposed(self, matrix: MatrixHandle, g: Field) -> Field:
        self._record(matrix.backward, g)
        A, stencil = self._array(matrix), matrix.declared.stencil
        if stencil is None:
            return Field(matrix.declared.cols, g.data @ A)
        met = _read(g.data, stencil.read_by)  # (offsets, inputs, rows)
        return Field(matrix.declared.cols, jnp.einsum("dij,dvi->vj", A, met))

    def elementwise(self, function: Callable, *fields: Field, size: int | None = None) -> Field:
        del size
        return Field(fields[0].space, function(*(field.data for field in fields)))

    def scale(self, x: Field, profile) -> Field:
        sizes = np.atleast_1d(self.sizes[x.space])
        each = jnp.repeat(jnp.asarray(profile), sizes, total_repeat_length=sizes.sum())
        return Field(x.space, x.data * each)

    def read(self, vector: VectorHandle, mix=None) -> Field:
        declared = vector.declared
        if vector.name not in self.store:
            shape = (declared.size, self.size(declared.space))
            self.store[vector.name] = declared.sigma * self._sample(vector.name, shape)
        value = Field(declared.space, self.store[vector.name])
        return value if mix is None else value.mix(mix)

    def append(self, matrix: MatrixHandle, g: Field, h: Field, weights=None) -> None:
        if not matrix.declared.trained:
            return  # its spikes are somebody else's business
        left, cols = g.data, self.size(matrix.declared.cols)
        if weights is not None:
            left = left * weights[:, None]
        if matrix.declared.stencil is not None:
            met = _read(h.data, matrix.declared.stencil.reads)
            self._add(matrix.name, -jnp.einsum("oi,doj->dij", left, met) / cols)
            return
        if g.size > h.size:
            left = left.reshape(-1, h.size, left.shape[-1]).sum(0)
        self._add(matrix.name, -left.T @ h.data / cols)

    def _add(self, name: str, gradient) -> None:
        self.gradients[name] = self.gradients.get(name, 0.0) + gradient

    def append_vector(self, vector: VectorHandle, h: Field, weights=None) -> None:
        self._record(vector.name, h)
        self.gradients[vector.name] = -h.data if weights is None else -weights.T @ h.data

    def remember(self, name: str, x: Field) -> None:
        self._record(name, x)

    def recall(self, name: str, space: str, size: int) -> Field:
        if name not in self.memory:  # before the first step
            return Field(space, jnp.zeros((size, self.size(space))))
        return Field(space, self.memory[name][self.t - 1] * (self.t > 0))

    def history(self, name: str, space: str, num: int) -> Field:
        if name not in self.memory:  # before the first step
            return Field(space, jnp.zeros((num, self.size(space))))
        return Field(space, first_rows(self.memory[name][:, 0], num))

    def project_out(self, name: str, x: Field) -> Field:
        if name not in self.memory:  # before the first step
            return x
        past = self.memory[name]  # (time, width, dimension)
        inner = jnp.einsum("kd,tkd->t", x.data, past) / x.data.shape[-1]
        return Field(x.space, x.data - jnp.einsum("t,tkd->kd", inner, past))

    def inner(self, x: Field, y: Field) -> Float[Array, "x y"]:
        return x.data @ y.data.T / x.data.shape[-1]

    def observe(self, name: str, value) -> None:
        self.seen[name] = value


def _read(x: Float[Array, "index dim"], table: np.ndarray) -> Float[Array, "offsets new dim"]:
    """What each offset reads, over the root of their number; zero where the table has -1."""
    found = jnp.where(jnp.asarray(table >= 0)[..., None], x[table], 0.0)
    return found / np.sqrt(len(table))


def unfolded(W: Float[Array, "..."]) -> Float[Array, "rows cols"]:
    r"""A matrix; of one with a stencil, all offsets side by side over the root of their number."""
    if W.ndim == 2:
        return W
    offsets, rows, cols = W.shape
    return jnp.moveaxis(W, 0, 1).reshape(rows, offsets * cols) / np.sqrt(offsets)


class Network(eqx.Module):
    """A finite network in training.

    Args:
        store: matrices, vectors and constants by name.
        state: the optimizer's state.
        records: fields of each step by record, (time, width, dimension), zero for later steps.
        seen: observations, leading axis time.
        t: number of updates made.
    """

    store: dict
    state: optax.OptState
    records: dict
    seen: dict
    t: Int[Array, ""]


class Trainer(eqx.Module):
    """Trains finite networks with a program.

    Args:
        program: `program(ops, t)`.
        objects: `objects(t)`, what is random in it.
        optimizer: `optimizer()` makes the transformation, with unit rate. A method of the model, so
            that its hyperparameters are leaves: new values do not compile again.
        rates: factor of the gradients at each step.
        sizes: dimension of each space.
    """

    program: Callable
    objects: Callable
    optimizer: Callable[[], optax.GradientTransformation]
    rates: Float[Array, " t"]
    sizes: tuple[tuple[str, int | tuple[int, ...]], ...] = eqx.field(static=True)

    def start(self, key: PRNGKeyArray) -> Network:
        """A network at initialization."""
        store, t = {}, jnp.zeros((), int)
        ops = self._step(key, store, t)
        trained = {name: store[name] for name in ops.gradients}

        def room(x):
            return jnp.zeros((self.rates.shape[0], *x.shape))

        records = {name: room(jnp.concatenate(xs)) for name, xs in ops.records.items()}
        seen = jax.tree.map(room, ops.seen)
        return Network(store, self.optimizer().init(trained), records, seen, t)

    def _step(self, key, store: dict, t, memory: dict | None = None) -> FiniteOps:
        ops = self.ops(key, store, t, memory)
        self.program(ops, t)
        return ops

    def ops(self, key, store: dict, t, memory: dict | None = None) -> FiniteOps:
        """The operations of step t."""
        return FiniteOps(self.objects(t), dict(self.sizes), key, t, store, memory)

    def train(self, network: Network, key: PRNGKeyArray, until: Int[Array, ""]) -> Network:
        """Train until so many updates are made."""

        def step(network: Network) -> Network:
            store, t = dict(network.store), network.t
            ops = self._step(key, store, t, network.records)
            gradients = jax.tree.map(lambda g: self.rates[t] * g, ops.gradients)
            trained = {name: store[name] for name in gradients}
            updates, state = self.optimizer().update(gradients, network.state, trained)
            store |= optax.apply_updates(trained, updates)
            new = ({k: jnp.concatenate(xs) for k, xs in ops.records.items()}, ops.seen)
            old = (network.records, network.seen)
            records, seen = jax.tree.map(lambda x, row: x.at[t].set(row), old, new)
            return Network(store, state, records, seen, t + 1)

        return jax.lax.while_loop(lambda network: network.t < until, step, network)
