"""Everything that `.ci/run` checks can fail, and then the whole run fails."""

import os
import pathlib
import re
import stat
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPT = (ROOT / ".ci" / "run").read_text("utf-8")

# Stands for every program of a virtual environment: leaves its result, and fails where it is told.
TOOL = """\
#!/bin/sh
call="$(basename "$0") $*"
echo "$call" >> "$LOG"
case "$call" in $FAIL) exit "$CODE";; esac
out="$(echo "$call" | sed -n 's/.* --out //p')"
if [ -n "$out" ] && [ -z "$NO_RESULTS" ]; then
    mkdir -p "$out"
    for ending in png pdf npz json; do echo x > "$out/transfer.$ending"; done
fi
"""
PYTHON = """\
#!/bin/sh
if [ "$1" = -m ] && [ "$2" = venv ]; then
    mkdir -p "$3/bin"
    for name in pip ruff mkdocs python pytest spectrax; do cp "$TOOL" "$3/bin/$name"; done
else
    exec "$REAL" "$@"
fi
"""


def executable(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def run(tmp_path):
    """Run the script in a folder of its own; returns its exit code and what it called."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text("utf-8"))
    executable(tmp_path / ".ci" / "run", SCRIPT)
    for name in ("python3", "python3.29"):  # the second is newer than any that is installed
        executable(tmp_path / "bin" / name, PYTHON)
    log = tmp_path / "log"
    variables = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "REAL": sys.executable,
        "TOOL": executable(tmp_path / "tool", TOOL),
        "LOG": str(log),
    }

    def once(fail="nothing", code=1, **more):
        env = os.environ | variables | {"FAIL": fail, "CODE": str(code)} | more
        command = ["bash", str(tmp_path / ".ci" / "run")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        return done.returncode, log.read_text()

    return once


def test_a_run_without_failures_succeeds_and_does_everything(run):
    code, calls = run()
    assert code == 0
    for call in ("ruff check", "ruff format --check", "mkdocs build --strict", "spectrax transfer"):
        assert call in calls
    assert calls.count("pytest") == 3 and "-m slow" in calls
    assert calls.count("spectrax transfer") == 2  # once with the newest Python


@pytest.mark.parametrize(
    ("fail", "code"),
    [
        ("ruff check*", 1),
        ("ruff format*", 1),
        ("mkdocs*", 1),
        ("spectrax transfer*", 1),
        ("pytest*", 1),
        ("*slow*", 1),
        ("*slow*", 5),  # no slow tests were found
        ("pip install*", 1),
        ("spectrax transfer*newer*", 1),
        ("*tests/test_properties.py*", 1),
        ("python -c import jax*", 1),
    ],
)
def test_each_failure_fails_the_run(run, fail, code):
    assert run(fail, code)[0] != 0


def test_a_main_job_that_writes_nothing_fails_the_run(run):
    assert run(NO_RESULTS="1")[0] != 0


def test_a_readme_without_its_commands_fails_the_run(run, tmp_path):
    (tmp_path / "README.md").write_text("Nothing to run.\n")
    assert run()[0] != 0


@pytest.mark.parametrize(("text", "fails"), [("fine", False), ("[broken](nowhere.md)", True)])
def test_a_warning_fails_the_build_of_the_pages(tmp_path, text, fails):
    (options,) = re.findall(r'bin/mkdocs" (build .*?) --site-dir', SCRIPT)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(text)
    (tmp_path / "mkdocs.yml").write_text("site_name: tiny\nplugins: []\n")
    command = [sys.executable, "-m", "mkdocs", *options.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stderr
