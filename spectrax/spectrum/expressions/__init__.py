"""Sums and products of Gaussian matrices, and the law each one has."""

from spectrax.spectrum.expressions.dyson import Dyson as Dyson
from spectrax.spectrum.expressions.dyson import dyson as dyson
from spectrax.spectrum.expressions.expression import Spaces as Spaces
from spectrax.spectrum.expressions.many_outputs import one_step_multilayer as one_step_multilayer
from spectrax.spectrum.expressions.many_outputs import one_step_outputs as one_step_outputs
from spectrax.spectrum.expressions.many_outputs import wide_edge as wide_edge
from spectrax.spectrum.expressions.pencil import Pencil as Pencil
from spectrax.spectrum.expressions.standard import free_product as free_product
from spectrax.spectrum.expressions.standard import free_sum as free_sum
from spectrax.spectrum.expressions.standard import population_law as population_law
from spectrax.spectrum.expressions.standard import product_law as product_law
