"""Tables of runs as people have them, read from text files."""

import csv
import math
import pathlib
from collections import Counter
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spectrax._progress import watched
from spectrax.transfer.tables.runs import LARGEST

# Names of columns, best first: where a table has several losses, the first one counts.
ALIASES = {
    "width": "width n_embd d_model hidden_size hidden_dim hidden d_hidden n_hidden embed_dim dim n",
    "lr": "lr learning_rate eta rate max_lr peak_lr base_lr",
    "loss": "val_loss valid_loss validation_loss eval_loss test_loss loss final_loss train_loss",
    "seed": "seed random_seed run replicate",
}
DIVERGED = {"", "nan", "inf", "+inf", "-inf", "infinity", "diverged", "divergent", "divergence"}
BYTES, CELLS, LONGEST = 30_000_000, 1_000_000, 100  # bytes, cells; characters that are shown
DIVERGED |= {"none", "null", "na", "n/a", "-"}


class Runs(NamedTuple):
    """Runs one by one, (r,) each.

    Attributes:
        widths, lrs: of each run.
        losses: of each run, +inf where it diverged.
        seeds: what the column of seeds says, None without one.
        columns: names of the columns that were used, or "learning rates in the header".
    """

    widths: Float[np.ndarray, " r"]
    lrs: Float[np.ndarray, " r"]
    losses: Float[np.ndarray, " r"]
    seeds: np.ndarray | None
    columns: str


class TableError(ValueError):
    """A file that is no table of runs; its message is one sentence."""


def read_runs(path: str) -> Runs:
    """Read a table of runs.

    Columns are separated by commas, semicolons or tabs. Either one row for each run, with columns
    for width, learning rate, loss, and perhaps seed, under the names that are common; or one row
    for each width, or for each of its seeds in turn, with the learning rates in the header. A loss
    that is empty, nan, inf, beyond 1e100, or "diverged" is a divergence. Rows may come in any
    order, other columns are ignored. Rates of its own for each width need the first form: an empty
    cell of the second is a divergence too.

    Args:
        path: of the file.

    Returns:
        `Runs`, for `transfer_runs`.

    Raises:
        TableError: one sentence with the number of the line.

    Source: theory page, section 7.
    """
    rows = _rows(path)
    (_, header), body = rows[0], rows[1:]
    names = [_plain(cell) for cell in header]
    for line, row in body:
        if len(row) != len(header):
            raise TableError(
                f"Line {line} of {path!r} has {len(row)} cells where the header has {len(header)}."
            )
    columns = {name: _column(names, aliases) for name, aliases in ALIASES.items()}
    missing = [name for name in ("width", "lr", "loss") if columns[name] is None]
    if not missing:
        return _long(path, header, body, columns)
    rates = [_number(cell) for cell in header[1:]]
    if len(rates) > 0 and all(rate is not None for rate in rates):
        return _wide(path, rows)
    raise TableError(
        f"The header of {path!r}, line {rows[0][0]}, has no column for "
        f"{' and '.join(missing)} (such as {', '.join(ALIASES[k].split()[0] for k in missing)}), "
        f"and its cells are no learning rates: {_shown(', '.join(header))}."
    )


def _rows(path: str) -> list[tuple[int, list[str]]]:
    """Lines with their numbers, cells without blanks around them; empty lines left out."""
    lines = _text(path).splitlines()
    if len(lines) > CELLS:
        raise TableError(f"Cannot read {path!r}: it has more than {CELLS} lines.")
    first = next((line for line in lines if line.strip()), "")
    separator = max(",;\t", key=lambda mark: (first.count(mark), mark == ","))
    if separator == ",":
        separator = ";" if ";" in first else separator  # 0,1;0,2: commas are decimal
    reader = csv.reader(watched(lines, "lines"), delimiter=separator)
    rows, count = [], 0
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            count += len(cells)
            if count > CELLS:
                raise TableError(f"Cannot read {path!r}: it has more than {CELLS} cells.")
            if any(cells) and not cells[0].startswith("#"):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise TableError(f"Cannot read line {reader.line_num} of {path!r}: {error}.") from error
    if len(rows) < 2:
        raise TableError(f"There is no table in {path!r}: it needs a header and rows.")
    if separator != ",":
        rows = [(line, [cell.replace(",", ".") for cell in cells]) for line, cells in rows]
    return rows


def _text(path: str) -> str:
    """All of a file that is no longer than tables are."""
    try:
        if pathlib.Path(path).exists() and not pathlib.Path(path).is_file():
            raise TableError(f"Cannot read {path!r}: it is no regular file.")
        with open(path, "rb") as file:
            content = file.read(BYTES + 1)
        if len(content) > BYTES:
            raise TableError(f"Cannot read {path!r}: it has more than {BYTES} bytes.")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise TableError(f"Cannot read {path!r}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"Cannot read {path!r}: it is no text file.") from error


def _shown(text: str) -> str:
    """What a cell or a header says, cut if it is long."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _plain(name: str) -> str:
    return "_".join(name.lower().replace("-", " ").replace("/", " ").replace("_", " ").split())


def _column(names: list[str], aliases: str) -> int | None:
    found = [names.index(alias) for alias in aliases.split() if alias in names]
    return found[0] if found else None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _long(path, header, body, columns) -> Runs:
    runs, seeds, seen = [], [], {}
    for line, row in body:
        width = _quantity(path, line, "width", row[columns["width"]])
        rate = _quantity(path, line, "learning rate", row[columns["lr"]])
        runs.append((width, rate, _loss(path, line, row[columns["loss"]])))
        if columns["seed"] is not None:
            seeds.append(row[columns["seed"]])
            key = (width, rate, seeds[-1])
            if key in seen:
                raise TableError(
                    f"Line {line} of {path!r} repeats width {width:g}, learning rate {rate:g} and "
                    f"seed {_shown(key[2])} of line {seen[key]}."
                )
            seen[key] = line
    used = ", ".join(header[k] for k in columns.values() if k is not None)
    return Runs(*np.array(runs).T, np.array(seeds) if seeds else None, used)


def _wide(path, rows) -> Runs:
    line, header = rows[0]
    rates = [_quantity(path, line, "learning rate", cell) for cell in header[1:]]
    runs, seeds, rows_of = [], [], Counter()
    for line, row in rows[1:]:
        width = _quantity(path, line, "width", row[0])
        losses = [_loss(path, line, cell) for cell in row[1:]]
        runs += [(width, rate, loss) for rate, loss in zip(rates, losses, strict=True)]
        seeds += [rows_of[width]] * len(rates)
        rows_of[width] += 1
    seeds = np.array(seeds) if max(rows_of.values()) > 1 else None
    return Runs(*np.array(runs).T, seeds, "learning rates in the header")


def _quantity(path, line: int, what: str, cell: str) -> float:
    value = _number(cell)
    if value is None or not math.isfinite(value) or value <= 0:
        raise TableError(
            f"Line {line} of {path!r} must have a positive {what}, got {_shown(cell)!r}."
        )
    if not 1 / LARGEST <= value <= LARGEST:
        raise TableError(
            f"Line {line} of {path!r} must have a {what} from {1 / LARGEST:g} to {LARGEST:g}, got "
            f"{_shown(cell)!r}."
        )
    return value


def _loss(path, line: int, cell: str) -> float:
    if cell.lower() in DIVERGED:
        return math.inf
    value = _number(cell)
    if value is None:
        raise TableError(
            f"Line {line} of {path!r} must have a number as loss, or say that it diverged, got "
            f"{_shown(cell)!r}."
        )
    return value if abs(value) <= LARGEST else math.inf
