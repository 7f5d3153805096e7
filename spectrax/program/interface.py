"""What a program may do: the interface that every interpreter implements."""

import abc
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax.program.field import Field


class Matrix:
    r"""Handle of a random matrix inside a program; `A @ x` and `A.T @ g` apply it to fields.

    Entries are i.i.d. $\mathcal N(0, \sigma^2/\mathrm{cols})$. A *fresh* matrix is drawn again at
    every step. A *trained* matrix adds the spikes that `append` gave it in earlier steps. A
    *symmetric* one equals its transpose, with that variance off the diagonal.
    """

    def __init__(
        self, ops, name, rows, cols, sigma=1.0, *, fresh=False, trained=False, symmetric=False
    ):
        self.ops, self.name, self.rows, self.cols = ops, name, rows, cols
        self.sigma, self.fresh, self.trained = sigma, fresh, trained
        self.symmetric = symmetric

    @property
    def forward(self) -> str:
        """Name of the record of inputs x of `A @ x`."""
        return f"{self.name}.both" if self.symmetric else f"{self.name}.forward"

    @property
    def backward(self) -> str:
        """Name of the record of inputs g of `A.T @ g`; a symmetric matrix has one record."""
        return f"{self.name}.both" if self.symmetric else f"{self.name}.backward"

    @property
    def T(self) -> "Transposed":
        """The transposed matrix."""
        return Transposed(self)

    def __matmul__(self, x: Field) -> Field:
        _require(x, self.cols, self.name)
        return self.ops.apply(self, x)

    def append(self, g: Field, h: Field, weights: Float[Array, " g"] | None = None) -> None:
        r"""Gradient of this step: the spike $\frac{1}{\mathrm{cols}} \sum_k m_k\, g_k h_k^\top$.

        With weights m, ones by default.

        `g` and `h` must be the very fields to which the matrix was applied in this step
        (`W.T @ g`, `W @ h`): their correlations and responses are then known already. If g has
        several vectors for each one of h, those of h are counted round and round.
        """
        _require(g, self.rows, self.name)
        _require(h, self.cols, self.name)
        self.ops.append(self, g, h, weights)


class Transposed:
    """Handle of a transposed matrix."""

    def __init__(self, matrix: Matrix):
        self.matrix = matrix

    def __matmul__(self, g: Field) -> Field:
        _require(g, self.matrix.rows, self.matrix.name)
        return self.matrix.ops.apply_transposed(self.matrix, g)


class Vector:
    r"""Handle of trained vectors with i.i.d. initial entries $\mathcal N(0, \sigma^2)$."""

    def __init__(self, ops, name, space, size, sigma=1.0):
        self.ops, self.name, self.space, self.size, self.sigma = ops, name, space, size, sigma

    @property
    def value(self) -> Field:
        """The vectors at this step."""
        return self.ops.read(self)

    def mix(self, weights: Float[Array, "size new"]) -> Field:
        """Linear combinations of the vectors at this step: new_k = sum_j weights_jk value_j."""
        return self.ops.read(self, weights)

    def append(self, h: Field, weights: Float[Array, "h size"] | None = None) -> None:
        r"""Gradient of this step, $\sum_j \mathrm{weights}_{jk} h_j$ for vector k."""
        _require(h, self.space, self.name)
        self.ops.append_vector(self, h, weights)


def _require(x: Field, space: str, name: str) -> None:
    if x.space != space:
        raise ValueError(f"`{name}` takes fields of space `{space}`, got `{x.space}`.")


def first_rows(x: Float[Array, "rows rest"], num: int) -> Float[Array, "num rest"]:
    """The first rows, and zero for those that are missing."""
    return jnp.pad(x[:num], ((0, max(0, num - len(x))), (0, 0)))


class AbstractOps(abc.ABC):
    """The operations of a program in one step of time.

    A program is a function `program(ops, t)` that declares its random objects by name and applies
    them to fields. It must do the same operations in the same order at every step. What is drawn
    once has the moments declared at step 0; those of a *fresh* object may depend on t.
    """

    def declare(self, matrix: Matrix) -> Matrix:
        """Take note of a matrix that the program asks for; limits and networks need none."""
        return matrix

    def matrix(self, name: str, rows: str, cols: str, *, sigma=1.0, fresh: bool = False) -> Matrix:
        """A random matrix that is not trained, e.g. the data; `fresh`: drawn anew every step."""
        return self.declare(Matrix(self, name, rows, cols, sigma, fresh=fresh))

    def weight(self, name: str, rows: str, cols: str, *, sigma=1.0) -> Matrix:
        """A trained random matrix."""
        return self.declare(Matrix(self, name, rows, cols, sigma, trained=True))

    def symmetric(self, name: str, space: str, *, sigma=1.0) -> Matrix:
        """A trained symmetric random matrix."""
        matrix = Matrix(self, name, space, space, sigma, trained=True, symmetric=True)
        return self.declare(matrix)

    def vector(self, name: str, space: str, size: int, *, sigma=1.0) -> Vector:
        """`size` trained vectors, e.g. the readout."""
        return Vector(self, name, space, size, sigma)

    @abc.abstractmethod
    def constant(
        self, name: str, space: str, gram: Float[Array, "k k"], *, fresh: bool = False
    ) -> Field:
        """Gaussian vectors with the given inner products, e.g. the teacher.

        The same at all times, or with `fresh` drawn anew at every step.
        """

    @abc.abstractmethod
    def apply(self, matrix: Matrix, x: Field) -> Field:
        """`A @ x`."""

    @abc.abstractmethod
    def apply_transposed(self, matrix: Matrix, g: Field) -> Field:
        """`A.T @ g`."""

    @abc.abstractmethod
    def elementwise(self, function: Callable, *fields: Field, size: int | None = None) -> Field:
        """A function of numbers, applied to each entry of fields of one space and size.

        With `size`, fields may differ in size: the function takes arrays (its size, sites), returns
        one of shape (size, sites), and treats all sites alike.
        """

    @abc.abstractmethod
    def read(self, vector: Vector, mix: Float[Array, "size new"] | None = None) -> Field:
        """Value of a trained vector, or linear combinations of its values."""

    @abc.abstractmethod
    def append(self, matrix: Matrix, g: Field, h: Field, weights=None) -> None:
        """Gradient of a trained matrix."""

    @abc.abstractmethod
    def append_vector(self, vector: Vector, h: Field, weights=None) -> None:
        """Gradient of a trained vector."""

    @abc.abstractmethod
    def remember(self, name: str, x: Field) -> None:
        """Keep a field of this step under a name, for `recall` and `project_out`."""

    @abc.abstractmethod
    def recall(self, name: str, space: str, size: int) -> Field:
        """The field that was remembered under a name in the step before (zero if there is none)."""

    @abc.abstractmethod
    def history(self, name: str, space: str, num: int) -> Field:
        """All single fields that were remembered under a name, one for each of `num` steps.

        Zero for this step and later ones.
        """

    @abc.abstractmethod
    def project_out(self, name: str, x: Field) -> Field:
        r"""`x` minus its projections: $x - \sum_s y_s \sum_k \langle y_{sk}, x_k\rangle$.

        With $y_s$ the fields of earlier steps under that name, the index being one more coordinate.
        """

    @abc.abstractmethod
    def inner(self, x: Field, y: Field) -> Float[Array, "x y"]:
        r"""Site averages $\langle x_j y_k \rangle = \frac{1}{\dim} \sum_i x_{ij} y_{ik}$."""

    @abc.abstractmethod
    def observe(self, name: str, value) -> None:
        """Report an array of this step."""
