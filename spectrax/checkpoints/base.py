"""What every format gives: names and shapes first, then one array at a time."""

import dataclasses
import fnmatch
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from spectrax._memory import host_memory

SHARE = 1 / 8  # of the free memory for one array: measuring needs up to seven copies of bfloat16


class CheckpointError(ValueError):
    """A file that cannot be read, or an array in it; the message is one sentence."""


@contextmanager
def reading(path: pathlib.Path, what: str = "") -> Iterator[None]:
    """Whatever goes wrong in a reader becomes one sentence.

    Hostile files find many ways to fail, also panics of compiled code, which are no `Exception`.
    """
    try:
        yield
    except (CheckpointError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except ImportError as error:
        raise CheckpointError(str(error)) from error
    except BaseException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if len(reason) <= 160 else reason[:157] + "..."
        raise CheckpointError(
            f"Cannot read {what}{str(path)!r}: {reason}".rstrip(".") + "."
        ) from error


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The arrays of one checkpoint, unread.

    Args:
        path: file or folder.
        shapes: shape of each array, by name, in the order of the file.
        sizes: bytes of each array once read.
        load: reads one array; call `read` instead.
        broken: what is wrong with arrays that have no shape, by name.
    """

    path: pathlib.Path
    shapes: dict[str, tuple[int, ...]]
    sizes: dict[str, int]
    load: Callable[[str], np.ndarray]
    broken: dict[str, str] = dataclasses.field(default_factory=dict)

    def read(self, name: str) -> np.ndarray:
        """One array.

        Args:
            name: one of `shapes` (or of `broken`, to hear why).

        Returns:
            The array, of its own floating type (bfloat16 included).

        Raises:
            CheckpointError: if it is broken, not made of real numbers, or larger than an eighth of
                the free memory.
        """
        if name in self.broken:
            raise CheckpointError(self.broken[name])
        free = host_memory()
        if free is not None and self.sizes[name] > SHARE * free:
            raise CheckpointError(
                f"Array {name!r} of {str(self.path)!r} claims {self.sizes[name] / 1e9:.3g} GB, "
                f"more than an eighth of the free memory."
            )
        with reading(self.path, f"array {name!r} of "):
            return _real(np.asarray(self.load(name)))

    def select(self, patterns: Sequence[str] = ("*",), smallest: int = 32) -> list[str]:
        """Names of the weights: matrices and two-dimensional kernels that match a pattern.

        Args:
            patterns: shell patterns for the whole name, such as "*attention*kernel"; any may match.
            smallest: arrays that make a matrix with fewer rows or columns are left out.

        Returns:
            The names, in the order of the file.
        """
        return [
            name
            for name, shape in self.shapes.items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
            and _is_weight(shape, layout_of(name), smallest)
        ]


def layout_of(name: str) -> str:
    """Order of the axes: "in_out" for what Flax calls a kernel, otherwise "out_in"."""
    last = name.replace(".", "/").rstrip("/").split("/")[-1]
    return "in_out" if last == "kernel" else "out_in"


def _is_weight(shape: tuple[int, ...], layout: str, smallest: int) -> bool:
    if len(shape) == 4:
        a, b, c, d = shape
        shape = (a * c, b * d) if layout == "out_in" else (a * d, b * c)
    return len(shape) == 2 and min(shape) >= smallest


def _real(array: np.ndarray) -> np.ndarray:
    """The array, if it holds real numbers.

    NumPy's own format has no bfloat16: such arrays are stored as two bytes without a meaning.
    """
    if array.dtype.kind == "V" and array.dtype.names is None and array.dtype.itemsize == 2:
        array = array.view(ml_dtypes.bfloat16)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.kind in "iu"):
        raise TypeError(f"it holds {array.dtype}, not real numbers")
    return array


def nbytes(shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes of an array, without overflow."""
    return math.prod(shape) * itemsize
