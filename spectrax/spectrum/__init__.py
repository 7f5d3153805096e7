"""Level 2: bulk laws, outliers and escape times of trained matrices."""

from spectrax.spectrum import symmetric as symmetric  # registers what belongs to that law
from spectrax.spectrum.bulk import MarchenkoPastur as MarchenkoPastur
from spectrax.spectrum.bulk import Semicircle as Semicircle
from spectrax.spectrum.compress import CompressedWeights as CompressedWeights
from spectrax.spectrum.compress import compress as compress
from spectrax.spectrum.coupled import critical_strength as critical_strength
from spectrax.spectrum.coupled import location as location
from spectrax.spectrum.coupled import transfer_matrix as transfer_matrix
from spectrax.spectrum.coupled import transpose as transpose
from spectrax.spectrum.determinant import determinant_outliers as determinant_outliers
from spectrax.spectrum.determinant import response_matrix as response_matrix
from spectrax.spectrum.escape import escape_time as escape_time
from spectrax.spectrum.escape import escape_time_of as escape_time_of
from spectrax.spectrum.escape import margin_path as margin_path
from spectrax.spectrum.escape import outlier_path as outlier_path
from spectrax.spectrum.escape import strength_path as strength_path
from spectrax.spectrum.kernel import ntk_law as ntk_law
from spectrax.spectrum.kernel import ntk_path as ntk_path
from spectrax.spectrum.kernel import ntk_top as ntk_top
from spectrax.spectrum.krylov import krylov as krylov
from spectrax.spectrum.krylov import ritz_values as ritz_values
from spectrax.spectrum.nested_products import NestedProducts as NestedProducts
from spectrax.spectrum.outlier import Outliers as Outliers
from spectrax.spectrum.outlier import complex_excess as complex_excess
from spectrax.spectrum.outlier import margin as margin
from spectrax.spectrum.outlier import outliers as outliers
from spectrax.spectrum.outlier import overlaps as overlaps
from spectrax.spectrum.outlier import strengths as strengths
