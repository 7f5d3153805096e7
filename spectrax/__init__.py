"""Spectral dynamics of deep networks: training, order parameters, spikes, spectrum, transfer."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spectrax._api import *  # noqa: F403

__version__ = "0.1.0"


def __getattr__(name: str):
    # Imported when first asked for: `spectrax --help` and usage errors need no JAX.
    if not name.startswith("_"):
        api = importlib.import_module("spectrax._api")
        if name in vars(api):
            return getattr(api, name)
    raise AttributeError(f"module 'spectrax' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *vars(importlib.import_module("spectrax._api"))})
