"""Text as one long sequence of tokens, cut into windows."""

import dataclasses

import numpy as np

from models.data.order import held_out_order, training_order
from spectrax import check


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """Windows of a token sequence; its end is held out.

    The training part and the held-out part are each cut into windows that do not overlap, so that
    an epoch shows every token once.

    Args:
        name: what the data are called in results.
        tokens: all tokens, also memory-mapped, unsigned integers, (N,).
        vocabulary: number of different tokens; they lie below it.
        length: tokens in a window.
        held_out: number of tokens at the end that are held out.
        seed: of the order of the windows.

    Raises:
        ValueError: if a part has no window, or an argument is not an integer in its range.
    """

    name: str
    tokens: np.ndarray = dataclasses.field(repr=False)
    vocabulary: int
    length: int
    held_out: int
    seed: int = 0

    def __post_init__(self):
        check.integer("vocabulary", self.vocabulary, 2)
        check.integer("length", self.length, 1)
        check.integer("held_out", self.held_out, 1)
        check.integer("seed", self.seed, 0)
        shorter = min(self.held_out, len(self.tokens) - self.held_out)
        if shorter <= self.length:  # a window and the token that follows it
            raise ValueError(
                f"Argument `length` must be below the {shorter} tokens of the shorter part of "
                f"{self.name} ({len(self.tokens)} tokens, {self.held_out} held out), "
                f"got {self.length}."
            )

    @property
    def split(self) -> int:
        """Number of tokens before the held-out part."""
        return len(self.tokens) - self.held_out

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training windows of one step, a pure function of (seed, step, size).

        Args:
            step: number of batches of this size before this one.
            size: windows, also more than there are: epochs follow one another.

        Returns:
            Inputs and targets, (size, length), int32; each target is the token after its input.

        Raises:
            ValueError: if step or size is not an integer in its range.
        """
        count = (self.split - 1) // self.length
        return self._windows(training_order(self.seed, step, size, count) * self.length)

    def evaluation(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """A fixed choice of held-out windows, the same for every seed.

        Args:
            size: windows, at most as many as are held out.

        Returns:
            Inputs and targets, (size, length), int32.

        Raises:
            ValueError: if size is not an integer in its range.
        """
        count = (self.held_out - 1) // self.length
        return self._windows(self.split + held_out_order(size, count) * self.length)

    def _windows(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of the windows that begin there."""
        windows = self.tokens[starts[:, None] + np.arange(self.length + 1)].astype(np.int32)
        return windows[:, :-1], windows[:, 1:]


def held_out_tokens(fraction: float, count: int) -> int:
    """Number of held-out tokens of `count`; ValueError unless 0 < fraction < 1."""
    if not 0 < fraction < 1:
        raise ValueError(f"Argument `held_out` must be between 0 and 1, got {fraction}.")
    return max(1, round(fraction * count))


def token_type(vocabulary: int) -> type[np.unsignedinteger]:
    """The smaller of two integer types that hold every token."""
    return np.uint16 if vocabulary <= 2**16 else np.uint32
