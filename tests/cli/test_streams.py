"""Terminals without characters, without space, without readers; users without a home."""

import io
import json
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from spectrax import records
from spectrax.cli import common, main, streams
from spectrax.cli.common import UsageError

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
COMMANDS = ("", "solve", "solve wide", "solve outputs", "transfer", "spectrum", "figure")
# A machine that knows nothing about the user.
HOMELESS = """
import os, pwd, sys
def unknown(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = unknown
for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "USER", "LOGNAME"):
    os.environ.pop(name, None)
from spectrax.cli import main
sys.exit(main(sys.argv[1:]))
"""


def spectrax(*arguments, start=("-m", "spectrax"), environment=None, **options):
    """The command line in a process of its own."""
    environment = {k: x for k, x in os.environ.items() if k != "PYTHONUNBUFFERED"} | {
        **(environment or {}),
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
    }
    command = [sys.executable, *start, *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.run(command, env=environment, **options)


def test_every_help_can_be_read_in_ascii():
    script = (
        "import sys\nfrom spectrax.cli import main\n"
        "for words in sys.argv[1:]:\n"
        "    try:\n        main([*words.split(), '--help'])\n    except SystemExit as end:\n"
        "        assert end.code == 0\n"
    )
    done = spectrax(*COMMANDS, start=("-c", script), environment=ASCII)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and done.stdout.count("usage: spectrax") == len(COMMANDS)
    assert "in uP and in NTK parameterization" in done.stdout and "--widths A,B,..." in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_output_on_a_full_disk_is_one_sentence(arguments, unbuffered):
    with open("/dev/full", "w") as full:
        done = spectrax(arguments, environment={"PYTHONUNBUFFERED": unbuffered}, stdout=full)
    assert done.returncode == 2
    assert done.stderr == "spectrax: Cannot use the output: No space left on device.\n"


def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = spectrax("solve", "--help", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (streams.CLOSED, "")


def terminal(monkeypatch, encoding):
    """The standard output as a terminal of this encoding, and its bytes."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding))
    return buffer


def test_characters_that_a_terminal_lacks_become_similar_ones(monkeypatch):
    buffer = terminal(monkeypatch, "ascii")
    assert streams.run(lambda: print("µP, a,b,…, 1 ± 2, κ, \udcff") or 0) == 0
    assert buffer.getvalue() == b"uP, a,b,..., 1 +- 2, \\u03ba, \\udcff\n"
    assert sys.stdout.errors == "strict"
    buffer = terminal(monkeypatch, "utf-8")
    streams.run(lambda: print("µP … κ") or 0)
    assert buffer.getvalue().decode() == "µP … κ\n"


@pytest.mark.parametrize("name", ["µ.npz", "\udcff.npz"])
@pytest.mark.parametrize("encoding", ["ascii", "latin1", "utf-8"])
def test_json_is_valid_whatever_the_terminal_and_the_names_of_files(monkeypatch, encoding, name):
    value = {"file": name, "x": np.array([1.0, np.nan]), "κ": "…"}
    buffer = terminal(monkeypatch, encoding)
    assert streams.run(lambda: common.print_json(value) or 0) == 0
    found = json.loads(buffer.getvalue().decode(encoding))
    assert found == value | {"x": [1.0, None]}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "There is not enough memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: 3 bytes"), "There is not enough memory"),
        (PermissionError(13, "Permission denied", "secret"), "Cannot use 'secret': Permission den"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(monkeypatch, capsys, error, sentence):
    def fail(_):
        raise error

    monkeypatch.setattr("spectrax.cli.experiments.find_experiments", lambda: fail(None))
    assert main(["figure"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"spectrax: {sentence}") and err.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("wrong"), KeyError("wrong"), ValueError("wrong")])
def test_mistakes_of_the_program_are_shown(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr("spectrax.cli.experiments.find_experiments", fail)
    with pytest.raises(type(error), match="wrong"):
        main(["figure"])


def test_a_user_without_home_compiles_anew(monkeypatch):
    import jax

    def unknown(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "home", classmethod(unknown))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    kept = []
    monkeypatch.setattr(type(jax.config), "update", lambda _, *choice: kept.append(choice))
    monkeypatch.setattr(type(jax.config), "jax_compilation_cache_dir", None)
    common._keep_compiled_code()
    assert kept == []


def test_no_error_stream_shows_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    args = types.SimpleNamespace(quiet=False, json=False)
    assert common.progress(args, 3).disable


@pytest.mark.parametrize("place", ["/proc/1/results", "/dev/null/results"])
def test_a_folder_is_tried_and_not_only_asked(place):
    with pytest.raises(UsageError, match=r"Cannot write into '/\w+/"):
        records.make_folder(place)


@pytest.mark.slow
def test_a_user_without_home_and_locale_gets_results(tmp_path):
    options = ["--depth", "2", "--num-steps", "3", "--out", str(tmp_path / "µ")]
    command = ("solve", *options)
    done = spectrax(*command, start=("-c", HOMELESS), environment=ASCII, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "µ" / "solve.png").stat().st_size > 0
    assert "written" in done.stdout and done.stdout.isascii()
