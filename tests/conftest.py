"""Double precision for all tests, as the theory needs."""

import jax

jax.config.update("jax_enable_x64", True)
