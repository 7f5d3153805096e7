"""Tables as people have them: separators, names of columns, divergences; errors name the line."""

import os

import numpy as np
import pytest

from spectrax.transfer.tables.reading import TableError, read_runs

ROWS = [(64, 0.1, 2.5), (64, 0.2, 2.25), (128, 0.1, 2.0), (128, 0.4, np.inf)]


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding=encoding)
    return read_runs(str(path))


def rows(runs):
    return sorted(zip(runs.widths.tolist(), runs.lrs.tolist(), runs.losses.tolist(), strict=True))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize(
    "names",
    [("width", "lr", "loss"), ("n_embd", "Learning Rate", "Val Loss"), ("d_model", "eta", "loss")],
)
def test_separators_and_names_of_columns(tmp_path, mark, names):
    lines = [mark.join(names), *(mark.join(map(str, row)) for row in ROWS)]
    runs = read(tmp_path, "\n".join(lines))
    assert rows(runs) == ROWS and runs.columns == ", ".join(names)


def test_decimal_commas(tmp_path):
    text = "width;lr;loss\n64;0,1;2,5\n64;0,2;2,25\n128;0,1;2,0\n128;0,4;inf\n"
    assert rows(read(tmp_path, text)) == ROWS


@pytest.mark.parametrize("word", ["", "nan", "NaN", "inf", "diverged", "Diverged", "null"])
def test_words_for_a_divergence(tmp_path, word):
    text = f"width,lr,loss,seed\n64,0.1,2.5,0\n64,0.2,{word},0\n"
    assert read(tmp_path, text).losses.tolist() == [2.5, np.inf]


def test_the_two_forms_are_one_table(tmp_path):
    long = read(tmp_path, "loss,lr,width\n3,0.1,2\n1,0.2,2\n,0.1,4\n2,0.2,4\n")
    wide = read(tmp_path, "width,0.1,0.2\n2,3,1\n4,,2\n", encoding="utf-8-sig")
    assert rows(long) == rows(wide)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("width,lr,loss\n1,x,1\n", "Line 2 .* must have a positive learning rate, got 'x'"),
        ("width,lr,loss\n1,0.1,1\n\n-2,0.1,1\n", "Line 4 .* must have a positive width, got '-2'"),
        ("width,lr,loss\n1,0.1,low\n", "Line 2 .* must have a number as loss.* got 'low'"),
        ("width,lr,loss\n1,0.1\n", "Line 2 .* has 2 cells where the header has 3"),
        ("width,lr,loss,seed\n1,0.1,1,0\n1,0.1,2,0\n", "Line 3 .* repeats width 1.* of line 2"),
        ("a,b,c\n1,2,3\n", "has no column for width and lr and loss"),
        ("", "There is no table in"),
    ],
)
def test_bad_tables_are_one_sentence_with_the_line(tmp_path, text, sentence):
    with pytest.raises(TableError, match=sentence) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value) and repr(str(tmp_path / "runs.csv")) in str(error.value)


def test_binary_and_missing_files_are_one_sentence(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(TableError, match="it is no text file"):
        read_runs(str(path))
    with pytest.raises(TableError, match="Cannot read .*: No such file"):
        read_runs(str(tmp_path / "none.csv"))


HEAD = "width,lr,loss\n64,0.1,1\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD + "64,0.2," + "x" * 1000, "got '" + "x" * 99 + "…'"),
        (HEAD + "1" * 1000 + "x,1,1", "must have a positive width, got '1"),
        (",".join(["name"] * 1000) + "\n" + ",".join(["1"] * 1000), "are no learning rates: name"),
        (HEAD + "64,0.2," + "1" * 200_000, "Cannot read line 3 of"),
    ],
)
def test_what_is_long_is_shown_in_part(tmp_path, text, sentence):
    with pytest.raises(TableError, match=sentence) as error:
        read(tmp_path, text)
    shown = str(error.value).replace(str(tmp_path), "")
    assert shown.endswith(".") and "\n" not in shown and len(shown) < 300


@pytest.mark.parametrize(
    ("name", "size", "text", "end"),
    [("CELLS", 18, "cells", ""), ("CELLS", 18, "lines", "\n" * 12), ("BYTES", 69, "bytes", "")],
)
def test_tables_are_bounded(tmp_path, monkeypatch, name, size, text, end):
    table = HEAD + "".join(f"64,0.{i},1.00\n" for i in (2, 4, 6)) + "64,2,1.00\n" + end
    monkeypatch.setattr(f"spectrax.transfer.tables.reading.{name}", size)
    assert len(read(tmp_path, table).losses) == 5
    monkeypatch.setattr(f"spectrax.transfer.tables.reading.{name}", size - 1)
    with pytest.raises(TableError, match=f"has more than {size - 1} {text}"):
        read(tmp_path, table)


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "runs.csv")
    with pytest.raises(TableError, match="it is no regular file"):
        read_runs(str(tmp_path / "runs.csv"))
