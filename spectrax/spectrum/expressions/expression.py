"""Vectors made of products with random matrices: the flow graph of a random-matrix problem."""

import abc
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from spectrax import check


class Spaces:
    """Spaces of large dimension, and what lives in them.

    Args:
        ratios: name = dimension of the space relative to a common size.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> spaces = sx.Spaces(D=1.0, N=2.0)
        >>> W, v = spaces.gaussian("N", "D"), spaces.vector("D")
        >>> law = sx.Pencil.gram(v, W @ v)  # Marchenko-Pastur of aspect 2
        >>> [round(float(edge), 6) for edge in law.edges()]
        [0.171573, 5.828427]

    Source: theory page, section 5.2.
    """

    def __init__(self, **ratios: ArrayLike):
        if not ratios:
            raise ValueError("Argument `ratios` must name at least one space, got none.")
        self.ratios = {
            name: check.scalar(name, check.positive(name, ratio)) for name, ratio in ratios.items()
        }

    def _known(self, name: str, space: str) -> str:
        return check.one_of(name, space, tuple(self.ratios))

    def vector(self, space: str) -> "Vector":
        """A vector that is given: the one that a law asks about."""
        return Vector(self, self._known("space", space), ())

    def gaussian(self, rows: str, cols: str, variance: ArrayLike = 1.0) -> "Gaussian":
        """A random matrix, independent of all others.

        Args:
            rows: space of its images.
            cols: space of the vectors it acts on.
            variance: v, where its entries have variance v / dimension of `cols`.
        """
        variance = check.scalar("variance", check.nonnegative("variance", variance))
        return Gaussian(self, self._known("rows", rows), self._known("cols", cols), variance)


class Operator(abc.ABC):
    """A random matrix: `A @ x` applies it to a vector; `A @ B`, `A + B`, `c * A` and `A.T`."""

    spaces: Spaces
    rows: str
    cols: str
    __array_ufunc__ = None  # NumPy scalars leave the product to this class

    @property
    @abc.abstractmethod
    def T(self) -> "Operator":
        """The transpose: the same random numbers."""

    @abc.abstractmethod
    def _apply(self, x: "Vector") -> "Vector":
        """The product with a vector of the right space."""

    def __matmul__(self, x: "Vector | Operator") -> "Vector | Operator":
        if not isinstance(x, Vector | Operator):
            return NotImplemented
        vector = isinstance(x, Vector)
        kind, found = ("vector of space", x.space) if vector else ("matrix of rows", x.rows)
        if x.spaces is not self.spaces or found != self.cols:
            raise ValueError(
                f"Argument `x` of a product must be a {kind} {self.cols!r}, got one of {found!r}."
            )
        return self._apply(x) if vector else Product(self, x)

    def __add__(self, other: "Operator") -> "Operator":
        if not isinstance(other, Operator):
            return NotImplemented
        sides = (self.spaces, self.rows, self.cols)
        if (other.spaces, other.rows, other.cols) != sides:
            raise ValueError(
                f"Argument `other` of a sum must be a matrix of rows {self.rows!r} and columns "
                f"{self.cols!r}, got rows {other.rows!r} and columns {other.cols!r}."
            )
        return Sum(self, other)

    def __sub__(self, other: "Operator") -> "Operator":
        return self + -other if isinstance(other, Operator) else NotImplemented

    def __mul__(self, factor: ArrayLike) -> "Operator":
        if np.shape(factor) != ():
            raise ValueError(
                f"Argument `factor` of a matrix must be a scalar, got shape {np.shape(factor)}."
            )
        return Scaled(factor, self)

    __rmul__ = __mul__

    def __truediv__(self, factor: ArrayLike) -> "Operator":
        return self * (1.0 / jnp.asarray(factor))

    def __neg__(self) -> "Operator":
        return self * -1.0


class Product(Operator):
    """A B."""

    def __init__(self, first: Operator, second: Operator):
        self.spaces, self.rows, self.cols = first.spaces, first.rows, second.cols
        self.first, self.second = first, second

    @property
    def T(self) -> "Product":
        """The transpose."""
        return Product(self.second.T, self.first.T)

    def _apply(self, x: "Vector") -> "Vector":
        return self.first @ (self.second @ x)


