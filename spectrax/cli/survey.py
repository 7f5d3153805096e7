"""What `spectrax spectrum` finds out: every weight of every snapshot, and what went wrong."""

import collections
import dataclasses
import pathlib
import re
from typing import Any, NamedTuple

from spectrax.cli.common import UsageError

MOST_NAMES = 8  # of arrays left out for one reason; the sidecar has them all


@dataclasses.dataclass
class Survey:
    """What was measured, by layer and snapshot, and what could not be.

    Args:
        paths: the snapshots.
        steps: of each.
        layers: what was measured, by layer and number of the snapshot.
        skipped: arrays that were left out: file, name, shape, reason.
        whole: arrays that should have been taken apart and were not, likewise.
        strangers: layers whose arrays are not snapshots of one array.
        problems: sentences.
    """

    paths: list[pathlib.Path]
    steps: list[float]
    layers: dict[str, dict[int, Any]] = dataclasses.field(default_factory=dict)
    skipped: list[dict] = dataclasses.field(default_factory=list)
    whole: list[dict] = dataclasses.field(default_factory=list)
    strangers: set[str] = dataclasses.field(default_factory=set)
    problems: list[str] = dataclasses.field(default_factory=list)
    before: dict[str, Any] = dataclasses.field(default_factory=dict)  # the snapshot just measured

    def summary(self) -> dict:
        """Results for the JSON sidecar."""
        return {
            "files": [str(path) for path in self.paths],
            "steps": self.steps,
            "layers": [layer(self, name) for name in self.layers],
            "not_measured": self.skipped,
            "not_split": self.whole,
            "problems": self.problems,
        }


class Job(NamedTuple):
    """One array of one snapshot, and whether it is taken apart."""

    index: int
    checkpoint: Any
    name: str
    blocks: Any


def start(args) -> Survey:
    """The snapshots and their steps."""
    import numpy as np

    from spectrax.checkpoints import find_snapshots
    from spectrax.checkpoints.opening import number_of

    if "" in args.files:
        raise UsageError("FILE must not be empty")
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


def jobs_of(survey: Survey, args) -> list[Job]:
    """Every weight that was asked for, snapshots of one array after each other."""
    from spectrax.checkpoints import CheckpointError, open_checkpoint
    from spectrax.checkpoints.base import APART, too_small
    from spectrax.empirical.unfold import unfolded_shape

    jobs: dict[str, list[Job]] = {}
    for index, path in enumerate(survey.paths):
        try:
            checkpoint = open_checkpoint(path)
        except CheckpointError as error:
            survey.problems.append(str(error))
            continue
        survey.problems += checkpoint.broken.values()
        options = {"layout": args.layout, "unfolding": args.unfold}
        reasons = checkpoint.skipped(tuple(args.pattern or ("*",)), args.min_size, **options)
        for name, shape in checkpoint.shapes.items():
            reason = reasons.get(name, "")
            entry = {"file": str(path), "name": name, "shape": list(shape), "reason": reason}
            if reason and not (args.split and reason in APART):
                survey.skipped.append(entry)
                continue
            blocks: Any = ""
            if args.split and (len(shape) == 2 or reason):
                blocks = checkpoint.blocks(name, layout=args.layout, heads=args.heads)
            if not isinstance(blocks, str):
                layout = _layout(checkpoint, name, args)
                sides = unfolded_shape(blocks.block, layout, args.unfold)
                if min(sides) < args.min_size:
                    survey.skipped.append(entry | {"reason": too_small(args.min_size, sides)})
                    continue
            elif blocks:
                survey.whole.append(entry | {"reason": blocks})
            apart = None if isinstance(blocks, str) else blocks
            jobs.setdefault(name, []).append(Job(index, checkpoint, name, apart))
    _compare_names(survey, jobs)
    return [job for several in jobs.values() for job in several]


def _layout(checkpoint, name: str, args) -> str:
    return checkpoint.layout(name) if args.layout == "auto" else args.layout


def _compare_names(survey: Survey, jobs: dict[str, list[Job]]) -> None:
    """Snapshots have the same layers; shards have each layer once. Anything else is a mistake."""
    files = {job.index for several in jobs.values() for job in several}
    lonely = [name for name, several in jobs.items() if len(several) < len(files)]
    if lonely and len(lonely) < len(jobs) or any(1 < len(jobs[name]) for name in lonely):
        missing = min(files - {job.index for job in jobs[lonely[0]]})
        survey.problems.append(
            f"These files are not snapshots of one network: {len(lonely)} of {len(jobs)} layers "
            f"are not in all of them, {lonely[0]!r} not in {str(survey.paths[missing])!r}."
        )


