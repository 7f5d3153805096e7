"""Spectral dynamics of deep networks: training, order parameters, spikes, spectrum, transfer."""

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
from spectrax.training.deep_linear import DeepLinear as DeepLinear
from spectrax.training.solve import GaussianLimit as GaussianLimit
from spectrax.training.solve import solve as solve
from spectrax.transfer.parameterization import Parameterization as Parameterization
from spectrax.transfer.parameterization import mup as mup
from spectrax.transfer.parameterization import ntk as ntk

__version__ = "0.1.0"
