"""The abstract pass: which random objects a program uses, in which spaces, how often per step."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from spectrax.program.field import Field
from spectrax.program.interface import AbstractOps, MatrixHandle, VectorHandle
from spectrax.program.objects import Constant, Matrix, Objects, Space, Stencil, Vector, dimension


@dataclasses.dataclass(frozen=True)
class Record:
    """Fields that are remembered: inputs of one direction of a matrix, or of a trained vector.

    `width` fields a step, in space `space`. `noise` is the space in which applying the matrix
    creates `births` new Gaussians, one for each vector of the result (None for a trained vector). A
    fresh `constant` has no fields, only the Gaussians that it brings at every step.
    """

    name: str
    space: str
    width: int
    noise: str | None
    births: int
    fresh: bool = False
    constant: bool = False
    stencil: Stencil | None = None
    forward: bool = True
    other: str | None = None  # the record of the matrix' opposite direction


class Spike(NamedTuple):
    """What `append` gives a matrix at each step: offsets and numbers of its vectors g and h.

    Those of h count what the matrix meets: with a stencil, the vectors that each output reads.
    `weights` names the numbers that multiply them, None if there are none.
    """

    g: int
    h: int
    size: int
    repeats: int  # vectors of g for each one of h
    weights: str | None

    @property
    def places_g(self) -> np.ndarray:
        """Offsets of the vectors g in their record, one for each pair."""
        return self.g + np.arange(self.size)

    @property
    def places_h(self) -> np.ndarray:
        """Offsets of the vectors h in their record, one for each pair."""
        return self.h + np.arange(self.size) % (self.size // self.repeats)

    def pick(self, width: int, forward: bool) -> np.ndarray:
        """One-hot matrix from a record of that width to the pairs, (width, size)."""
        return np.eye(width)[:, self.places_h if forward else self.places_g]


class Spiked(NamedTuple):
    """A matrix that is given spikes, and the records of the fields that it meets.

    `f` and `e` are the places of backward and forward fields that make spikes, or on whose noise
    later steps depend in another way: not those of outputs that are only reported.
    """

    name: str
    rows: str
    cols: str
    forward: str
    backward: str
    spikes: tuple[Spike, ...]
    f: tuple[int, ...]
    e: tuple[int, ...]

    def places(self, record: str) -> tuple[int, ...]:
        """Those of one of its records."""
        return self.e if record == self.forward else self.f

    @property
    def symmetric(self) -> bool:
        """Whether it equals its transpose."""
        return self.forward == self.backward


@dataclasses.dataclass(frozen=True)
class Plan:
    """Static description of a program.

    Args:
        records: fields that are remembered.
        constants: Gaussians that were there from the start: name, space, number.
        matrices: those that are given spikes, in the order in which they are stated.
        weights: numbers that multiply spikes or gradients: name, shape.
        linear: whether no function is applied to entries.
        many_groups: numbers of groups of the spaces that have several.
    """

    records: tuple[Record, ...]
    constants: tuple[tuple[str, str, int], ...]
    matrices: tuple[Spiked, ...]
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    linear: bool
    many_groups: tuple[tuple[str, int], ...] = ()

    def groups(self, space: str) -> int:
        """Number of groups of sites."""
        return dict(self.many_groups).get(space, 1)

    @property
    def remembered(self) -> tuple[Record, ...]:
        """Records that hold fields."""
        return tuple(record for record in self.records if not record.constant)

    def record(self, name: str) -> Record:
        """The record of that name; one of width zero if the program never makes it."""
        found = [r for r in self.records if r.name == name]
        return found[0] if found else Record(name, "", 0, None, 0)

    def families(self, space: str) -> dict[str, tuple[int, int]]:
        """Gaussians born in a space at each step: record name to (offset, width)."""
        offset, out = 0, {}
        for record in self.records:
            if record.noise == space:
                out[record.name] = (offset, record.births)
                offset += record.births
        return out

    def born(self, space: str) -> int:
        """Number of Gaussians born in a space at each step."""
        return sum(r.births for r in self.records if r.noise == space)

    def fixed(self, space: str) -> dict[str, tuple[int, int]]:
        """Gaussians of a space that were there from the start: name to (offset, size)."""
        offset, out = 0, {}
        for name, where, size in self.constants:
            if where == space:
                out[name] = (offset, size)
                offset += size
        return out

    def num_fixed(self, space: str) -> int:
        """Number of Gaussians that were there from the start."""
        return sum(size for _, where, size in self.constants if where == space)

    def spikes_of(self, name: str) -> tuple[Spike, ...]:
        """Spikes appended to a matrix each step."""
        return next((matrix.spikes for matrix in self.matrices if matrix.name == name), ())

    def places(self, record: str) -> tuple[int, ...]:
        """Places in a record on whose noise something may depend."""
        for matrix in self.matrices:
            if record in (matrix.forward, matrix.backward):
                return matrix.places(record)
        return tuple(range(self.record(record).width))

    def matrix(self, name: str) -> Spiked:
        """The matrix of that name."""
        return next(matrix for matrix in self.matrices if matrix.name == name)

    def weights_of(self, name: str) -> str | None:
        """Name of the weights with which a vector's record is appended, None for ones."""
        name = f"{name}.weights"
        return name if name in dict(self.weights) else None


class _Declarations(AbstractOps):
    """Runs a program on empty fields and writes down what it does."""

    def __init__(self, objects: Objects):
        self.objects = objects
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


def fresh_record(constant: str) -> str:
    """Name of the record of a constant that is drawn anew at every step."""
    return f"{constant}.constant"


class Variances(NamedTuple):
    r"""Second moments of the base Gaussians, differentiable.

    Of what is drawn once, as stated for step 0; a fresh object has its own at every step.

    born: record name to the variance of a born Gaussian per inner product of the inputs
    ($\sigma^2$ forward, $\sigma^2\rho$ backward); ratios: the same without $\sigma^2$; fixed: Gram
    matrices of the constants; initial: standard deviations of the trained vectors.
    """

    born: dict
    ratios: dict
    fixed: dict
    initial: dict


def variances(objects: Objects, dims: dict) -> Variances:
    """Moments of random objects in spaces of the given relative dimensions."""
    born, ratios, fixed, initial = {}, {}, {}, {}
    for name, declared in objects.items():
        if isinstance(declared, Matrix):
            handle = MatrixHandle(None, name, declared)
            rho = jnp.asarray(dimension(dims[declared.rows]) / dimension(dims[declared.cols]))
            for record, ratio in ((handle.backward, rho), (handle.forward, jnp.ones_like(rho))):
                ratios[record], born[record] = ratio, declared.sigma**2 * ratio
        elif isinstance(declared, Vector):
            initial[name] = declared.sigma
            fixed[name] = declared.sigma**2 * jnp.eye(declared.size)
        else:
            fixed[name] = declared.gram
    return Variances(born, ratios, fixed, initial)


def make_plan(programs: Sequence[Callable], objects: Callable, dims: dict) -> Plan:
    """Run programs on empty fields and list what they do.

    Several programs that run one after the other (training, then a probe) share one plan: a record
    is as wide as its widest use.
    """
    stated = objects(jnp.zeros((), int))
    records, constants, matrices, weights, linear = {}, {}, {}, {}, True
    for program in programs:
        ops = _Declarations(stated)
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
        tuple((name, len(x.weights)) for name, x in sorted(dims.items()) if isinstance(x, Space)),
    )
