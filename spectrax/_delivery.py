"""Files of one run that appear together or not at all.

They are written into a hidden folder beside their places and brought to the disk. One rename of
that folder makes them valid; then each takes its place by a rename of its own, the sidecar last.
A process killed before the first rename has changed nothing; what one killed later left undone,
`finish` completes, which every later run in the folder calls first.
"""

import contextlib
import errno
import os
import pathlib
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

WRITING, READY = ".spectrax-writing", ".spectrax-ready"
BEFORE = ".before"  # inside: links to the files that are replaced, should a rename fail
STALE = 86400.0  # seconds after which a folder is left over, where nothing can be locked


@contextlib.contextmanager
def delivery(folder: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    """A folder to write files into that take their places in `folder` at the end, all or none.

    Args:
        folder: an existing one; files of the same names are replaced, others stay.
        name: of the run, a part of the name of the hidden folder.

    Raises:
        OSError: if a file cannot be written; nothing has changed then.
    """
    folder = pathlib.Path(folder)
    with exclusive(folder) as alone:
        finish(folder, alone)
        staging = pathlib.Path(tempfile.mkdtemp(WRITING, f".{name}-", folder))
        ready = staging.with_suffix(READY)
        try:
            yield staging
            names = _prepare(staging, folder)
            os.rename(staging, ready)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        try:
            _move(ready, folder)
        except OSError:
            _take_back(ready, folder, names)
            raise
        except BaseException:  # interrupted by a person: what has begun is completed
            _move(ready, folder)
            raise


def finish(folder: pathlib.Path, alone: bool = True) -> None:
    """Complete what a killed process had ready, and remove what it had not.

    Args:
        folder: of results.
        alone: whether it is certain that no other process is writing there now.
    """
    for ready in folder.glob(f".*{READY}"):
        _move(ready, folder)
    for staging in folder.glob(f".*{WRITING}"):
        if alone or time.time() - staging.stat().st_mtime > STALE:
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator:
    """A binary file to write into that takes the place of `path` once it is on the disk."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(folder: pathlib.Path) -> Iterator[bool]:
    """The folder for one process at a time, others wait; False where nothing can be locked.

    The system unlocks what dies.
    """
    handle = _locked(folder)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _locked(folder: pathlib.Path) -> int | None:
    """An open handle that holds the lock, or None on a system without."""
    if fcntl is None:
        return None
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"spectrax: waiting for another run that writes into {folder}", file=sys.stderr)  # noqa: T201
            fcntl.flock(handle, fcntl.LOCK_EX)
        return handle
    except OSError:
        if handle is not None:
            os.close(handle)
        return None


def _prepare(staging: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """Everything on the disk, every place free, and the old files kept at hand; the names."""
    names = [path.name for path in _files(staging)]
    before = staging / BEFORE
    before.mkdir()
    for path in _files(staging):
        target = folder / path.name
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        if target.exists():
            _keep(target, before / path.name)
        _sync(path)
    _sync(staging)
    return names


def _keep(path: pathlib.Path, link: pathlib.Path) -> None:
    try:
        os.link(path, link)
    except OSError:  # a file system without links
        shutil.copy2(path, link)


def _move(ready: pathlib.Path, folder: pathlib.Path) -> None:
    for path in _files(ready):
        os.replace(path, folder / path.name)
    _sync(folder)
    shutil.rmtree(ready, ignore_errors=True)


def _take_back(ready: pathlib.Path, folder: pathlib.Path, names: list[str]) -> None:
    """A rename failed: put back what had been replaced, remove what is new."""
    for name in names:
        if (ready / BEFORE / name).exists():
            os.replace(ready / BEFORE / name, folder / name)
        elif not (ready / name).exists():
            (folder / name).unlink()
    shutil.rmtree(ready, ignore_errors=True)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Its files, sidecars last: where a sidecar is new, everything is."""
    found = [path for path in folder.iterdir() if path.name != BEFORE]
    return sorted(found, key=lambda path: (path.suffix == ".json", path.name))


def _sync(path: pathlib.Path) -> None:
    """Onto the disk; a full one may only show here."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        if not path.is_dir():  # not every system does this with folders
            raise
