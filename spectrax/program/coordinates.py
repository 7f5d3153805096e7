r"""Linear optimizers, exactly: they act on the coordinates of a trained weight.

$W(t) = a(t) A + \frac1{\mathrm{cols}}\sum_s c_s(t) g_s h_s^\top$: a linear Optax transformation
that treats all entries of a matrix alike acts on $\theta = (a, c_0, \dots)$ as on the matrix.
Source: theory page, section P.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float


def heavy_ball(momentum, weight_decay) -> optax.GradientTransformation:
    r"""$v \leftarrow \mu v + \mathrm{gradient} - \lambda\theta,\ \theta \leftarrow \theta + v$."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(1.0, momentum=momentum))


def coordinates(
    optimizer: optax.GradientTransformation, rates: Float[Array, " t"]
) -> Float[Array, "t1 t1"]:
    r"""Row t: $(a, c_0, \dots, c_{T-1})$ of a trained weight after t updates.

    Args:
        optimizer: linear transformation with unit rate.
        rates: $c_t$, the factor of the gradient at step t.

    Source: theory page, section P.
    """
    n = rates.shape[0]
    theta = jnp.zeros(n + 1).at[0].set(1.0)

    def step(carry, t):
        theta, state = carry
        descent = jnp.zeros(n + 1).at[t + 1].set(-rates[t])
        updates, state = optimizer.update(descent, state, theta)
        theta = theta + updates
        return (theta, state), theta

    _, rest = jax.lax.scan(step, (theta, optimizer.init(theta)), jnp.arange(n))
    return jnp.concatenate([theta[None], rest])


def check_linear(optimizer: optax.GradientTransformation) -> None:
    """Refuse a transformation that does not act on weights through their coordinates.

    Raises:
        ValueError: if three random steps show that it is not linear, that it mixes the entries of a
            matrix, or that it climbs the gradient.
    """
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4, 5, 3))  # start and three gradients each
    left, right = rng.normal(size=(5, 5)), rng.normal(size=(3, 3))
    one, two = _follow(optimizer, first), _follow(optimizer, second)
    if not np.allclose(_follow(optimizer, first - 2 * second), one - 2 * two, rtol=1e-4, atol=1e-5):
        raise ValueError(
            "Argument `optimizer` must be linear in gradients and weights (such as SGD with "
            "momentum and decay); only then does it act on the weights' coordinates."
        )
    mixed = _follow(optimizer, left @ first @ right)
    if not np.allclose(mixed, left @ one @ right, rtol=1e-4, atol=1e-4):
        raise ValueError(
            "Argument `optimizer` must treat all entries of a weight matrix alike; "
            "it does not commute with linear maps of rows and columns."
        )
    step = np.zeros((4, 1, 1))
    step[1] = 1.0
    if not np.all(_follow(optimizer, step)[0] <= 0):
        raise ValueError(
            "Argument `optimizer` must descend: the first update of `optax.sgd(1.0)` is minus the "
            "gradient."
        )


def _follow(optimizer, sequence):
    """Weights after each of the updates with the gradients sequence[1:] from sequence[0]."""
    theta, *gradients = (jnp.asarray(x) for x in sequence)
    state, out = optimizer.init(theta), []
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, theta)
        theta = theta + updates
        out.append(np.asarray(theta))
    return np.stack(out)
