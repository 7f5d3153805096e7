"""Outliers through a whole training, and when the first one escapes."""

from spectrax.spectrum.trajectory.compress import CompressedWeights as CompressedWeights
from spectrax.spectrum.trajectory.compress import compress as compress
from spectrax.spectrum.trajectory.escape import escape_time as escape_time
from spectrax.spectrum.trajectory.escape import escape_time_of as escape_time_of
from spectrax.spectrum.trajectory.escape import margin_path as margin_path
from spectrax.spectrum.trajectory.escape import outlier_path as outlier_path
from spectrax.spectrum.trajectory.escape import strength_path as strength_path
from spectrax.spectrum.trajectory.layer import LayerReport as LayerReport
from spectrax.spectrum.trajectory.layer import layer_report as layer_report
