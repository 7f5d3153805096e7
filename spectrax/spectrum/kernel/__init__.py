"""The tangent kernel: sharpness and bulk."""

from spectrax.spectrum.kernel.nested_products import NestedProducts as NestedProducts
from spectrax.spectrum.kernel.ntk import ntk_law as ntk_law
from spectrax.spectrum.kernel.ntk import ntk_path as ntk_path
from spectrax.spectrum.kernel.ntk import ntk_top as ntk_top
