"""Spectra of plain arrays."""

from spectrax.empirical.top import top_eigenvalues as top_eigenvalues
