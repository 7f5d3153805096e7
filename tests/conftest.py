"""Double precision for all tests, as the theory needs, and quick compilation."""

import os

# Tests compile far more than they compute: half the time is saved by not optimizing machine code.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

import jax

jax.config.update("jax_enable_x64", True)
