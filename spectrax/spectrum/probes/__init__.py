"""A vector driven by the matrix in a time of its own."""

from spectrax.spectrum.probes._response import Response as Response
from spectrax.spectrum.probes.chain import gauss_nodes as gauss_nodes
from spectrax.spectrum.probes.chain import nodes_needed as nodes_needed
from spectrax.spectrum.probes.chain import trace_response as trace_response
from spectrax.spectrum.probes.finite import probe as probe
from spectrax.spectrum.probes.infinite import Modes as Modes
from spectrax.spectrum.probes.infinite import probe_generator as probe_generator
from spectrax.spectrum.probes.infinite import projected_probe as projected_probe
