"""The terminal: characters that it lacks, readers that leave, disks that are full."""

import codecs
import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from spectrax.cli.common import UsageError

PLAIN = {"µ": "u", "…": "...", "±": "+-", "×": "x", "·": "*", "–": "-", "—": "-", "→": "->"}
PLAIN |= {"’": "'", "“": '"', "”": '"', "≤": "<=", "≥": ">=", "≈": "~", "∞": "inf"}
HANDLER = "spectrax-plain"
CLOSED = 141  # as if SIGPIPE had ended the process


def _plain(error: UnicodeError):
    """Similar characters, or a code, in the place of what an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = [
        PLAIN.get(x) or x.encode("ascii", "backslashreplace").decode()
        for x in error.object[error.start : error.end]
    ]
    return "".join(found), error.end


codecs.register_error(HANDLER, _plain)


def run(work: Callable[[], int]) -> int:
    """Do the work; nothing that it prints fails for its characters, and all of it is through.

    Args:
        work: prints, and returns an exit code.

    Returns:
        The exit code; 141 if the reader of a pipe has left.

    Raises:
        UsageError: if the output cannot be written.
    """
    with _every_character():
        try:
            try:
                return work()
            finally:
                for stream in (sys.stdout, sys.stderr):
                    if stream is not None:
                        stream.flush()
        except BrokenPipeError:
            _give_up(sys.stdout)
            return CLOSED
        except OSError as error:
            if error.filename is None:
                _give_up(sys.stdout)
            where = "the output" if error.filename is None else repr(str(error.filename))
            raise UsageError(f"Cannot use {where}: {error.strerror or error}") from error


@contextlib.contextmanager
def _every_character() -> Iterator[None]:
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            changed.append((stream, stream.errors))
            stream.reconfigure(errors=HANDLER)
    try:
        yield
    finally:
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):  # what is closed or full
                stream.reconfigure(errors=errors)


def _give_up(stream) -> None:
    """What is left in the buffer goes nowhere, so that the end of the process does not fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
