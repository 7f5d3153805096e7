"""What a program does in a step, and the moments of what is random in it."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from spectrax.program.interface import MatrixHandle
from spectrax.program.objects import Matrix, Objects, Stencil, Vector, dimension


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
