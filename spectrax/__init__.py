"""Spectral dynamics of deep networks: training, order parameters, spikes, spectrum, transfer."""

from spectrax.comparison import Comparison as Comparison
from spectrax.comparison import compare as compare
from spectrax.ensemble import Ensemble as Ensemble
from spectrax.ensemble import Estimate as Estimate
from spectrax.ensemble import simulate as simulate
from spectrax.precision import enable_x64 as enable_x64
from spectrax.program.solvers import CausalAdjoint as CausalAdjoint
from spectrax.program.solvers import CausalSweep as CausalSweep
from spectrax.program.solvers import ImplicitAdjoint as ImplicitAdjoint
from spectrax.seam import CoupledSpikes as CoupledSpikes
from spectrax.seam import TrainedWeights as TrainedWeights
from spectrax.solution import RESULTS as RESULTS
from spectrax.solution import Solution as Solution
from spectrax.solution import spikes as spikes
from spectrax.spectrum import MarchenkoPastur as MarchenkoPastur
from spectrax.spectrum import Outliers as Outliers
from spectrax.spectrum import complex_excess as complex_excess
from spectrax.spectrum import compress as compress
from spectrax.spectrum import determinant_outliers as determinant_outliers
from spectrax.spectrum import escape_time as escape_time
from spectrax.spectrum import escape_time_of as escape_time_of
from spectrax.spectrum import krylov as krylov
from spectrax.spectrum import location as location
from spectrax.spectrum import margin as margin
from spectrax.spectrum import margin_path as margin_path
from spectrax.spectrum import outlier_path as outlier_path
from spectrax.spectrum import outliers as outliers
from spectrax.spectrum import overlaps as overlaps
from spectrax.spectrum import ritz_values as ritz_values
from spectrax.spectrum import strength_path as strength_path
from spectrax.spectrum import strengths as strengths
from spectrax.spectrum import transfer_matrix as transfer_matrix
from spectrax.training.deep_linear import DeepLinear as DeepLinear
from spectrax.training.solve import GaussianLimit as GaussianLimit
from spectrax.training.solve import solve as solve
from spectrax.transfer.parameterization import Parameterization as Parameterization
from spectrax.transfer.parameterization import mup as mup
from spectrax.transfer.parameterization import ntk as ntk

__version__ = "0.1.0"
