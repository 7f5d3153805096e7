"""What a training leaves behind."""

import dataclasses
import pathlib

import numpy as np

from models.saving import LOSSES, snapshot_path, write_arrays
from spectrax import check
from spectrax.checkpoints import open_checkpoint


@dataclasses.dataclass(frozen=True)
class Record:
    """What `train` returns.

    Args:
        losses: mean loss of each batch, before its update, (steps,).
        evaluation_steps: numbers of updates at which the held-out loss was taken, (k,).
        evaluation_losses: held-out losses, (k,).
        snapshots: numbers of updates at which the weights were kept, ascending.
        samples: samples in a batch; losses[t] is after t * samples samples.
        diverged_at: the step whose loss or update was not finite (its update was not made), or
            None.
        folder: where the files are, or None.
        kept: weights by step where there is no folder; call `weights` instead.
    """

    losses: np.ndarray
    evaluation_steps: np.ndarray
    evaluation_losses: np.ndarray
    snapshots: tuple[int, ...]
    samples: int
    diverged_at: int | None
    folder: pathlib.Path | None
    kept: dict[int, dict[str, np.ndarray]] = dataclasses.field(repr=False)

    def weights(self, step: int) -> dict[str, np.ndarray]:
        """Every array of the network after so many updates, by path.

        Args:
            step: one of `snapshots`.

        Raises:
            ValueError: if no snapshot was taken there.
        """
        if step not in self.snapshots:
            raise ValueError(f"Argument `step` must be one of {self.snapshots}, got {step}.")
        if self.folder is None:
            return self.kept[step]
        checkpoint = open_checkpoint(snapshot_path(self.folder, step))
        return {name: checkpoint.read(name) for name in checkpoint.shapes}

    @property
    def message(self) -> str:
        """One sentence on how it went."""
        if self.diverged_at is not None:
            return f"The training diverged at step {self.diverged_at}."
        return f"The training made {len(self.losses)} steps."

    def write(self) -> None:
        """Write the losses into `losses.npz` of the folder."""
        names = ("losses", "evaluation_steps", "evaluation_losses")
        arrays = {name: getattr(self, name) for name in names}
        arrays["samples_seen"] = self.samples * np.arange(len(self.losses))
        write_arrays(self.folder / LOSSES, arrays)


def log_spaced(first: int, last: int, count: int) -> tuple[int, ...]:
    """Steps at equal ratios, so that snapshots are log-spaced in the samples seen.

    Args:
        first: at least 1.
        last: at least `first`.
        count: how many; small neighbours that round to the same step are one.

    Returns:
        Increasing steps, `first` and `last` among them.

    Examples:
        >>> from models.record import log_spaced
        >>> log_spaced(1, 1000, 7)
        (1, 3, 10, 32, 100, 316, 1000)
    """
    first = check.integer("first", first, 1)
    last = check.integer("last", last, first)
    count = check.integer("count", count, 2)
    return tuple(int(x) for x in np.unique(np.rint(np.geomspace(first, last, count))))
