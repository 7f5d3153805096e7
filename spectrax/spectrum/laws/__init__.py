"""The bulk: what eigenvalues do when nothing remembers the matrix."""

from spectrax.spectrum.laws.classical import MarchenkoPastur as MarchenkoPastur
from spectrax.spectrum.laws.classical import Semicircle as Semicircle
from spectrax.spectrum.laws.cumulative import Cumulative as Cumulative
from spectrax.spectrum.laws.cumulative import cumulative as cumulative
from spectrax.spectrum.laws.self_consistent import AbstractDysonLaw as AbstractDysonLaw
