"""Writing results: figure (PNG, PDF), data (.npz without pickle), strictly valid JSON beside it."""

import importlib.metadata
import json
import math
import pathlib
import platform

import numpy as np

import spectrax
from spectrax.cli.options import UsageError

PACKAGES = ("jax", "jaxlib", "equinox", "optimistix", "lineax", "diffrax", "optax", "numpy")
PACKAGES += ("matplotlib",)


def versions() -> dict[str, str]:
    """Everything whose version can change a number."""
    found = {"spectrax": spectrax.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        found[name] = importlib.metadata.version(name)
    return found


def plain(value):
    """The value in the types of JSON; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str | bool | None):
        return value
    if hasattr(value, "tolist"):  # NumPy and JAX arrays and scalars
        return plain(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value) -> str:
    """Strictly valid JSON: there is no NaN and no Infinity in it."""
    return json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False)


def make_folder(path: str) -> pathlib.Path:
    """The folder for results, made if it does not exist; checked before long work begins."""
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot write into {path!r}: {error.strerror}") from error
    return folder


def write(folder, name: str, figure, arrays: dict[str, np.ndarray], record: dict) -> list[str]:
    """Write `name`.png, .pdf, .npz and .json into the folder.

    Args:
        folder: an existing one; files of the same names are replaced.
        name: of the files.
        figure: Matplotlib figure.
        arrays: data behind the figure; none of object type.
        record: parameters, seeds, results; the versions are added.

    Returns:
        The paths.
    """
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in ("png", "pdf", "npz", "json")}
    figure.savefig(paths["png"], dpi=200)
    figure.savefig(paths["pdf"], metadata={"CreationDate": None})  # equal runs, equal bytes
    np.savez(paths["npz"], allow_pickle=False, **arrays)
    names = [path.name for path in paths.values()]
    record = {**record, "versions": versions(), "files": names}
    paths["json"].write_text(to_json(record) + "\n", encoding="utf-8")
    return [str(path) for path in paths.values()]
