"""`spectrax spectrum`: bulk and outliers of the weights in checkpoints."""

import argparse
import sys

from spectrax.cli import options
from spectrax.cli.options import UsageError

EPILOG = """\
examples:
  spectrax spectrum model.safetensors
  spectrax spectrum --pattern "*mlp*kernel" checkpoints/          (Orbax, all its steps)
  spectrax spectrum --steps 0,100,1000 a.npz b.npz c.npz --json

Reads .npz, .safetensors (shards too), PyTorch .pt .pth .bin (where PyTorch is installed), .onnx,
Flax .msgpack, folders of Hugging Face and of Orbax; never unpickles. Several files are snapshots
of one training: each layer then gets outlier trajectories and the snapshots between which the
first one escaped. What is not measured is listed with the reason.
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
    _add_weights(parser.add_argument_group("weights"))
    _add_measurement(parser.add_argument_group("measurement"))
    options.add_output_options(parser, "spectrax-results")
    parser.add_argument("--no-figures", action="store_true", help="only tables")
    parser.set_defaults(run=run)


def _add_weights(group) -> None:
    """Which arrays, and how they become matrices."""
    group.add_argument(
        "--pattern",
        action="append",
        metavar="GLOB",
        help="only names that match, in quotes; may be repeated (all matrices and kernels)",
    )
    group.add_argument(
        "--layout",
        choices=("auto", "out_in", "in_out"),
        default="auto",
        help="order of the axes; auto: in_out (Flax) for names that end in kernel, else out_in; "
        "heads of attention are joined",
    )
    group.add_argument(
        "--unfold",
        choices=("auto", "square", "flat", "tall"),
        default="auto",
        help="matrix of a kernel; auto: square unless that is far smaller on one side",
    )
    group.add_argument(
        "--split",
        action="store_true",
        help="measure gates, queries, keys, values and stacked matrices one by one",
    )
    group.add_argument(
        "--heads",
        type=options.integer(1),
        metavar="H",
        help="number of attention heads, for --split of query_key_value (from config.json)",
    )
    group.add_argument(
        "--divided",
        action="store_true",
        help="do not divide by the root of the number of columns: the weights are divided already",
    )
    group.add_argument(
        "--min-size",
        type=options.integer(8),
        default=32,
        metavar="SIZE",
        help="leave matrices with fewer rows or columns out (%(default)s)",
    )


def _add_measurement(group) -> None:
    """How a matrix is measured."""
    group.add_argument(
        "--rate",
        type=options.number,
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
        "--no-controls",
        action="store_true",
        help="count all outliers, also those that noise of the same entries would show",
    )
    group.add_argument(
        "--steps",
        type=options.numbers,
        help="training steps of the files: a,b,… (numbers in their names, or 0, 1, …)",
    )


def run(args) -> int:
    """Read, measure, draw, write, print."""
    from spectrax import records
    from spectrax.cli import session, spectrum_report, spectrum_survey

    session.start(args)
    survey = spectrum_survey.start(args)
    folder = records.make_folder(args.out)
    jobs = spectrum_survey.jobs_of(survey, args)
    with session.progress(args, total=max(len(jobs), 1)) as bar:
        for job in jobs:
            bar.set_description_str(job.name[-30:])
            spectrum_survey.measure(survey, job, args)
            bar.update()
    for sentence in survey.problems:
        print(f"spectrax: {sentence}", file=sys.stderr)
    if not survey.layers:
        if survey.problems:
            return 2  # each has its sentence
        raise UsageError(
            "There are no weights to measure in these files; see --pattern, --min-size"
            + spectrum_report.most_common_reasons(survey)
        )
    chosen = (
        "pattern",
        "layout",
        "unfold",
        "split",
        "heads",
        "divided",
        "min_size",
        "rate",
        "method",
    )
    chosen += ("no_controls",)
    record = {
        "command": "spectrum",
        "parameters": {name: getattr(args, name) for name in chosen},
        "seed": 0,  # of the vectors of "lanczos" and of the controls
        "files": [str(path) for path in survey.paths],
        "steps": survey.steps,
        "layers": [spectrum_survey.layer(survey, name) for name in survey.layers],
        "not_measured": survey.skipped,
        "not_split": survey.whole,
        "problems": survey.problems,
        "versions": records.versions(),
    }
    with records.deliver(folder, "spectrum") as staging:
        names = spectrum_report.write(staging, survey, record, args)
        record["written"] = [str(folder / name) for name in names]
        record["sha256"] = records.checksums(staging)
        records.write_record(staging / "spectrum.json", record)
    if args.json:
        session.print_json(record)
    elif not args.quiet:
        print(spectrum_report.text(record))
    return 1 if survey.problems else 0
