"""The abstract pass: which random objects a program uses, in which spaces, how often per step."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from spectrax.program.field import Field
from spectrax.program.interface import AbstractOps, Matrix, Vector


@dataclasses.dataclass(frozen=True)
class Record:
    """Fields that are remembered: inputs of one direction of a matrix, or of a trained vector.

    `width` fields a step, in space `space`. `noise` is the space in which applying the matrix
    creates one new Gaussian for each field (None for a trained vector). A fresh `constant` has no
    fields, only the Gaussians that it brings at every step.
    """

    name: str
    space: str
    width: int
    noise: str | None
    fresh: bool
    constant: bool = False


class Spike(NamedTuple):
    """What `append` gives a weight at each step: offsets and numbers of its vectors g and h.

    `weights` names the numbers that multiply them, None if there are none.
    """

    g: int
    h: int
    size: int
    repeats: int  # vectors of g for each one of h
    weights: str | None

    def pick(self, width: int, forward: bool) -> np.ndarray:
        """One-hot matrix from a record of that width to the pairs, (width, size)."""
        pairs = np.arange(self.size)
        place = self.h + pairs % (self.size // self.repeats) if forward else self.g + pairs
        return np.eye(width)[:, place]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Static description of a program: records, constants, spikes and their weights by name.

    Spikes come in the order in which the program declares their matrices: that of the layers.
    """

    records: tuple[Record, ...]
    constants: tuple[tuple[str, str, int], ...]  # name, space, size
    spikes: tuple[tuple[str, tuple[Spike, ...]], ...]
    weights: tuple[tuple[str, tuple[int, ...]], ...]  # name, shape
    linear: bool

    @property
    def remembered(self) -> tuple[Record, ...]:
        """Records that hold fields."""
        return tuple(record for record in self.records if not record.constant)

    def record(self, name: str) -> Record:
        """The record of that name; one of width zero if the program never makes it."""
        found = [r for r in self.records if r.name == name]
        return found[0] if found else Record(name, "", 0, None, fresh=False)

    def families(self, space: str) -> dict[str, tuple[int, int]]:
        """Gaussians born in a space at each step: record name to (offset, width)."""
        offset, out = 0, {}
        for record in self.records:
            if record.noise == space:
                out[record.name] = (offset, record.width)
                offset += record.width
        return out

    def born(self, space: str) -> int:
        """Number of Gaussians born in a space at each step."""
        return sum(r.width for r in self.records if r.noise == space)

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
        """Spikes appended to a weight each step."""
        return dict(self.spikes).get(name, ())

    def weights_of(self, name: str) -> str | None:
        """Name of the weights with which a vector's record is appended, None for ones."""
        name = f"{name}.weights"
        return name if name in dict(self.weights) else None


