"""Spectra of plain arrays: knows neither theory nor frameworks."""

from spectrax.empirical.equalise import equalise as equalise
from spectrax.empirical.law import BulkLaw as BulkLaw
from spectrax.empirical.law import location_stderr as location_stderr
from spectrax.empirical.law import spike_location as spike_location
from spectrax.empirical.law import spike_strength as spike_strength
from spectrax.empirical.levels import lanczos_density as lanczos_density
from spectrax.empirical.levels import top_eigenvalues as top_eigenvalues
from spectrax.empirical.measure import measure_spectrum as measure_spectrum
from spectrax.empirical.series import SpectrumSeries as SpectrumSeries
from spectrax.empirical.series import measure_series as measure_series
from spectrax.empirical.tracy_widom import noise_scales as noise_scales
from spectrax.empirical.tracy_widom import tracy_widom_cdf as tracy_widom_cdf
from spectrax.empirical.tracy_widom import tracy_widom_quantile as tracy_widom_quantile
from spectrax.empirical.unfold import unfold as unfold
from spectrax.empirical.weight_spectrum import WeightSpectrum as WeightSpectrum
