"""Fields: the vectors that a program computes with."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Field(eqx.Module):
    """Vectors of one space, one for each value of a leading index (class or sample).

    What `data` holds is the interpreter's business: every leaf has the index as its first axis and
    depends linearly on the vectors, so that linear combinations are the same for all interpreters.

    Args:
        space: name of the space in which the vectors live.
        data: the interpreter's representation.
        sources: used where a program is analysed only: the products with matrices that went into
            it.
    """

    space: str = eqx.field(static=True)
    data: Any
    sources: frozenset = eqx.field(static=True, default=frozenset())

    @property
    def size(self) -> int:
        """Number of vectors (length of the leading index)."""
        return jax.tree.leaves(self.data)[0].shape[0]

    def _combine(self, other: "Field", sign: float) -> "Field":
        if not isinstance(other, Field) or other.space != self.space:
            raise ValueError(f"Cannot add a field of space `{self.space}` to {other!r}.")
        data = jax.tree.map(lambda x, y: x + sign * y, self.data, other.data)
        return Field(self.space, data, self.sources | other.sources)

    def __add__(self, other: "Field") -> "Field":
        return self._combine(other, 1.0)

    def __sub__(self, other: "Field") -> "Field":
        return self._combine(other, -1.0)

    def __mul__(self, factor) -> "Field":
        return Field(self.space, jax.tree.map(lambda x: x * factor, self.data), self.sources)

    __rmul__ = __mul__

    def __truediv__(self, factor) -> "Field":
        return self * (1.0 / factor)

    def __neg__(self) -> "Field":
        return self * -1.0

    def mix(self, weights: Float[Array | np.ndarray, "old new"]) -> "Field":
        """Linear combinations along the index: new_k = sum_j weights_jk old_j."""
        data = jax.tree.map(lambda x: jnp.tensordot(weights, x, axes=(0, 0)), self.data)
        return Field(self.space, data, self.sources)
