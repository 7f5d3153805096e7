"""One training in a folder at a time."""

import errno
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from models import lock

HOLD = """
import pathlib, signal, sys
from models import lock
if sys.argv[2] == "no locks":
    lock.fcntl = None
with lock.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def in_use(folder):
    try:
        with lock.held(folder):
            return ""
    except ValueError as error:
        return str(error)


@pytest.fixture(params=["locks", "no locks"])
def system(request, monkeypatch):
    """File systems with locks and without."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    if request.param == "no locks":
        monkeypatch.setattr(lock.fcntl, "flock", refuse)
    return request.param


def test_the_second_is_told_who_is_the_first(tmp_path, system):
    with lock.held(tmp_path / "new"):
        sentence = in_use(tmp_path / "new")
        assert sentence == in_use(tmp_path / "new")  # a refused one leaves the lock alone
        assert sentence.startswith("Argument `folder` must not be in use, but process ")
        assert f"process {os.getpid()} on {socket.gethostname()} is training in" in sentence
        assert sentence.endswith("new'.") and not in_use(tmp_path / "other")
    assert not in_use(tmp_path / "new") and not list((tmp_path / "new").iterdir())


def test_an_error_unlocks(tmp_path, system):
    with pytest.raises(KeyError), lock.held(tmp_path):
        raise KeyError
    assert not in_use(tmp_path) and not list(tmp_path.iterdir())


def test_a_killed_training_unlocks(tmp_path, system):
    """The system does it, or the process that the file names is gone."""
    command = [sys.executable, "-c", HOLD, str(tmp_path), system]
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert f"process {process.pid} on" in in_use(tmp_path)
        process.kill()
    assert (tmp_path / lock.LOCK).exists()
    assert not in_use(tmp_path) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "garbage", "12", "0 here", "-1 here", "\0" * 50])
def test_what_a_lock_file_says_is_not_believed_where_it_names_nobody(tmp_path, system, content):
    (tmp_path / lock.LOCK).write_text(content)
    assert not in_use(tmp_path)


def test_without_locks_the_dead_and_other_machines_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    gone = subprocess.Popen(["true"])
    gone.wait()
    for owner in (f"{gone.pid} {socket.gethostname()}", f"{os.getpid()} elsewhere"):
        (tmp_path / lock.LOCK).write_text(owner)
        assert not in_use(tmp_path)
    (tmp_path / lock.LOCK).write_text(f"1 {socket.gethostname()}")  # alive, perhaps not ours
    assert "process 1 on" in in_use(tmp_path)


def test_a_lock_that_vanishes_is_taken_again(tmp_path, monkeypatch):
    """The one before removed the file between opening and locking: ours is the new file."""
    flock, calls = lock.fcntl.flock, []

    def late(handle, kind):
        if not calls:
            (tmp_path / lock.LOCK).unlink()
        calls.append(handle)
        flock(handle, kind)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with lock.held(tmp_path):
        assert len(calls) == 2 and (tmp_path / lock.LOCK).exists() and in_use(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^Argument `folder` must be a folder to write into.*\.$"):
        with lock.held(tmp_path / "file" / "folder"):
            pass
