"""The one place that says what an argument is not: a solution where spikes are wanted, and so on.

Objects are known by what they provide, so that no level needs to import another.
"""

import jax
import jax.numpy as jnp
import numpy as np

from spectrax.check import named


def provides(name: str, value, wanted: str, *attributes: str, without: tuple[str, ...] = ()):
    """Return value; raise ValueError unless it is an instance with these attributes."""
    fits = all(hasattr(value, x) for x in attributes)
    if isinstance(value, type) or not fits or any(hasattr(value, x) for x in without):
        raise ValueError(f"Argument `{name}` must be {wanted}, got {named(value)}.")
    return value


def model(value):
    """Return value; raise ValueError unless it is a model of training."""
    return provides("model", value, "a model such as DeepLinear", "program", "rates")


def deep_linear(value):
    """Return value; raise ValueError unless it is a model of learning rates and widths."""
    wanted = "a model with a learning rate and a width ratio, such as DeepLinear"
    return provides("model", model(value), wanted, "eta", "nu", "tangent_kernel")


def solution(value):
    """Return value; raise ValueError unless `solve` returned it."""
    return provides("solution", value, "what `spectrax.solve` returns", "weights")


def with_kernel(value):
    """Return value; raise ValueError unless it is the solution of a model with a tangent kernel."""
    if not hasattr(solution(value).model, "tangent_kernel"):
        kind = type(value.model).__name__
        raise ValueError(
            f"Argument `solution` must be that of a model with a tangent kernel, such as "
            f"DeepLinear, got that of {kind}."
        )
    return value


def weights(value):
    """Return value; raise ValueError unless it is a weight matrix through its training."""
    wanted = "what `solution.weights(layer)` returns"
    return provides("weights", value, wanted, "at", "num_steps")


def spikes(value):
    """Return value; raise ValueError unless it is a random matrix with spikes."""
    wanted = "what `spectrax.spikes` returns, or CoupledSpikes or SymmetricSpikes of your own"
    others = ("at", "program")  # weights and models, which may have a coupling, too
    return provides("spikes", value, wanted, "K", "sigma", without=others)


def law(name: str, value):
    """Return value; raise ValueError unless it is a law made by a pencil."""
    wanted = "a Pencil, such as `spectrax.product_law` returns"
    return provides(name, value, wanted, "probes", "links")


def bulk(value):
    """Return value; raise ValueError unless it is a bulk in closed form, or spikes in one."""
    wanted = "a MarchenkoPastur or Semicircle law, or coupled spikes"
    return provides("law", value, wanted, "aspect", "sigma")


def ensemble(value):
    """Return value; raise ValueError unless `simulate` returned it."""
    return provides("ensemble", value, "what `spectrax.simulate` returns", "num_seeds", "order")


def key(value):
    """Return value; raise ValueError unless it is one random key."""
    dtype, shape = getattr(value, "dtype", None), np.shape(value)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not typed and not (dtype == jnp.uint32 and shape == (2,)):
        raise ValueError(
            "Argument `key` must be one random key such as `jax.random.key(0)`, got "
            f"{named(value)}."
        )
    return value