class _Declarations(AbstractOps):
    """Runs a program on empty fields and writes down what it does."""

    def __init__(self):
        self.records, self.constants, self.spikes, self.weights = {}, {}, {}, {}
        self.inputs = {}  # record name to the fields themselves
        self.matrices = []  # names, in the order of their declaration
        self.sigmas, self.grams, self.initial, self.linear = {}, {}, {}, True

    def _empty(self, space, size):
        return Field(space, jnp.zeros((size,)))

    def _record(self, name, x, noise, fresh=False):
        offset = sum(f.size for f in self.inputs.setdefault(name, []))
        self.inputs[name].append(x)
        self.records[name] = Record(name, x.space, offset + x.size, noise, fresh)

    def _offset(self, name, x):
        offset = 0
        for field in self.inputs.get(name, []):
            if field is x:
                return offset
            offset += field.size
        raise ValueError(f"`append` takes the fields given to `{name}` in the same step.")

    def declare(self, matrix: Matrix):
        self.matrices.append(matrix.name)
        return matrix

    def constant(self, name, space, gram, *, fresh=False):
        size = gram.shape[-1]
        if fresh:
            record = fresh_record(name)
            self.records[record] = Record(record, space, size, space, fresh=True, constant=True)
        else:
            self.constants[name] = (space, size)
            self.grams[name] = gram
        return self._empty(space, size)

    def apply(self, matrix: Matrix, x):
        self._record(matrix.forward, x, matrix.rows, matrix.fresh)
        self.sigmas[matrix.forward] = (matrix.sigma, matrix.cols, matrix.cols)
        return self._empty(matrix.rows, x.size)

    def apply_transposed(self, matrix: Matrix, g):
        self._record(matrix.backward, g, matrix.cols, matrix.fresh)
        self.sigmas[matrix.backward] = (matrix.sigma, matrix.rows, matrix.cols)
        return self._empty(matrix.cols, g.size)

    def elementwise(self, function, *fields, size=None):
        self.linear = False
        shapes = {(field.space, size or field.size) for field in fields}
        if len(shapes) != 1:
            raise ValueError(f"Fields of an elementwise function differ in kind: {shapes}.")
        return self._empty(*shapes.pop())

    def read(self, vector: Vector, mix=None):
        self.initial[vector.name] = vector.sigma
        gram = vector.sigma**2 * jnp.eye(vector.size)
        value = self.constant(vector.name, vector.space, gram)
        return value if mix is None else value.mix(mix)

    def append(self, matrix: Matrix, g, h, weights=None):
        if g.size % h.size or (weights is not None and jnp.shape(weights) != (g.size,)):
            raise ValueError(
                f"Spikes of `{matrix.name}` have sizes {g.size} and {h.size}, weights "
                f"{jnp.shape(weights)}."
            )
        found = self.spikes.setdefault(matrix.name, [])
        name = None
        if weights is not None:
            name = f"{matrix.name}.weights{len(found)}"
            self.weights[name] = (g.size,)
        places = self._offset(matrix.backward, g), self._offset(matrix.forward, h)
        found.append(Spike(*places, g.size, g.size // h.size, name))

    def append_vector(self, vector: Vector, h, weights=None):
        self.remember(vector.name, h)
        shape = (h.size, vector.size)
        if weights is not None and jnp.shape(weights) != shape:
            raise ValueError(f"Weights of `{vector.name}` have shape {weights.shape}, not {shape}.")
        if weights is not None:
            self.weights[f"{vector.name}.weights"] = shape
        elif h.size != vector.size:
            raise ValueError(f"Gradients of `{vector.name}` are {h.size}, not {vector.size}.")

    def remember(self, name, x):
        if name in self.inputs:
            raise ValueError(f"`{name}` takes one field a step.")
        self._record(name, x, None)

    def recall(self, name, space, size):
        return self._empty(space, size)

    def history(self, name, space, num):
        return self._empty(space, num)

    def project_out(self, name, x):
        return self._empty(x.space, x.size)

    def inner(self, x, y):
        return jnp.zeros((x.size, y.size))

    def observe(self, name, value):
        pass


def fresh_record(constant: str) -> str:
    """Name of the record of a constant that is drawn anew at every step."""
    return f"{constant}.constant"


class Variances(NamedTuple):
    r"""Second moments of the base Gaussians, differentiable.

    Of what is drawn once, and declared at step 0; a fresh object declares its own at every step.

    born: record name to the variance of a born Gaussian per inner product of the inputs
    ($\sigma^2$ forward, $\sigma^2\rho$ backward); ratios: the same without $\sigma^2$; fixed: Gram
    matrices of the constants; initial: standard deviations of the trained vectors.
    """

    born: dict
    ratios: dict
    fixed: dict
    initial: dict


def make_plan(programs: Sequence[Callable], dims: dict) -> tuple[Plan, Variances]:
    """Run programs on empty fields; list their call sites and the moments they declare.

    Several programs that run one after the other (training, then a probe) share one plan: a record
    is as wide as its widest use.
    """
    records, constants, spikes, weights, sigmas, grams = {}, {}, {}, {}, {}, {}
    initial, linear, declared = {}, True, []
    for program in programs:
        ops = _Declarations()
        program(ops, jnp.zeros((), int))
        for name, record in ops.records.items():
            if name not in records or records[name].width < record.width:
                records[name] = record
        constants |= ops.constants
        spikes |= ops.spikes
        weights |= ops.weights
        declared += ops.matrices
        linear = linear and ops.linear
        sigmas |= ops.sigmas
        grams |= ops.grams
        initial |= ops.initial
    plan = Plan(
        tuple(sorted(records.values(), key=lambda r: r.name)),
        tuple((name, *where) for name, where in sorted(constants.items())),
        tuple((name, tuple(spikes[name])) for name in dict.fromkeys(declared) if name in spikes),
        tuple(sorted(weights.items())),
        linear,
    )
    ratios = {k: dims[over] / dims[cols] for k, (_, over, cols) in sigmas.items()}
    born = {k: sigma**2 * ratios[k] for k, (sigma, _, _) in sigmas.items()}
    return plan, Variances(born, ratios, grams, initial)
