"""Level 2: bulk laws, outliers and escape times of trained matrices."""

from spectrax.spectrum.bulk import MarchenkoPastur as MarchenkoPastur
from spectrax.spectrum.coupled import (
    critical_strength as critical_strength,
    location as location,
    transfer_matrix as transfer_matrix,
    transpose as transpose,
)
from spectrax.spectrum.krylov import krylov as krylov
from spectrax.spectrum.krylov import ritz_values as ritz_values
from spectrax.spectrum.determinant import (
    determinant_outliers as determinant_outliers,
    response_matrix as response_matrix,
)
from spectrax.spectrum.outliers import (
    Outliers as Outliers,
    complex_excess as complex_excess,
    margin as margin,
    outliers as outliers,
    overlaps as overlaps,
    strengths as strengths,
)
from spectrax.spectrum.compress import CompressedWeights as CompressedWeights, compress as compress
from spectrax.spectrum.escape import (
    escape_time as escape_time,
    escape_time_of as escape_time_of,
    margin_path as margin_path,
    outlier_path as outlier_path,
    strength_path as strength_path,
)
