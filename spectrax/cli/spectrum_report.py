"""`spectrax spectrum` as files and in words."""

import csv
import re

from spectrax.cli import spectrum_survey
from spectrax.cli.spectrum_survey import Survey


def write(folder, survey: Survey, record: dict, args) -> list[str]:
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
            series = spectrum_survey.series(survey, name)
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


def text(record: dict) -> str:
    """The table for the terminal: the last snapshot of each layer."""
    several = max(len(layer["snapshots"]) for layer in record["layers"]) > 1
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
