"""Spectral dynamics of deep networks: training, order parameters, spikes, spectrum, transfer."""

import importlib
import importlib.util
import pkgutil
from typing import TYPE_CHECKING

from spectrax._version import __version__ as __version__

# Of the spectrum; `spikes` is a function.
_WINGS = ("laws", "expressions", "trajectory", "kernel", "probes")

if TYPE_CHECKING:  # what `__getattr__` below finds, for editors and type checkers
    from spectrax import check as check
    from spectrax import checkpoints as checkpoints
    from spectrax import cli as cli
    from spectrax import empirical as empirical
    from spectrax import parameterization as parameterization
    from spectrax import plotting as plotting
    from spectrax import precision as precision
    from spectrax import program as program
    from spectrax import records as records
    from spectrax import seam as seam
    from spectrax import simulation as simulation
    from spectrax import spectrum as spectrum
    from spectrax import training as training
    from spectrax import transfer as transfer
    from spectrax._api import *  # noqa: F403
    from spectrax.spectrum import expressions as expressions
    from spectrax.spectrum import kernel as kernel
    from spectrax.spectrum import laws as laws
    from spectrax.spectrum import probes as probes
    from spectrax.spectrum import trajectory as trajectory
else:  # hidden from them: a name that does not exist is an error there too

    def __getattr__(name: str):
        # Imported when first asked for: `spectrax --help` and usage errors need no JAX.
        if not name.startswith("_"):
            if importlib.util.find_spec(f"spectrax.{name}") is not None:
                return importlib.import_module(f"spectrax.{name}")
            if name in _WINGS:
                return importlib.import_module(f"spectrax.spectrum.{name}")
            api = importlib.import_module("spectrax._api")
            if name in vars(api):
                return globals().setdefault(name, vars(api)[name])
        raise AttributeError(f"module 'spectrax' has no attribute {name!r}")

    def __dir__():
        modules = (info.name for info in pkgutil.iter_modules(__spec__.submodule_search_locations))
        names = {*modules, *_WINGS, *vars(importlib.import_module("spectrax._api"))}
        return ["__version__", *sorted(name for name in names if not name.startswith("_"))]
