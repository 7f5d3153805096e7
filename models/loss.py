"""Losses `loss(model, inputs, targets) -> scalar`, in the precision of the outputs."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx


def cross_entropy(
    model: nnx.Module, inputs: jax.Array, targets: jax.Array, *, z_loss: float = 0.0
) -> jax.Array:
    r"""Mean cross-entropy of classes: of images, or of every token.

    $$L = \langle \log Z - f_y + \zeta\,(\log Z)^2 \rangle, \qquad Z = \sum_c e^{f_c}$$

    Args:
        model: outputs are (..., classes).
        inputs: of the model.
        targets: integers, (...).
        z_loss: ζ; keeps the normalisation of the outputs near one.

    Returns:
        Scalar.
    """
    outputs = model(inputs)
    value = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, targets))
    if z_loss:
        value += z_loss * jnp.mean(jax.nn.logsumexp(outputs, axis=-1) ** 2)
    return value


def token_cross_entropy(model: nnx.Module, inputs: jax.Array, targets: jax.Array) -> jax.Array:
    """`cross_entropy` with the z-loss of large language models, ζ = 1e-5."""
    return cross_entropy(model, inputs, targets, z_loss=1e-5)


def squared_error(model: nnx.Module, inputs: jax.Array, targets: jax.Array) -> jax.Array:
    r"""Half the squared distance, mean over samples, as in the theory's gradient flow.

    $$L = \frac{1}{2P}\sum_{\mu=1}^P |f(x_\mu) - y_\mu|^2$$

    Args:
        model: outputs are (samples, outputs).
        inputs: of the model.
        targets: (samples, outputs).

    Returns:
        Scalar.
    """
    return 0.5 * jnp.mean(jnp.sum((model(inputs) - targets) ** 2, axis=-1))
