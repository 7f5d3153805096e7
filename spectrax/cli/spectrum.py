"""`spectrax spectrum`: bulk and outliers of the weights in checkpoints."""

import argparse
import csv
import dataclasses
import pathlib
import re
import sys
from typing import Any

from spectrax.cli import options
from spectrax.cli.options import UsageError

EPILOG = """\
examples:
  spectrax spectrum model.safetensors
  spectrax spectrum --pattern "*mlp*kernel" checkpoints/          (Orbax, all its steps)
  spectrax spectrum --steps 0,100,1000 a.npz b.npz c.npz --json

Reads .npz, .safetensors, Flax .msgpack files and Orbax folders; never unpickles. Several files are
snapshots of one training: each layer then gets outlier trajectories and an escape step.
Writes spectrum.csv (a row for each layer and file), spectrum.json (the same with outliers, their
strengths and errors, parameters, versions), and for each layer a figure (.png, .pdf) and its
data (.npz).
A file or array that cannot be used costs one sentence and exit code 1; the others are done.
"""


def add_parser(commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "spectrum",
        help="bulk, outliers and regime of the weights in checkpoints",
        description="Measure the spectra of the weights in checkpoints.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="checkpoints, in order of training"
    )
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--pattern",
        action="append",
        metavar="GLOB",
        help="only names that match, in quotes; may be repeated (all matrices and 2-d kernels)",
    )
    group.add_argument(
        "--layout",
        choices=("auto", "out_in", "in_out"),
        default="auto",
        help="order of the axes; auto: in_out (Flax) for names that end in kernel, else out_in",
    )
    group.add_argument(
        "--divided",
        action="store_true",
        help="do not divide by the root of the number of columns: the weights are divided already",
    )
    group.add_argument(
        "--min-size",
        type=options.at_least(8),
        default=32,
        metavar="SIZE",
        help="leave matrices with fewer rows or columns out (%(default)s)",
    )
    group = parser.add_argument_group("measurement")
    group.add_argument(
        "--rate",
        type=float,
        default=1e-3,
        help="probability that a layer of pure noise shows an outlier (%(default)s)",
    )
    group.add_argument(
        "--method",
        choices=("auto", "dense", "lanczos"),
        default="auto",
        help="all eigenvalues, or products only; auto: products beyond 2048 rows and columns",
    )
    group.add_argument(
        "--steps",
        type=options.numbers,
        help="training steps of the files: a,b,… (numbers in their names, or 0, 1, …)",
    )
    options.add_output_options(parser, "spectrax-results")
    parser.add_argument("--no-figures", action="store_true", help="only tables")
    parser.set_defaults(run=run)


@dataclasses.dataclass
class Survey:
    """What was measured, by layer and snapshot, and what could not be."""

    paths: list[pathlib.Path]
    steps: list[float]
    layers: dict[str, dict[int, Any]] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)


def run(args) -> int:
    """Read, measure, draw, write, print."""
    from spectrax.cli import files, session

    session.start(args)
    survey = _start(args)
    folder = files.make_folder(args.out)
    jobs = _jobs(survey, args)
    with session.progress(args, total=max(len(jobs), 1)) as bar:
        for job in jobs:
            bar.set_description_str(job[2][-30:])
            _measure(survey, *job, args)
            bar.update()
    for sentence in survey.problems:
        print(f"spectrax: {sentence}", file=sys.stderr)
    if not survey.layers:
        raise UsageError(
            "There are no weights to measure in these files; see --pattern, --min-size"
        )
    record = {
        "command": "spectrum",
        "parameters": {
            k: getattr(args, k) for k in ("pattern", "layout", "divided", "min_size", "rate")
        },
        "files": [str(path) for path in survey.paths],
        "steps": survey.steps,
        "layers": [_layer(survey, name) for name in survey.layers],
        "problems": survey.problems,
        "versions": files.versions(),
    }
    record["written"] = _write(folder, survey, record, args)
    (folder / "spectrum.json").write_text(files.to_json(record) + "\n", encoding="utf-8")
    if args.json:
        print(files.to_json(record))
    elif not args.quiet:
        print(_text(survey, record))
    return 1 if survey.problems else 0


