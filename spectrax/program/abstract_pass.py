"""The abstract pass: a program on empty fields says what it does, in which spaces, how often."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from spectrax.program.field import Field
from spectrax.program.interface import AbstractOps, MatrixHandle, VectorHandle
from spectrax.program.objects import Constant, Objects, Space
from spectrax.program.plan import Plan, Record, Spike, Spiked, fresh_record


class _Declarations(AbstractOps):
    """Runs a program on empty fields and writes down what it does."""

    def __init__(self, objects: Objects, groups: dict[str, int]):
        self.objects, self.groups = objects, groups
        self.records, self.constants, self.spikes, self.weights = {}, {}, {}, {}
        self.inputs = {}  # record name to the fields themselves
        self.linear = True
        self.kept: frozenset = frozenset()  # products on whose noise later steps depend

    def _empty(self, space, size, *fields):
        sources = frozenset().union(*(field.sources for field in fields))
        return Field(space, jnp.zeros((size,)), sources)

    def _record(self, name, x, noise, births=0, **options):
        self.inputs.setdefault(name, []).append(x)
        width = sum(field.size for field in self.inputs[name])
        births += self.records[name].births if name in self.records else 0
        self.records[name] = Record(name, x.space, width, noise, births, **options)

    def _apply(self, matrix: MatrixHandle, x, forward: bool):
        declared, names = matrix.declared, (matrix.forward, matrix.backward)
        name, other = names if forward else names[::-1]
        stencil, births = declared.stencil, x.size
        if stencil is not None:
            sizes = stencil.num_inputs, stencil.num_outputs
            size, births = sizes if forward else sizes[::-1]
            if x.size != size:
                raise ValueError(f"`{matrix.name}` takes fields of size {size}, got {x.size}.")
        space = declared.rows if forward else declared.cols
        options = {"fresh": declared.fresh, "stencil": stencil, "forward": forward}
        before = self.records.get(name)
        at = 0 if before is None else before.births if forward else before.width
        self._record(name, x, space, births, other=other, **options)
        places = range(at, at + (births if forward else x.size))
        out = self._empty(space, births, x)
        return Field(space, out.data, out.sources | {(name, places)})

    def _offset(self, name, x):
        offset = 0
        for field in self.inputs.get(name, []):
            if field is x:
                return offset
            offset += field.size
        raise ValueError(f"`append` takes the fields given to `{name}` in the same step.")

    def constant(self, name, declared: Constant):
        size, space = declared.gram.shape[-1], declared.space
        if declared.fresh:
            record = fresh_record(name)
            self.records[record] = Record(record, space, size, space, size, True, True)
        else:
            self.constants[name] = (space, size)
        return self._empty(space, size)

    def apply(self, matrix: MatrixHandle, x):
        return self._apply(matrix, x, True)

    def apply_transposed(self, matrix: MatrixHandle, g):
        return self._apply(matrix, g, False)

    def elementwise(self, function, *fields, size=None):
        self.linear = False
        shapes = {(field.space, size or field.size) for field in fields}
        if len(shapes) != 1:
            raise ValueError(f"Fields of an elementwise function differ in kind: {shapes}.")
        return self._empty(*shapes.pop(), *fields)

    def read(self, vector: VectorHandle, mix=None):
        space, size = vector.declared.space, vector.declared.size
        self.constants[vector.name] = (space, size)
        value = self._empty(space, size)
        return value if mix is None else value.mix(mix)

    def append(self, matrix: MatrixHandle, g, h, weights=None):
        stencil, size = matrix.declared.stencil, h.size
        if stencil is not None:
            size = stencil.num_outputs
        if g.size % size or (weights is not None and jnp.shape(weights) != (g.size,)):
            raise ValueError(
                f"Spikes of `{matrix.name}` have sizes {g.size} and {h.size}, weights "
                f"{jnp.shape(weights)}."
            )
        self.kept |= g.sources | h.sources
        found = self.spikes.setdefault(matrix.name, [])
        name = None
        if weights is not None:
            name = f"{matrix.name}.weights{len(found)}"
            self.weights[name] = (g.size,)
        at_g, at_h = self._offset(matrix.backward, g), self._offset(matrix.forward, h)
        if stencil is not None:
            at_h = at_h // stencil.num_inputs * stencil.num_outputs
        found.append(Spike(at_g, at_h, g.size, g.size // size, name))

    def append_vector(self, vector: VectorHandle, h, weights=None):
        self.remember(vector.name, h)
        shape = (h.size, vector.declared.size)
        if weights is not None and jnp.shape(weights) != shape:
            raise ValueError(f"Weights of `{vector.name}` have shape {weights.shape}, not {shape}.")
        if weights is not None:
            self.weights[f"{vector.name}.weights"] = shape
        elif h.size != vector.declared.size:
            raise ValueError(
                f"Gradients of `{vector.name}` are {h.size}, not {vector.declared.size}."
            )

    def remember(self, name, x):
        if name in self.inputs:
            raise ValueError(f"`{name}` takes one field a step.")
        self.kept |= x.sources
        self._record(name, x, None)

    def recall(self, name, space, size):
        return self._empty(space, size)

    def scale(self, x, profile):
        groups = self.groups.get(x.space, 1)
        if jnp.shape(profile) != (groups,):
            raise ValueError(
                f"Argument `profile` must have shape {(groups,)} in space `{x.space}`, "
                f"got {jnp.shape(profile)}."
            )
        return self._empty(x.space, x.size, x)

    def history(self, name, space, num):
        return self._empty(space, num)

    def project_out(self, name, x):
        return self._empty(x.space, x.size, x)

    def inner(self, x, y):
        return jnp.zeros((x.size, y.size))

    def observe(self, name, value):
        pass

    def matrices(self) -> list[Spiked]:
        """The matrices that were given spikes, in the order of their statement."""
        names = [name for name in self.objects if name in self.spikes]
        return [self._spiked(MatrixHandle(self, name, self.objects[name])) for name in names]

    def _spiked(self, W: MatrixHandle) -> Spiked:
        spikes = tuple(self.spikes[W.name])
        f, e = self._kept(W.backward), self._kept(W.forward)
        for spike in spikes:
            f, e = f | set(spike.places_g.tolist()), e | set(spike.places_h.tolist())
        if W.declared.symmetric:
            f = e = f | e
        sides = W.declared.rows, W.declared.cols, W.forward, W.backward
        return Spiked(W.name, *sides, spikes, tuple(sorted(f)), tuple(sorted(e)))

    def _kept(self, record: str) -> set[int]:
        return {place for name, places in self.kept for place in places if name == record}


def make_plan(programs: Sequence[Callable], objects: Callable, dims: dict) -> Plan:
    """Run programs on empty fields and list what they do.

    Several programs that run one after the other (training, then a probe) share one plan: a record
    is as wide as its widest use.
    """
    stated = objects(jnp.zeros((), int))
    groups = {name: len(x.weights) for name, x in sorted(dims.items()) if isinstance(x, Space)}
    records, constants, matrices, weights, linear = {}, {}, {}, {}, True
    for program in programs:
        ops = _Declarations(stated, groups)
        program(ops, jnp.zeros((), int))
        for name, record in ops.records.items():
            if name not in records or records[name].width < record.width:
                records[name] = record
        constants |= ops.constants
        matrices |= {matrix.name: matrix for matrix in ops.matrices()}
        weights |= ops.weights
        linear = linear and ops.linear
    return Plan(
        tuple(sorted(records.values(), key=lambda r: r.name)),
        tuple((name, *where) for name, where in sorted(constants.items())),
        tuple(matrices[name] for name in stated if name in matrices),
        tuple(sorted(weights.items())),
        linear,
        tuple(groups.items()),
    )
