"""What `spectrax spectrum` finds out: every weight of every snapshot, and what went wrong."""

import dataclasses
import pathlib
from typing import Any

from spectrax.cli.options import UsageError


@dataclasses.dataclass
class Survey:
    """What was measured, by layer and snapshot, and what could not be."""

    paths: list[pathlib.Path]
    steps: list[float]
    layers: dict[str, dict[int, Any]] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)


def start(args) -> Survey:
    """The snapshots and their steps."""
    import numpy as np

    from spectrax.checkpoints import find_snapshots
    from spectrax.checkpoints.opening import number_of

    paths = find_snapshots(args.files)
    if args.steps is None:
        steps = [number_of(path) for path in paths]
        if not np.all(np.diff(steps) > 0):  # also without numbers: comparisons with NaN are false
            steps = list(map(float, range(len(paths))))
    else:
        steps = args.steps
    if len(steps) != len(paths) or not np.all(np.diff(steps) > 0):
        raise UsageError(f"--steps must be {len(paths)} increasing numbers, got {steps}")
    return Survey(paths, [0.0 if x != x else x for x in steps])


def jobs_of(survey: Survey, args) -> list[tuple]:
    """Snapshot, checkpoint and name of every weight that was asked for."""
    from spectrax.checkpoints import CheckpointError, open_checkpoint

    jobs = []
    for index, path in enumerate(survey.paths):
        try:
            checkpoint = open_checkpoint(path)
        except CheckpointError as error:
            survey.problems.append(str(error))
            continue
        survey.problems += checkpoint.broken.values()
        names = checkpoint.select(args.pattern or ("*",), args.min_size)
        jobs += [(index, checkpoint, name) for name in names]
    return jobs


def measure(survey: Survey, index: int, checkpoint, name: str, args) -> None:
    """One array of one snapshot; what goes wrong is noted."""
    from spectrax.checkpoints import CheckpointError
    from spectrax.checkpoints.base import layout_of
    from spectrax.empirical import measure_spectrum

    try:
        found = measure_spectrum(
            checkpoint.read(name),
            layout=layout_of(name) if args.layout == "auto" else args.layout,
            normalize=not args.divided,
            rate=args.rate,
            method=args.method,
        )
    except CheckpointError as error:
        survey.problems.append(str(error))
    except (ValueError, ImportError, MemoryError) as error:
        if str(error).startswith(("Argument `rate`",)):
            raise
        reason = (str(error) or "needs more memory").removeprefix("Argument `array` ").rstrip(".")
        survey.problems.append(f"Array {name!r} of {str(survey.paths[index])!r} {reason}.")
    else:
        survey.layers.setdefault(name, {})[index] = found


def series(survey: Survey, name: str):
    """The snapshots of one layer that could be measured."""
    from spectrax.empirical.series import series_of

    spectra = survey.layers[name]
    return series_of(spectra.values(), [survey.steps[i] for i in spectra])


def layer(survey: Survey, name: str) -> dict:
    """One layer for the sidecar."""
    spectra = survey.layers[name]
    keys = ("location", "location_stderr", "strength", "strength_stderr", "method")
    return {
        "name": name,
        "escape_step": series(survey, name).escape_step,
        "snapshots": [
            {
                "file": str(survey.paths[index]),
                "step": survey.steps[index],
                **found.summary(),
                **{key: getattr(found, key) for key in keys},
            }
            for index, found in spectra.items()
        ],
    }