def _start(args) -> Survey:
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


def _jobs(survey: Survey, args) -> list[tuple]:
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


def _measure(survey: Survey, index: int, checkpoint, name: str, args) -> None:
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


def _series(survey: Survey, name: str):
    """The snapshots of one layer that could be measured."""
    from spectrax.empirical.series import series_of

    spectra = survey.layers[name]
    return series_of(spectra.values(), [survey.steps[i] for i in spectra])


def _layer(survey: Survey, name: str) -> dict:
    """One layer for the sidecar."""
    spectra = survey.layers[name]
    keys = ("location", "location_stderr", "strength", "strength_stderr", "method")
    return {
        "name": name,
        "escape_step": _series(survey, name).escape_step,
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


def _write(folder, survey: Survey, record: dict, args) -> list[str]:
    """Table, and figure and data of each layer."""
    import numpy as np

    from spectrax.cli import session, spectrum_figure

    table = folder / "spectrum.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = None
        for layer in record["layers"]:
            for row in layer["snapshots"]:
                cells = {"layer": layer["name"], **row}
                if head is None:
                    writer.writerow(head := list(cells))
                writer.writerow([_cell(cells[key]) for key in head])
    written = [str(table), str(folder / "spectrum.json")]
    names = {} if args.no_figures else _file_names(survey.layers)
    with session.progress(args, total=max(len(names), 1)) as bar:
        for name, stem in names.items():
            bar.set_description_str(f"drawing {name[-20:]}")
            series = _series(survey, name)
            figure = spectrum_figure.draw(name, series)
            for suffix in ("png", "pdf"):
                metadata = {"CreationDate": None} if suffix == "pdf" else None
                figure.savefig(folder / f"{stem}.{suffix}", dpi=200, metadata=metadata)
            arrays = spectrum_figure.arrays(series)
            np.savez(folder / f"{stem}.npz", allow_pickle=False, **arrays)
            written += [str(folder / f"{stem}.{suffix}") for suffix in ("png", "pdf", "npz")]
            bar.update()
    return written


def _cell(value) -> str:
    """A value in a table; several are separated by blanks."""
    if hasattr(value, "__len__") and not isinstance(value, str):
        return " ".join(f"{x:.8g}" for x in value)
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _file_names(names) -> dict[str, str]:
    """A file name for each layer: harmless whatever the checkpoint calls it, and unique."""
    found: dict[str, str] = {}
    for name in names:
        stem = "spectrum_" + (re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[-80:] or "layer")
        while stem in found.values():
            stem += "_"
        found[name] = stem
    return found


def _text(survey: Survey, record: dict) -> str:
    """The table for the terminal: the last snapshot of each layer."""
    several = len(survey.paths) > 1
    head = ["layer", "shape", "aspect", "sigma", "edge", "outliers", "top", "KS", "regime"]
    rows = [head + ["escape step"] * several]
    for layer in record["layers"]:
        last = layer["snapshots"][-1]
        shape = f"{last['rows']} × {last['cols']}"
        error = f"{last['sigma_stderr']:.1g}"
        row = [layer["name"], shape, f"{last['aspect']:.3g}", f"{last['sigma']:.4g} ± {error}"]
        row += [f"{last['edge']:.4g}", str(last["outliers"]), f"{last['top']:.4g}"]
        row += [f"{last['ks']:.3f}", last["regime"]]
        step = layer["escape_step"]
        rows.append(row + ([f"{step:.4g}" if step < float("inf") else "never"] * several))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(x.ljust(width) for x, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    many = len(record["written"]) > 6
    names = record["written"][:5] + ["…"] if many else record["written"]
    return "\n".join([*lines, "", "written: " + ", ".join(names)])
