"""Tangent kernel of a finite network: the theory's operator on the network's own arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse.linalg import lobpcg_standard
from jaxtyping import Array, Float, PRNGKeyArray

from spectrax.program.field import Field
from spectrax.program.finite import Network, Trainer

DENSE = 100  # below, all eigenvalues cost less than an iteration


def _operator(model, trainer: Trainer, network: Network, key: PRNGKeyArray, kernel: str):
    """The kernel as a function of vectors (classes * dimension,), and their length."""
    ops = trainer.ops(key, dict(network.store), network.t)
    trainer.program(ops, network.t)  # the backward fields of this step
    g = [ops.records[matrix.backward][0] for matrix in model.plan().matrices]  # (classes, width)
    G = tuple(x @ x.T / x.shape[-1] for x in g)
    apply = model.train_kernel if kernel == "train" else model.tangent_kernel
    space = "samples" if kernel == "train" else "input"
    classes = G[0].shape[0]

    def product(v):
        ops = trainer.ops(key, dict(network.store), network.t)
        return apply(ops, Field(space, v.reshape(classes, -1)), G).data.ravel()

    return product, classes * dict(trainer.sizes)[space]


@eqx.filter_jit
def kernel_top(
    model, trainer: Trainer, network: Network, key: PRNGKeyArray, kernel: str
) -> Float[Array, ""]:
    """Largest eigenvalue, matrix-free."""
    product, length = _operator(model, trainer, network, key, kernel)
    if length < DENSE:
        return kernel_eigenvalues(model, trainer, network, key, kernel)[-1]
    start = jnp.asarray(np.random.default_rng(0).normal(size=(length, 5)))
    columns = jax.vmap(product, in_axes=1, out_axes=1)
    return lobpcg_standard(columns, start, m=100)[0][0]


@eqx.filter_jit
def kernel_eigenvalues(
    model, trainer: Trainer, network: Network, key: PRNGKeyArray, kernel: str
) -> Float[Array, " n"]:
    """All eigenvalues, ascending."""
    product, length = _operator(model, trainer, network, key, kernel)
    return jnp.linalg.eigvalsh(jax.lax.map(product, jnp.eye(length), batch_size=64))
