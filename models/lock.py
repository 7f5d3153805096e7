"""One training in a folder at a time."""

import contextlib
import os
import pathlib
import socket
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

LOCK = ".training.lock"  # names the process that holds it


@contextlib.contextmanager
def held(folder: pathlib.Path) -> Iterator[None]:
    """The folder, made if it does not exist, for this training alone.

    The system unlocks the file of a process that dies. On a file system without locks, the process
    that the file names must be alive on this machine for the folder to be in use.

    Raises:
        ValueError: one sentence if another training is at work there, or nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _acquire(folder)
    except OSError as error:
        raise ValueError(
            f"Argument `folder` must be a folder to write into, got {str(folder)!r}: "
            f"{error.strerror or error}."
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink()
        os.close(handle)


def _acquire(folder: pathlib.Path) -> int:
    """An open handle of the locked file."""
    path = folder / LOCK
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(handle):
                raise ValueError(
                    f"Argument `folder` must not be in use, but {_owner(handle)} is training in "
                    f"{str(folder)!r}."
                )
            # The one before may have removed the file between opening and locking.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()} {socket.gethostname()}".encode(), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        if fcntl is None:
            raise OSError("no locks")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return not _is_alive(*_named(handle))


def _named(handle: int) -> tuple[int, str]:
    """Process and machine in a lock file; 0 if there are none."""
    words = os.pread(handle, 400, 0).decode(errors="replace").split(maxsplit=1)
    return (int(words[0]), words[1]) if len(words) == 2 and words[0].isdigit() else (0, "")


def _owner(handle: int) -> str:
    process, machine = _named(handle)
    return f"process {process} on {machine}" if process else "another process"


def _is_alive(process: int, machine: str) -> bool:
    if not process or machine != socket.gethostname() or not hasattr(os, "kill") or os.name == "nt":
        return False
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True
