"""Files made to hurt: no reader dies, hangs, or takes much; each says one sentence."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from hostile import checkpoints, texts  # noqa: F401  which add their kinds
from hostile.corpus import KINDS, NAMES, VALID, surroundings

ROOT = pathlib.Path(__file__).parents[2]
SECONDS, MEMORY = 5, 200_000_000
ERRORS = {"CheckpointError", "TableError", "UsageError", "ValueError", "FileNotFoundError"}
HAS = {name: importlib.util.find_spec(name) is not None for name in ("onnx", "torch")}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
EVERYBODYS = 60  # kinds that the whole corpus has at least


@pytest.fixture(scope="module")
def ask():
    """A function that asks the server what becomes of a file."""
    command = [sys.executable, str(pathlib.Path(__file__).with_name("server.py"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, text=True, cwd=ROOT, **pipes, env=environment())
    assert process.stdout.readline() == "ready\n"

    def asked(reader: str, path: pathlib.Path) -> dict:
        process.stdin.write(json.dumps([reader, str(path)]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield asked
    process.stdin.close()
    process.wait()


def environment() -> dict:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    }


def complaints(kind, reader: str, folder: pathlib.Path, ask) -> list[str]:
    """What is wrong with how a reader takes a file."""
    path = surroundings(folder, reader)
    kind.write(path, reader)
    size = sum(x.stat().st_size for x in folder.rglob("*") if x.is_file())
    found = ask(reader, path)
    wrong = []
    if found["status"]:
        return [f"the process ended with status {found['status']} after {found['wall']:.1f} s"]
    if found["seconds"] > SECONDS:
        wrong.append(f"it took {found['seconds']:.1f} s")
    if found["memory"] > 10 * size + MEMORY:
        wrong.append(f"it took {found['memory'] / 1e6:.0f} MB for {size / 1e6:.1f} MB")
    if list(folder.rglob("sprung")):
        wrong.append("something was unpickled")
    if found["error"] is None:
        return wrong if kind.harmless or reader == "config" else [*wrong, "it was read"]
    error, text = found["error"]
    named = any(part in text for part in (path.name, folder.name))
    ends = text.endswith(".") or error == "UsageError"  # of which the command makes a sentence
    if error not in ERRORS or "\n" in text or not ends or not named:
        wrong.append(f"it said {error}: {text[:300]!r}")
    if len(text.replace(str(folder), "")) > 400:
        wrong.append(f"it said {len(text)} characters")
    return wrong


def cases(cost: str) -> list:
    """Kinds of that cost, with those readers whose library is there."""
    readers = {
        kind: [x for x in kind.readers if HAS.get(x, True)]
        for kind in KINDS.values()
        if kind.cost == cost
    }
    return [pytest.param(kind, found, id=kind.name) for kind, found in readers.items() if found]


def checked(kind, readers, folder, ask):
    wrong = {}
    for reader in readers:
        place = folder / f"{reader}-{kind.name}"
        place.mkdir()
        if found := complaints(kind, reader, place, ask):
            wrong[reader] = found
        shutil.rmtree(place)
    assert not wrong


def test_valid_files_are_read(tmp_path, ask):
    """Whoever refuses everything is safe, and of no use."""
    for reader in NAMES:
        if not HAS.get({"pt": "torch"}.get(reader, reader), True):
            continue
        path = surroundings(tmp_path / reader, reader)
        path.write_bytes(VALID[reader]())
        found = ask(reader, path)
        assert found["status"] == 0 and found["error"] is None, (reader, found)


def test_the_corpus_is_large():
    assert len(KINDS) > EVERYBODYS
    assert {reader for kind in KINDS.values() for reader in kind.readers} == set(NAMES)


@pytest.mark.parametrize(("kind", "readers"), cases("cheap"))
def test_hostile_files(kind, readers, tmp_path, ask):
    checked(kind, readers, tmp_path, ask)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "readers"), cases("slow"))
def test_hostile_files_of_some_megabytes(kind, readers, tmp_path, ask):
    checked(kind, readers, tmp_path, ask)


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "readers"), cases("nightly"))
def test_hostile_files_of_many_megabytes(kind, readers, tmp_path, ask):
    checked(kind, readers, tmp_path, ask)
