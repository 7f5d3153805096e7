"""Whatever is wrong with a file is said in one sentence."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

EXTRA = "pip install 'spectrax-dmft[models]'"


@contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Errors of the libraries that decode become a ValueError that names the file.

    Broken files find many ways to fail, also panics of compiled code, which are no `Exception`.
    """
    try:
        yield
    except (FileNotFoundError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if len(reason) <= 160 else reason[:157] + "..."
        raise ValueError(f"Cannot read {str(path)!r}: {reason.rstrip('.')}.") from error


def missing(what: str, where: pathlib.Path, obtain: str) -> FileNotFoundError:
    """The error for data that are not there: what was looked for, where, how to obtain it."""
    return FileNotFoundError(f"There is no {what} in {str(where)!r}: {obtain}.")
