"""A figure of the documentation is as new as what draws it, and the digest sees what it should."""

import json
import shutil

import pytest

from experiments import _figures

NAMES = _figures.names()


def test_record_and_figures_belong_together():
    record = json.loads((_figures.ROOT / _figures.RECORD).read_text("utf-8"))
    assert sorted(record) == NAMES
    pages = [*(_figures.ROOT / "docs").rglob("*.md"), _figures.ROOT / "README.md"]
    shown = "\n".join(path.read_text("utf-8") for path in pages)
    for name in NAMES:
        assert f"assets/{name}.png" in shown
        assert (_figures.ROOT / _figures.source(name)).exists(), name


@pytest.mark.parametrize("name", NAMES)
def test_figure_is_as_new_as_what_draws_it(name):
    noted = json.loads((_figures.ROOT / _figures.RECORD).read_text("utf-8"))[name]
    anew = f"`python experiments/_figures.py {name}` draws it anew."
    assert noted["figure"] == _figures.drawn(name), f"The figure was replaced by hand; {anew}"
    if "older" in noted:  # known, with its reason: no more than that
        assert len(noted["older"]) > 30
        assert noted["drawn_by"] != _figures.digest(name), f"It is not older; {anew}"
    else:
        assert noted["drawn_by"] == _figures.digest(name), f"It is older than its source; {anew}"


@pytest.fixture
def copy(tmp_path):
    """What draws, where it may be changed."""
    for pattern in (*_figures.DRAW, "experiments/*.py", "docs/tutorials/*.md"):
        for path in _figures.ROOT.glob(pattern):
            place = tmp_path / path.relative_to(_figures.ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return tmp_path


def change(path, old, new):
    text = path.read_text("utf-8")
    assert text.count(old) >= 1, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


INNOCENT = {
    "a comment": ("spectrax/plotting/style.py", "BULK = ", "# why\nBULK = "),
    "the docstring of the script": ("experiments/outlier_escape.py", '"""', '"""New: '),
    "a docstring": ("spectrax/plotting/style.py", '"""The look of', '"""New: the look of'),
    "a definition that it does not reach": (
        "spectrax/plotting/transfer.py",
        "def sharpness(",
        "def unused():\n    return 1\n\n\ndef sharpness(",
    ),
    "what is printed": ("experiments/_common.py", '"networks ± s.e."', '"networks ± s.e."  '),
    "the verdict": ("experiments/_common.py", "standard error\\n", "s.e.\\n"),
}


@pytest.mark.parametrize("what", INNOCENT)
def test_innocent_edits_leave_the_digest(copy, what):
    before = _figures.digest("outlier_escape", copy)
    path, old, new = INNOCENT[what]
    change(copy / path, old, new)
    assert _figures.digest("outlier_escape", copy) == before


EDITS = {
    "a parameter": ("outlier_escape", "experiments/outlier_escape.py", "396", "397"),
    "a helper": ("outlier_escape", "experiments/_common.py", '"k--"', '"r--"'),
    "a color": ("outlier_escape", "spectrax/plotting/style.py", "BULK = ", "BULK = 0 or "),
    "a shared module": ("outliers_against_richness", "experiments/_sweep.py", "1.04", "1.05"),
    "a renamed import": ("many_outputs", "experiments/_distances.py", '"k--"', '"r--"'),
    "code of a page": ("bbp_transition", "docs/tutorials/bbp.md", "bins=40", "bins=41"),
    "the command line": ("transfer", "spectrax/cli/figures.py", "figsize=(6", "figsize=(7"),
    "through the package": ("checkpoint", "spectrax/plotting/spectra.py", "alpha=0.3", "alpha=0.4"),
    "a default": ("checkpoint", "spectrax/plotting/style.py", '"font.size": 9', '"font.size": 8'),
}


@pytest.mark.parametrize("what", EDITS)
def test_edits_of_what_is_drawn_change_the_digest(copy, what):
    name, path, old, new = EDITS[what]
    before = _figures.digest(name, copy)
    change(copy / path, old, new)
    assert _figures.digest(name, copy) != before


def test_arguments_of_a_command_are_part_of_it(monkeypatch):
    before = _figures.digest("solve")
    monkeypatch.setitem(_figures.COMMANDS, "solve", ["solve", "--simulate", "200"])
    assert _figures.digest("solve") != before
