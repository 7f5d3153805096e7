"""What every format gives: names and shapes first, then one array at a time."""

import dataclasses
import fnmatch
import functools
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from spectrax._memory import host_memory
from spectrax.checkpoints.fused import Blocks, blocks_of
from spectrax.checkpoints.quantised import companions, dequantise, is_code
from spectrax.empirical.unfold import HEADS, unfolded_shape

INFLATION, SPARE = 10, 2**27  # an array may be so many times its file, and 134 MB more
SHARE = 1 / 8  # of the free memory for one array: measuring needs up to seven copies of bfloat16

STACKED = "3 axes, no kernel: stacked matrices"
STACKED_HEADS = "4 axes, no kernel: stacked attention"
FUSED = "directions and gates of a recurrent layer"
APART = (STACKED, STACKED_HEADS, FUSED)  # can be measured once taken apart
LONGEST = 64  # of a kernel of one spatial axis: a longer third axis is no kernel's
ATTENTION = re.compile(r"(attention|attn)[^/]*/(.*/)?(query|key|value|out)/kernel$", re.IGNORECASE)
OPTIMISER = re.compile(r"(^|[/.])(optimizer|optim|opt_state|exp_avg|exp_avg_sq|momentum_buffer)\b")


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
        dtypes: type of each array, where the format says it beforehand.
        layouts: order of the axes, "out_in" or "in_out", where the format knows it.
        scales: names of scale and zero point, and axis, of codes whose file says so itself.
        fused: blocks of arrays, where the format knows them.
        heads: number of attention heads, if a configuration beside the file has it.
        stored: bytes of the files in which the arrays are.
    """

    path: pathlib.Path
    shapes: dict[str, tuple[int, ...]]
    sizes: dict[str, int]
    load: Callable[[str], np.ndarray]
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    dtypes: dict[str, str] = dataclasses.field(default_factory=dict)
    layouts: dict[str, str] = dataclasses.field(default_factory=dict)
    scales: dict[str, tuple[str, str | None, int]] = dataclasses.field(default_factory=dict)
    fused: dict[str, Blocks] = dataclasses.field(default_factory=dict)
    heads: int | None = None
    stored: int | None = None

    def layout(self, name: str) -> str:
        """Order of the axes of one array: as the file says, or by its name (`layout_of`).

        Flax' attention gives each head an axis. Its queries, keys and values then have biases of
        two axes; those of one axis belong to convolutions.
        """
        known, path = self.layouts.get(name), _path(name)
        attention = ATTENTION.search(path) if len(self.shapes.get(name, ())) in (3, 4) else None
        if known or attention is None:
            return known or layout_of(name)
        if attention[3].lower() == "out":
            return "heads_out"
        bias = self._biases.get(path.removesuffix("kernel") + "bias", (0, 0))
        return "in_out" if len(bias) == 1 else "in_heads"

    @functools.cached_property
    def _biases(self) -> dict[str, tuple[int, ...]]:
        """Shapes by path, of all that is called a bias."""
        shapes = reversed(self.shapes.items())  # of several with one path the first counts
        return {path: shape for x, shape in shapes if (path := _path(x)).endswith("bias")}

    def blocks(self, name: str, *, layout: str = "auto", heads: int | None = None) -> Blocks | str:
        """What one array is made of, or why it stays whole (`blocks_of`).

        Args:
            name: one of `shapes`.
            layout: order of its axes, or "auto".
            heads: number of attention heads, if the checkpoint does not say or is wrong.
        """
        if name in self.fused:
            return self.fused[name]
        layout = self.layout(name) if layout == "auto" else layout
        return blocks_of(name, self.shapes, layout, heads or self.heads)

    def scale(self, name: str) -> tuple[str, str | None, int] | None:
        """Names of the scale and of the zero point of quantised weights, and their axis."""
        if name in self.scales:
            return self.scales[name]
        found = companions(name, self.shapes)
        return None if found is None else (*found, 0)

    def read(self, name: str) -> np.ndarray:
        """One array.

        Args:
            name: one of `shapes` (or of `broken`, to hear why).

        Returns:
            The array, of its own floating type (bfloat16 included).

        Raises:
            CheckpointError: if it is broken, not made of real numbers, larger than an eighth of
                the free memory, or many times larger than what is stored.
        """
        self.weigh(name)
        with reading(self.path, f"array {name!r} of "):
            array = _real(np.asarray(self.load(name)))
            found = self.scale(name) if is_code(array.dtype.name) else None
            if found is None:
                return array
            scale, zero, axis = found
            return dequantise(array, self.load(scale), zero and self.load(zero), axis)

    def weigh(self, name: str) -> None:
        """Raise a CheckpointError if an array is broken, or too large to be read."""
        if name in self.broken:
            raise CheckpointError(self.broken[name])
        free = host_memory()
        if free is not None and self.sizes[name] > SHARE * free:
            raise CheckpointError(
                f"Array {name!r} of {str(self.path)!r} claims {self.sizes[name] / 1e9:.3g} GB, "
                f"more than an eighth of the free memory."
            )
        if self.stored is not None and self.sizes[name] > INFLATION * self.stored + SPARE:
            raise CheckpointError(
                f"Array {name!r} of {str(self.path)!r} claims {self.sizes[name] / 1e9:.3g} GB, out "
                f"of {self.stored / 1e9:.3g} GB that are stored."
            )

    def select(self, patterns: Sequence[str] = ("*",), smallest: int = 32, **options) -> list[str]:
        """Names of the weights: matrices and kernels that match a pattern.

        Args:
            patterns: shell patterns for the whole name, such as "*attention*kernel"; any may match.
            smallest: arrays that make a matrix with fewer rows or columns are left out.
            options: `layout` ("auto": see `layout`) and `unfolding` of kernels.

        Returns:
            The names, in the order of the file.
        """
        reasons = self.skipped(patterns, smallest, **options)
        return [name for name in self.shapes if name not in reasons]

    def skipped(
        self,
        patterns: Sequence[str] = ("*",),
        smallest: int = 32,
        *,
        layout: str = "auto",
        unfolding: str = "auto",
    ) -> dict[str, str]:
        """What `select` leaves out, and why: every other array of the checkpoint.

        Args:
            patterns: as for `select`.
            smallest: as for `select`.
            layout: order of the axes of all arrays, or "auto".
            unfolding: of kernels.

        Returns:
            A reason for each name, such as "1 axis" or "no match".
        """
        scales = {x for name in self.shapes if self._coded(name) for x in self.scale(name) or ()}
        reasons = dict(self.broken)
        for name, shape in self.shapes.items():
            order = self.layout(name) if layout == "auto" else layout
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                reasons[name] = "no match"
            elif name in scales:
                reasons[name] = "scale or zero point of quantised weights"
            elif patterns == ("*",) and OPTIMISER.search(name):
                reasons[name] = "state of the optimiser"
            elif len(shape) not in (2, 3, 4, 5):
                reasons[name] = f"{len(shape)} ax{'i' if len(shape) == 1 else 'e'}s"
            elif name in self.fused:
                reasons[name] = FUSED
            elif len(shape) == 4 and order in HEADS:
                reasons[name] = STACKED_HEADS
            elif len(shape) == 3 and order not in HEADS and _spatial(shape, order) > LONGEST:
                reasons[name] = STACKED
            elif min(sides := unfolded_shape(shape, order, unfolding)) < smallest:
                reasons[name] = too_small(smallest, sides)
            elif self._coded(name) and not self.dtypes[name].startswith("float8"):
                if self.scale(name) is None:
                    reasons[name] = f"{self.dtypes[name]} without a scale: codes, or no weights"
        return reasons

    def _coded(self, name: str) -> bool:
        """Whether an array is known to hold codes of quantised weights."""
        return is_code(self.dtypes.get(name, ""))


def layout_of(name: str) -> str:
    """Order of the axes: "in_out" for what Flax calls a kernel, otherwise "out_in"."""
    return "in_out" if _path(name).split("/")[-1] == "kernel" else "out_in"


def too_small(smallest: int, sides: tuple[int, int]) -> str:
    """Why a matrix is not measured."""
    return f"matrix smaller than {smallest}, {sides[0]} × {sides[1]}"


def _path(name: str) -> str:
    """Steps to an array by slashes; what newer Flax puts inside a parameter is left out."""
    return name.replace(".", "/").rstrip("/").removesuffix("/value").rstrip("/")


def _spatial(shape: tuple[int, ...], layout: str) -> int:
    """Length of a kernel of one spatial axis."""
    return shape[-1] if layout == "out_in" else shape[0]


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
