"""What a program may do: the interface that every interpreter implements.

A program is a function `program(ops, t)`, one step of an algorithm. Words of this folder:

- *object*: a random matrix, vector or constant, stated by name (`objects.py`);
- *field*: vectors of one space, with a leading index such as class or sample;
- *space*: where vectors live, of a dimension that grows with all others;
- *record*: fields that are remembered, such as those to which a matrix was applied;
- *tape*: what is known of all fields of a record, one row for each step;
- *spike*: the outer product of two fields that a trained matrix is given in a step;
- *coordinates*: the weights with which a trained matrix adds its initial value and its spikes;
- *plan*: what a program does in a step, found by one abstract pass.
"""

import abc
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from spectrax.program.field import Field
from spectrax.program.objects import Constant, Matrix, Objects, Vector


class MatrixHandle:
    """A random matrix inside a program; `A @ x` and `A.T @ g` apply it to fields."""

    def __init__(self, ops: "AbstractOps", name: str, declared: Matrix):
        self.ops, self.name, self.declared = ops, name, declared

    @property
    def forward(self) -> str:
        """Name of the record of inputs x of `A @ x`."""
        return f"{self.name}.both" if self.declared.symmetric else f"{self.name}.forward"

    @property
    def backward(self) -> str:
        """Name of the record of inputs g of `A.T @ g`; a symmetric matrix has one record."""
        return f"{self.name}.both" if self.declared.symmetric else f"{self.name}.backward"

    @property
    def T(self) -> "TransposedHandle":
        """The transposed matrix."""
        return TransposedHandle(self)

    def __matmul__(self, x: Field) -> Field:
        _require(x, self.declared.cols, self.name)
        return self.ops.apply(self, x)

    def append(self, g: Field, h: Field, weights: Float[Array, " g"] | None = None) -> None:
        r"""Gradient of this step: the spike $\frac{1}{\mathrm{cols}} \sum_k m_k\, g_k h_k^\top$.

        With weights m, ones by default.

        `g` and `h` must be the very fields to which the matrix was applied in this step
        (`W.T @ g`, `W @ h`): their correlations and responses are then known already. If g has
        several vectors for each one of h, those of h are counted round and round.
        """
        _require(g, self.declared.rows, self.name)
        _require(h, self.declared.cols, self.name)
        self.ops.append(self, g, h, weights)


class TransposedHandle:
    """A transposed matrix inside a program."""

    def __init__(self, matrix: MatrixHandle):
        self.matrix = matrix

    def __matmul__(self, g: Field) -> Field:
        _require(g, self.matrix.declared.rows, self.matrix.name)
        return self.matrix.ops.apply_transposed(self.matrix, g)


class VectorHandle:
    """Trained vectors inside a program."""

    def __init__(self, ops: "AbstractOps", name: str, declared: Vector):
        self.ops, self.name, self.declared = ops, name, declared

    @property
    def value(self) -> Field:
        """The vectors at this step."""
        return self.ops.read(self)

    def mix(self, weights: Float[Array, "size new"]) -> Field:
        """Linear combinations of the vectors at this step: new_k = sum_j weights_jk value_j."""
        return self.ops.read(self, weights)

    def append(self, h: Field, weights: Float[Array, "h size"] | None = None) -> None:
        r"""Gradient of this step, $\sum_j \mathrm{weights}_{jk} h_j$ for vector k."""
        _require(h, self.declared.space, self.name)
        self.ops.append_vector(self, h, weights)


def _require(x: Field, space: str, name: str) -> None:
    if x.space != space:
        raise ValueError(f"`{name}` takes fields of space `{space}`, got `{x.space}`.")


def first_rows(x: Float[Array, "rows rest"], num: int) -> Float[Array, "num rest"]:
    """The first rows, and zero for those that are missing."""
    return jnp.pad(x[:num], ((0, max(0, num - len(x))), (0, 0)))


class AbstractOps(abc.ABC):
    """The operations of a program in one step of time.

    `ops["W"]` is the object of that name. A program must do the same operations in the same order
    at every step. What is drawn once has the moments stated for step 0; those of a *fresh* object
    may depend on t.
    """

    objects: Objects

    def __getitem__(self, name: str) -> "MatrixHandle | VectorHandle | Field":
        """A random matrix, trained vectors, or the field of a constant."""
        if name not in self.objects:
            known = ", ".join(f"`{known}`" for known in self.objects) or "none"
            raise ValueError(f"The program has no random object `{name}`, only {known}.")
        declared = self.objects[name]
        if isinstance(declared, Matrix):
            return MatrixHandle(self, name, declared)
        if isinstance(declared, Vector):
            return VectorHandle(self, name, declared)
        return self.constant(name, declared)

    @abc.abstractmethod
    def constant(self, name: str, declared: Constant) -> Field:
        """Gaussian vectors with given inner products."""

    @abc.abstractmethod
    def apply(self, matrix: MatrixHandle, x: Field) -> Field:
        """`A @ x`."""

    @abc.abstractmethod
    def apply_transposed(self, matrix: MatrixHandle, g: Field) -> Field:
        """`A.T @ g`."""

    @abc.abstractmethod
    def elementwise(self, function: Callable, *fields: Field, size: int | None = None) -> Field:
        """A function of numbers, applied to each entry of fields of one space and size.

        With `size`, fields may differ in size: the function takes arrays (its size, sites), returns
        one of shape (size, sites), and treats all sites alike.
        """

    @abc.abstractmethod
    def scale(self, x: Field, profile: Float[Array, " groups"]) -> Field:
        """`x` times a factor for each group of sites of its space."""

    @abc.abstractmethod
    def read(self, vector: VectorHandle, mix: Float[Array, "size new"] | None = None) -> Field:
        """Value of a trained vector, or linear combinations of its values."""

    @abc.abstractmethod
    def append(self, matrix: MatrixHandle, g: Field, h: Field, weights=None) -> None:
        """Gradient of a trained matrix."""

    @abc.abstractmethod
    def append_vector(self, vector: VectorHandle, h: Field, weights=None) -> None:
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
