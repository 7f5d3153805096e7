"""`spectrax spectrum`: bulk and outliers of the weights in checkpoints."""

import csv
import re
import sys

from spectrax.cli import common
from spectrax.cli.common import AUTO, integer, number, option

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


class WeightOptions:
    """Which arrays, and how they become matrices."""

    pattern = option(
        None,
        str,
        "only names that match, in quotes; may be repeated (all matrices and kernels)",
        action="append",
        metavar="GLOB",
    )
    layout = option(
        AUTO,
        str,
        "order of the axes; auto: in_out (Flax) for names that end in kernel, else out_in; "
        "heads of attention are joined",
        choices=(AUTO, "out_in", "in_out"),
    )
    unfold = option(
        AUTO,
        str,
        "matrix of a kernel; auto: square unless that is far smaller on one side",
        choices=(AUTO, "square", "flat", "tall"),
    )
    split = option(
        False, bool, "measure gates, queries, keys, values and stacked matrices one by one"
    )
    heads = option(
        None,
        integer(1),
        "number of attention heads, for --split of query_key_value (from config.json)",
        metavar="H",
    )
    divided = option(
        False,
        bool,
        "do not divide by the root of the number of columns: the weights are divided already",
    )
    min_size = option(
        32, integer(8), "leave matrices with fewer rows or columns out", metavar="SIZE"
    )


class MeasurementOptions:
    """How a matrix is measured."""

    rate = option(1e-3, number, "probability that a layer of pure noise shows an outlier")
    method = option(
        AUTO,
        str,
        "all eigenvalues, or products only; auto: products beyond 2048 rows and columns",
        choices=(AUTO, "dense", "lanczos"),
    )
    no_controls = option(
        False, bool, "count all outliers, also those that noise of the same entries would show"
    )
    steps = option(
        None,
        common.numbers,
        "training steps of the files: a,b,… (numbers in their names, or 0, 1, …)",
    )


def add_parser(commands) -> None:
    """Declare the command."""
    parser = common.add_command(
        commands,
        "spectrum",
        "bulk, outliers and regime of the weights in checkpoints",
        "Measure the spectra of the weights in checkpoints.",
        EPILOG,
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="checkpoints, in order of training"
    )
    common.add_options(parser.add_argument_group("weights"), WeightOptions)
    common.add_options(parser.add_argument_group("measurement"), MeasurementOptions)
    common.add_options(parser.add_argument_group("output"), common.OutputOptions)
    parser.add_argument("--no-figures", action="store_true", help="only tables")
    parser.set_defaults(run=run)


def run(args) -> int:
    """Read, measure, draw, write, print."""
    common.start(args)
    from spectrax import records
    from spectrax.cli import survey

    found = survey.start(args)
    folder = records.make_folder(args.out)
    jobs = survey.jobs_of(found, args)
    with common.progress(args, total=max(len(jobs), 1)) as bar:
        for job in jobs:
            bar.set_description_str(job.name[-30:])
            survey.measure(found, job, args)
            bar.update()
    for sentence in found.problems:
        print(f"spectrax: {sentence}", file=sys.stderr)
    if not found.layers:
        if found.problems:
            return 2  # each has its sentence
        raise common.UsageError(
            "There are no weights to measure in these files; see --pattern, --min-size"
            + survey.most_common_reasons(found)
        )
    parameters = common.values_of(WeightOptions, args)
    parameters |= common.values_of(MeasurementOptions, args)
    del parameters["steps"]  # those of the files stand in the results
    record = {
        "command": "spectrum",
        "parameters": parameters,
        "seed": 0,  # of the vectors of "lanczos" and of the controls
        **found.summary(),
        "versions": records.versions(),
    }
    with records.deliver(folder, "spectrum") as staging:
        names = write(staging, found, record, args)
        record["written"] = [str(folder / name) for name in names]
        record["sha256"] = records.checksums(staging)
        records.write_record(staging / "spectrum.json", record)
    common.show(args, record, in_words(record))
    return 1 if found.problems else 0


# --- files


