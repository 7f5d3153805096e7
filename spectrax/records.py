"""What a run leaves behind: figure (PNG, PDF), data (.npz without pickle), strictly valid JSON.

NumPy is imported where arrays are written: the command line shows its help without it.
"""

import contextlib
import json
import math
import os
import pathlib
import platform
import tempfile
from collections.abc import Iterator

from spectrax import _delivery
from spectrax._delivery import replacing as replacing
from spectrax._version import __version__

PACKAGES = ("jax", "jaxlib", "equinox", "optimistix", "lineax", "diffrax", "optax", "numpy")
PACKAGES += ("matplotlib",)
PROBE = 4096  # bytes: a full disk takes an empty file


class UsageError(Exception):
    """A request that makes no sense; its message is one sentence for the user."""


def versions() -> dict[str, str]:
    """Everything whose version can change a number."""
    from importlib.metadata import version

    found = {"spectrax": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in PACKAGES}


def plain(value):
    """The value in the types of JSON; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str | bool | None):
        return value
    if hasattr(value, "tolist"):  # NumPy and JAX arrays and scalars
        import numpy as np

        return plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value) -> str:
    """Strictly valid JSON: there is no NaN and no Infinity in it."""
    text = json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a name of a file that is no text
        return json.dumps(json.loads(text), indent=2)
    return text


def make_folder(path: str | pathlib.Path) -> pathlib.Path:
    """The folder for results, made if it does not exist; checked before long work begins."""
    folder = pathlib.Path(path)
    if not str(path):
        raise UsageError("--out must name a folder, got nothing")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"Cannot write into {str(path)!r}: it is not a folder")
    with _sentences(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:  # permissions alone do not tell
            probe.write(bytes(PROBE))
            probe.flush()
            os.fsync(probe.fileno())
    return folder


def require_folder(parser, path) -> None:
    """`make_folder` for a script: its parser says what is wrong and ends it with code 2."""
    try:
        make_folder(path)
    except UsageError as error:
        parser.error(str(error))


@contextlib.contextmanager
def deliver(folder, name: str) -> Iterator[pathlib.Path]:
    """A folder to write into whose files appear in `folder` at the end, all or none.

    Raises:
        UsageError: one sentence if that cannot be done; nothing has changed then.
    """
    with _sentences(folder), _delivery.delivery(pathlib.Path(folder), name) as staging:
        yield staging


@contextlib.contextmanager
def _sentences(folder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"Cannot write into {str(folder)!r}: {reason}") from error


def write_record(path: pathlib.Path, record: dict) -> None:
    """Write a record as JSON; a file that is there already is replaced as a whole."""
    with replacing(path) as file:
        file.write((to_json(record) + "\n").encode())


def checksums(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of the files in a folder, by name: whoever copies them can check them."""
    import hashlib

    found = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def write(folder, name: str, figure, arrays: dict, record: dict) -> list[str]:
    """Write `name`.png, .pdf, .npz and .json into the folder, all or none of them.

    Args:
        folder: an existing one; files of the same names are replaced.
        name: of the files.
        figure: Matplotlib figure.
        arrays: data behind the figure; none of object type.
        record: parameters, seeds, results; the versions are added.

    Returns:
        The paths.

    Raises:
        UsageError: one sentence if they cannot be written; nothing has changed then.
    """
    names = [f"{name}.{suffix}" for suffix in ("png", "pdf", "npz", "json")]
    with deliver(folder, name) as staging:
        save(staging, name, figure, arrays)
        record = {**record, "versions": versions(), "files": names, "sha256": checksums(staging)}
        write_record(staging / names[-1], record)
    return [str(pathlib.Path(folder) / name) for name in names]


def save(folder: pathlib.Path, name: str, figure, arrays: dict) -> None:
    """A figure and the data behind it."""
    import numpy as np

    figure.savefig(folder / f"{name}.png", dpi=200)
    metadata = {"CreationDate": None}  # equal runs, equal bytes
    figure.savefig(folder / f"{name}.pdf", metadata=metadata)
    np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
