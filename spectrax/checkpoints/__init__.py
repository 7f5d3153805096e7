"""Weights of checkpoints as plain arrays, one at a time; nothing in a file is ever executed.

Formats are read by the libraries that define them: NumPy, safetensors, Flax, Orbax. The last three
are imported when a file asks for them.
"""

from spectrax.checkpoints.base import Checkpoint as Checkpoint
from spectrax.checkpoints.base import CheckpointError as CheckpointError
from spectrax.checkpoints.opening import find_snapshots as find_snapshots
from spectrax.checkpoints.opening import open_checkpoint as open_checkpoint
