"""Spikes that remember their matrix: strengths, outliers, overlaps."""

from spectrax.spectrum.spikes.determinant import determinant_outliers as determinant_outliers
from spectrax.spectrum.spikes.determinant import response_matrix as response_matrix
from spectrax.spectrum.spikes.inertia import inertia_margin as inertia_margin
from spectrax.spectrum.spikes.inertia import inertia_outliers as inertia_outliers
from spectrax.spectrum.spikes.krylov import krylov as krylov
from spectrax.spectrum.spikes.krylov import ritz_values as ritz_values
from spectrax.spectrum.spikes.outliers import Outliers as Outliers
from spectrax.spectrum.spikes.outliers import complex_excess as complex_excess
from spectrax.spectrum.spikes.outliers import margin as margin
from spectrax.spectrum.spikes.outliers import outliers as outliers
from spectrax.spectrum.spikes.outliers import strengths as strengths
from spectrax.spectrum.spikes.overlaps import overlaps as overlaps
from spectrax.spectrum.spikes.overlaps import resolvent_overlaps as resolvent_overlaps
from spectrax.spectrum.spikes.transfer_matrix import critical_strength as critical_strength
from spectrax.spectrum.spikes.transfer_matrix import location as location
from spectrax.spectrum.spikes.transfer_matrix import transfer_matrix as transfer_matrix
from spectrax.spectrum.spikes.transfer_matrix import transpose as transpose
