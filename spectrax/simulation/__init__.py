"""The same programs on sampled matrices, and their distance from theory."""

from spectrax.simulation.comparison import Comparison as Comparison
from spectrax.simulation.comparison import compare as compare
from spectrax.simulation.continuous import Flow as Flow
from spectrax.simulation.continuous import flow as flow
from spectrax.simulation.ensemble import Ensemble as Ensemble
from spectrax.simulation.ensemble import Estimate as Estimate
from spectrax.simulation.ensemble import simulate as simulate