class Sum(Operator):
    """A + B."""

    def __init__(self, first: Operator, second: Operator):
        self.spaces, self.rows, self.cols = first.spaces, first.rows, first.cols
        self.first, self.second = first, second

    @property
    def T(self) -> "Sum":
        """The transpose."""
        return Sum(self.first.T, self.second.T)

    def _apply(self, x: "Vector") -> "Vector":
        return self.first @ x + self.second @ x


class Scaled(Operator):
    """c A."""

    def __init__(self, factor: ArrayLike, matrix: Operator):
        self.spaces, self.rows, self.cols = matrix.spaces, matrix.rows, matrix.cols
        self.factor, self.matrix = factor, matrix

    @property
    def T(self) -> "Scaled":
        """The transpose."""
        return Scaled(self.factor, self.matrix.T)

    def _apply(self, x: "Vector") -> "Vector":
        return self.factor * (self.matrix @ x)


class Gaussian(Operator):
    """A Gaussian matrix or its transpose."""

    def __init__(self, spaces: Spaces, rows: str, cols: str, variance, block=None, flipped=False):
        self.spaces, self.rows, self.cols, self.variance = spaces, rows, cols, variance
        self.block, self.flipped = (self if block is None else block), flipped

    @property
    def T(self) -> "Gaussian":
        """The transpose: the same random numbers."""
        return Gaussian(
            self.spaces, self.cols, self.rows, self.variance, self.block, not self.flipped
        )

    def _apply(self, x: "Vector") -> "Vector":
        return Vector(self.spaces, self.rows, (Term(1.0, self, x),))


class Term(NamedTuple):
    """coefficient · matrix · vector; no matrix: the vector itself."""

    coefficient: ArrayLike
    matrix: Gaussian | None
    vector: "Vector"


class Vector:
    """A vector: given, or a sum of products; `x + y`, `x - y`, `c * x`, `x / c`."""

    def __init__(self, spaces: Spaces, space: str, terms: tuple[Term, ...]):
        self.spaces, self.space, self.terms = spaces, space, terms

    def _sum(self, other: "Vector", sign: float) -> "Vector":
        if not isinstance(other, Vector):
            return NotImplemented
        if other.spaces is not self.spaces or other.space != self.space:
            raise ValueError(
                f"Argument `other` of a sum must be a vector of space {self.space!r}, "
                f"got one of {other.space!r}."
            )
        return Vector(self.spaces, self.space, (Term(1.0, None, self), Term(sign, None, other)))

    def __add__(self, other: "Vector") -> "Vector":
        return self._sum(other, 1.0)

    def __sub__(self, other: "Vector") -> "Vector":
        return self._sum(other, -1.0)

    def __mul__(self, factor: ArrayLike) -> "Vector":
        if np.shape(factor) != ():
            raise ValueError(
                f"Argument `factor` of a vector must be a scalar, got shape {np.shape(factor)}."
            )
        return Vector(self.spaces, self.space, (Term(factor, None, self),))

    __rmul__ = __mul__
    __array_ufunc__ = None  # NumPy scalars leave the product to this class

    def __truediv__(self, factor: ArrayLike) -> "Vector":
        return self * (1.0 / jnp.asarray(factor))

    def __neg__(self) -> "Vector":
        return self * -1.0


def fields_of(outputs: list[Vector]) -> list[Vector]:
    """Given vectors, vectors to which matrices are applied, and outputs; causes come first."""
    used, order, seen = set(), [], set()

    def visit(x: Vector):
        if id(x) in seen:
            return
        seen.add(id(x))
        for term in x.terms:
            visit(term.vector)
            if term.matrix is not None:
                used.add(id(term.vector))
        order.append(x)

    for output in outputs:
        visit(output)
    kept = used | {id(x) for x in outputs}
    return [x for x in order if id(x) in kept or not x.terms]


def expanded(x: Vector, fields: set[int], factor=1.0) -> list[Term]:
    """Terms of a vector in fields only: sums of other vectors are written out."""
    out = []
    for term in x.terms:
        coefficient = factor * jnp.asarray(term.coefficient, float)
        if term.matrix is None and id(term.vector) not in fields:
            out += expanded(term.vector, fields, coefficient)
        else:
            out.append(Term(coefficient, term.matrix, term.vector))
    return out
