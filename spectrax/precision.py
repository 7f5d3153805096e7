"""Double precision, which the theory needs."""

import jax


def enable_x64() -> None:
    """Let JAX compute in double precision. Call it once, before building models.

    Importing spectrax changes no global state; this does, and so do the command line and the tests.

    Examples:
        >>> import spectrax
        >>> spectrax.enable_x64()
    """
    jax.config.update("jax_enable_x64", True)