def measure(survey: Survey, job: Job, args) -> None:
    """One array of one snapshot, or its blocks; what goes wrong is noted."""
    from spectrax.checkpoints import CheckpointError
    from spectrax.checkpoints.fused import taken_apart

    try:
        array = job.checkpoint.read(job.name)
        pieces = {"": array} if job.blocks is None else taken_apart(array, job.blocks)
    except CheckpointError as error:
        survey.problems.append(str(error))
        return
    for part, piece in pieces.items():
        _measure(survey, job, f"{job.name}[{part}]" if part else job.name, piece, args)


def _measure(survey: Survey, job: Job, name: str, array, args) -> None:
    """One matrix or kernel."""
    from spectrax.empirical import measure_spectrum
    from spectrax.empirical.series import check_kinship

    path, layout = survey.paths[job.index], _layout(job.checkpoint, job.name, args)
    try:
        found = measure_spectrum(
            array,
            layout=layout,
            normalize=not args.divided,
            rate=args.rate,
            method=args.method,
            unfolding=args.unfold,
            controls=not args.no_controls,
        )
    except (ValueError, ImportError, MemoryError) as error:
        if str(error).startswith(("Argument `rate`",)):
            raise
        reason = (str(error) or "needs more memory").removeprefix("Argument `array` ").rstrip(".")
        survey.problems.append(f"Array {name!r} of {str(path)!r} {reason}.")
        return None
    before = survey.before.get(name)
    try:
        if before is not None:
            check_kinship(before, array)
    except ValueError as error:
        survey.strangers.add(name)
        reason = str(error).removeprefix("Argument `arrays` ").rstrip(".")
        survey.problems.append(f"Layer {name!r}: these files {reason}.")
    survey.before = {key: x for key, x in survey.before.items() if key.startswith(job.name)}
    survey.before[name] = array
    survey.layers.setdefault(name, {})[job.index] = found
    return None


def series(survey: Survey, name: str):
    """The snapshots of one layer that could be measured; the last if they are strangers."""
    from spectrax.empirical.series import series_of

    spectra = survey.layers[name]
    if name in survey.strangers:
        spectra = dict([list(spectra.items())[-1]])
    return series_of(spectra.values(), [survey.steps[i] for i in spectra])


def layer(survey: Survey, name: str) -> dict:
    """One layer for the sidecar."""
    spectra, found = survey.layers[name], series(survey, name)
    keys = ("location", "location_stderr", "strength", "strength_stderr", "rejected", "reasons")
    keys += ("controls", "dropped", "method")
    several = len(found.spectra) > 1
    snapshots = []
    for place, (index, spectrum) in enumerate(spectra.items()):
        row = {"file": str(survey.paths[index]), "step": survey.steps[index], **spectrum.summary()}
        details = {key: getattr(spectrum, key) for key in keys}
        if spectrum.restructured:
            details |= dict.fromkeys(keys[:4], None)
        details["rejected_at"] = details.pop("rejected")
        details["from_start"] = int(found.at_start(place).sum()) if several else None
        inner = spectrum.equalised
        details["equalised"] = None if inner is None else inner.sentence
        snapshots.append({**row, **details})
    return {
        "name": name,
        "escape_step": found.escape_step if several else None,
        "escape_bracket": list(found.escape_bracket) if several else None,
        "snapshots": snapshots,
    }


# --- what was left out


def left_out(record: dict) -> list[str]:
    """What was not measured, and not taken apart, by reason."""
    lines = []
    for key, what in (("not_split", "measured whole"), ("not_measured", "not measured")):
        reasons: dict[str, dict[str, None]] = {}
        for entry in record[key]:
            reasons.setdefault(_reason(entry), {})[entry["name"]] = None
        for reason, names in reasons.items():
            shown = ", ".join(list(names)[:MOST_NAMES]) + ", …" * (len(names) > MOST_NAMES)
            lines.append(f"{what}, {reason} ({len(names)}): {shown}")
    return [""] * bool(lines) + lines


def _reason(entry: dict) -> str:
    """Why an array is left out, without the numbers that are its own."""
    from spectrax.checkpoints.base import APART

    reason = re.sub(r", \d+ × \d+$", "", entry["reason"])
    return reason + ", see --split" * (reason in APART)


def most_common_reasons(found) -> str:
    """Why nothing was measured, for an error message."""
    counts = collections.Counter(map(_reason, found.skipped))
    words = [f"{count} arrays: {reason}" for reason, count in counts.most_common(3)]
    return f" ({'; '.join(words)})" if words else ""
