"""Files of one run appear together or not at all."""

import errno
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from spectrax import _delivery as delivery
from spectrax import records
from spectrax.records import UsageError

SCRIPT = pathlib.Path(__file__).with_name("killed_delivery.py")


def killed(folder, where):
    """What each kill has left."""
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    command = [sys.executable, str(SCRIPT), str(folder), where]
    return json.loads(subprocess.run(command, env=environment, stdout=-1, check=True).stdout)


def check(rows):
    """One version in all files; two only between the renames, and then the next run completes."""
    for row in rows:
        states = set(row["killed"].values())
        assert not {"empty", "torn"} & states
        assert len(states) == 1 or row["ready"]
        assert len(set(row["finished"].values())) == 1 and row["left"] == []


def test_a_kill_at_any_call_leaves_the_old_set_or_the_new_one(tmp_path):
    rows = killed(tmp_path, "calls")
    check(rows)
    assert len(rows) > 50
    finished = [row["finished"]["a.json"] for row in rows]
    assert finished == sorted(finished, reverse=True) and {*finished} == {"old", "new"}
    mixed = [row for row in rows if len(set(row["killed"].values())) > 1]
    assert len(mixed) == 5  # between six renames
    for row in mixed:  # the sidecar is not new before everything is
        assert row["killed"]["a.json"] == "old" and row["finished"]["a.json"] == "new"


@pytest.mark.slow
def test_fifty_kills_at_random_moments_leave_one_version(tmp_path):
    rows = killed(tmp_path, "moments")
    check(rows)
    assert len(rows) == 50 and len({row["finished"]["a.json"] for row in rows}) > 25


def write(folder, text, names=("b.json", "a.png")):
    with delivery.delivery(folder, "x") as staging:
        for name in names:
            (staging / name).write_text(text)


def read(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_an_error_while_writing_changes_nothing(tmp_path):
    write(tmp_path, "old")
    with pytest.raises(KeyboardInterrupt), delivery.delivery(tmp_path, "x") as staging:
        (staging / "a.png").write_text("new")
        raise KeyboardInterrupt
    assert read(tmp_path) == {"a.png": "old", "b.json": "old"}


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_rename_that_fails_is_taken_back(tmp_path, monkeypatch, failing):
    """What was there returns, what is new goes."""
    write(tmp_path, "old")
    done, replace = [], os.replace

    def fail(source, target):
        done.append(target)
        if len(done) == failing + 1:
            raise OSError(errno.EACCES, "not this one")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="not this one"):
        write(tmp_path, "new", ("a.png", "a.pdf", "b.json"))
    assert read(tmp_path) == {"a.png": "old", "b.json": "old"}


def test_an_interrupt_between_the_renames_comes_too_late(tmp_path, monkeypatch):
    write(tmp_path, "old")
    done, replace = [], os.replace

    def interrupt(source, target):
        done.append(target)
        if len(done) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, "new")
    assert read(tmp_path) == {"a.png": "new", "b.json": "new"}


def test_a_folder_in_the_place_of_a_file_is_seen_before_anything_is_replaced(tmp_path):
    write(tmp_path, "old", ["a.png"])
    (tmp_path / "b.json").mkdir()
    with pytest.raises(UsageError, match=r"Cannot write into .*: Is a directory"):
        with records.deliver(tmp_path, "x") as staging:
            for name in ("a.png", "b.json"):
                (staging / name).write_text("new")
    assert (tmp_path / "a.png").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.json"}


def test_two_runs_into_one_folder_come_one_after_the_other(tmp_path, capsys):
    """The second waits and says so."""
    with delivery.delivery(tmp_path, "x") as staging:
        other = threading.Thread(target=write, args=(tmp_path, "second"))
        other.start()
        other.join(0.2)
        assert other.is_alive() and not (tmp_path / "a.png").exists()
        (staging / "a.png").write_text("first")
    other.join(30)
    assert read(tmp_path) == {"a.png": "second", "b.json": "second"}
    assert "waiting for another run" in capsys.readouterr().err


def test_a_system_without_locks_leaves_what_another_run_may_be_writing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(delivery.fcntl, "flock", refuse)
    with delivery.delivery(tmp_path, "x") as staging:
        (staging / "a.png").write_text("first")
        write(tmp_path, "second", ["b.json"])
    assert read(tmp_path) == {"a.png": "first", "b.json": "second"}
    old = tmp_path / f".x{delivery.WRITING}"
    old.mkdir()
    os.utime(old, (0, 0))
    write(tmp_path, "third")
    assert read(tmp_path) == {"a.png": "third", "b.json": "third"}


def test_a_full_disk_is_one_sentence_and_leaves_the_old_set(tmp_path, monkeypatch):
    """Also where only the writing through shows it."""
    write(tmp_path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for call in (lambda: records.make_folder(str(tmp_path)), lambda: deliver(tmp_path)):
            with pytest.raises(
                UsageError, match=r"^Cannot write into '.*': No space left on device"
            ):
                call()
    assert read(tmp_path) == {"a.png": "old", "b.json": "old"}
    deliver(tmp_path)
    assert read(tmp_path) == {"a.png": "new", "b.json": "old"}


@pytest.mark.parametrize("limit", [0, 2_000, 6_000, 12_000, 30_000])
def test_real_errors_of_every_library_that_writes_leave_the_old_set(tmp_path, limit):
    """The system refuses files beyond a size: PNG, PDF, .npz or JSON fail in their own ways."""
    resource = pytest.importorskip("resource")  # not on Windows
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, 1])
    arrays, record = {"x": np.random.default_rng(0).normal(size=4_000)}, {"x": "y" * 50_000}
    old = {f"a.{suffix}": "old" for suffix in ("png", "pdf", "npz", "json")}
    for name in old:
        (tmp_path / name).write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"^Cannot write into .*: File too large$"):
            records.write(tmp_path, "a", figure, arrays, record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read(tmp_path) == old
    assert len(records.write(tmp_path, "a", figure, arrays, record)) == 4


def deliver(folder):
    with records.deliver(folder, "x") as staging:
        (staging / "a.png").write_text("new")


def test_the_sidecar_knows_the_checksums_of_the_other_files(tmp_path):
    class Figure:
        def savefig(self, path, **options):
            path.write_text(str(options))

    records.write(tmp_path, "a", Figure(), {"x": np.ones(1)}, {"command": "a"})
    record = json.loads((tmp_path / "a.json").read_text())
    assert set(record["files"]) == {*record["sha256"], "a.json"}
    for name, found in record["sha256"].items():
        assert found == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_a_single_file_is_replaced_as_a_whole(tmp_path):
    records.write_record(tmp_path / "a.json", {"x": "\udcff µ"})  # no text in any encoding
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": "\udcff µ"}
    records.write_record(tmp_path / "a.json", {"x": 1})
    with pytest.raises(KeyboardInterrupt), delivery.replacing(tmp_path / "a.json") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert len(list(tmp_path.iterdir())) == 1