def write(folder, found, record: dict, args) -> list[str]:
    """Table, and figure and data of each layer; the names of all files, the sidecar's too."""
    from spectrax import records
    from spectrax.cli import survey

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
    written = [table.name, "spectrum.json"]
    names = {} if args.no_figures else _file_names(found.layers)
    with common.progress(args, total=max(len(names), 1)) as bar:
        for name, stem in names.items():
            bar.set_description_str(f"drawing {name[-20:]}")
            from spectrax.cli import figures

            series = survey.series(found, name)
            figure = figures.draw_layer(name, series)
            records.save(folder, stem, figure, _arrays(series))
            written += [f"{stem}.{suffix}" for suffix in ("png", "pdf", "npz")]
            bar.update()
    return written


def _cell(value) -> str:
    """A value in a table; several are separated by blanks."""
    if hasattr(value, "__len__") and not isinstance(value, str):
        return _numbers(value)
    return f"{value:.8g}" if isinstance(value, float) else "" if value is None else str(value)


def _numbers(values) -> str:
    """Numbers by blanks, words by semicolons."""
    words = [x if isinstance(x, str) else f"{x:.8g}" for x in values]
    return ("; " if any(isinstance(x, str) for x in values) else " ").join(words)


def _file_names(names) -> dict[str, str]:
    """A file name for each layer: harmless whatever the checkpoint calls it, and unique."""
    found: dict[str, str] = {}
    for name in names:
        stem = "spectrum_" + (re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[-80:] or "layer")
        while stem in found.values():
            stem += "_"
        found[name] = stem
    return found


def _arrays(series) -> dict:
    """The numbers behind the figure of a layer."""
    import numpy as np

    from spectrax.plotting.measured import MOST_PATHS

    last = series.spectra[-1]
    return {
        "escape_bracket": np.array(series.escape_bracket),
        "steps": series.steps,
        **{name: series.along(name) for name in ("sigma", "edge", "threshold", "top", "ks")},
        "location": series.location(MOST_PATHS),
        "escaped": series.escaped(MOST_PATHS),
        "eigenvalues": last.eigenvalues,
        "weights": last.weights,
    }


# --- in words


def in_words(record: dict) -> str:
    """The table for the terminal: the last snapshot of each layer, a sentence on each, the rest."""
    from spectrax.cli import survey

    layers = record["layers"]
    several = any(layer["escape_bracket"] for layer in layers)
    restructured = any(layer["snapshots"][-1]["sigma"] is None for layer in layers)
    head = ["layer", "shape", "aspect", "sigma", "edge", "outliers", "rejected", "top", "KS"]
    head += ["rank", "tail"] * restructured + ["regime"] + ["escape step"] * several
    rows = [head, *(_row(layer, restructured, several) for layer in layers)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(x.ljust(width) for x, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    sentences = [f"{layer['name']}: {_sentence(layer)}" for layer in layers]
    many = len(record["written"]) > 6
    names = record["written"][:5] + ["…"] if many else record["written"]
    last = "written: " + ", ".join(names)
    return "\n".join([*lines, "", *sentences, *survey.left_out(record), "", last])


def _row(layer: dict, restructured: bool, several: bool) -> list[str]:
    """One layer of the table; a dash where a number would describe a law that does not hold."""
    last = layer["snapshots"][-1]
    row = [layer["name"], f"{last['rows']} × {last['cols']}", f"{last['aspect']:.3g}"]
    if last["sigma"] is None:
        row += ["–"] * 4
    else:
        row += [f"{last['sigma']:.4g} ± {last['sigma_stderr']:.1g}", f"{last['edge']:.4g}"]
        row += [str(last["outliers"]), str(last["rejected"])]
    row += [f"{last['top']:.4g}", f"{last['ks']:.3f}"]
    if restructured:
        row += [f"{last['effective_rank']:.0f}", f"{last['tail_exponent']:.2g}"]
    return [*row, last["regime"]] + [bracket(layer["escape_bracket"])] * several


def bracket(found: list[float] | None) -> str:
    """Between which snapshots the first outlier escaped, in words."""
    if found is None:
        return "–"
    before, after = found
    if after == float("inf"):
        return f"never up to {before:g}"
    return f"{before:g} … {after:g}" if before > -float("inf") else f"before {after:g}"


def _sentence(layer: dict) -> str:
    """What the last snapshot says, and how many of its outliers the first one had."""
    last = layer["snapshots"][-1]
    old, count = last["from_start"], last["outliers"]
    if old is None or not count:
        return last["sentence"]
    known = "none" if old == 0 else "all" if old == count else str(old)
    return f"{last['sentence']} Of these the first snapshot has {known}."
