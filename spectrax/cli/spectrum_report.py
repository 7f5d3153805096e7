"""`spectrax spectrum` as files and in words."""

import collections
import csv
import re

from spectrax.checkpoints.base import APART
from spectrax.cli import spectrum_survey
from spectrax.cli.spectrum_survey import Survey


def write(folder, survey: Survey, record: dict, args) -> list[str]:
    """Table, and figure and data of each layer; the names of all files, the sidecar's too."""
    from spectrax import records
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
    written = [table.name, "spectrum.json"]
    names = {} if args.no_figures else _file_names(survey.layers)
    with session.progress(args, total=max(len(names), 1)) as bar:
        for name, stem in names.items():
            bar.set_description_str(f"drawing {name[-20:]}")
            series = spectrum_survey.series(survey, name)
            figure = spectrum_figure.draw(name, series)
            records.save(folder, stem, figure, spectrum_figure.arrays(series))
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


def text(record: dict) -> str:
    """The table for the terminal: the last snapshot of each layer, a sentence on each, the rest."""
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
    return "\n".join([*lines, "", *sentences, *_left_out(record), "", last])


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


MOST_NAMES = 8  # of arrays left out for one reason; the sidecar has them all


def _left_out(record: dict) -> list[str]:
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
    reason = re.sub(r", \d+ × \d+$", "", entry["reason"])
    return reason + ", see --split" * (reason in APART)


def most_common_reasons(survey: Survey) -> str:
    """Why nothing was measured, for an error message."""
    counts = collections.Counter(map(_reason, survey.skipped))
    found = [f"{count} arrays: {reason}" for reason, count in counts.most_common(3)]
    return f" ({'; '.join(found)})" if found else ""
