"""Deep linear networks of proportional width and data."""

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from spectrax.program.coordinates import check_linear, heavy_ball
from spectrax.training.base import AbstractDMFT
from spectrax.transfer.parameterization import Parameterization, mup


class DeepLinear(AbstractDMFT):
    depth: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    alpha: Float[Array, ""]
    nu: Float[Array, ""]
    eta: Float[Array, "*t"]
    gamma0: Float[Array, ""]
    sigma: Float[Array, ""]
    parameterization: Parameterization
    teacher_gram: Float[Array, "c c"]
    label_noise: Float[Array, ""]
    momentum: Float[Array, ""]
    weight_decay: Float[Array, ""]
    data: str = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)
    optimizer: optax.GradientTransformation | None = eqx.field(static=True)

    def __init__(
        self,
        depth,
        num_steps,
        *,
        alpha,
        nu,
        eta,
        gamma0,
        sigma=1.0,
        parameterization=mup,
        data="full_batch",
        num_classes=1,
        teacher_gram=None,
        label_noise=0.0,
        momentum=0.0,
        weight_decay=0.0,
        optimizer=None,
    ):
        self.depth, self.num_steps, self.data = depth, num_steps, data
        self.alpha, self.nu, self.eta = jnp.asarray(alpha), jnp.asarray(nu), jnp.asarray(eta)
        self.gamma0, self.sigma = jnp.asarray(gamma0), jnp.asarray(sigma)
        self.parameterization = parameterization
        self.num_classes = num_classes
        self.teacher_gram = (
            jnp.eye(num_classes) if teacher_gram is None else jnp.asarray(teacher_gram)
        )
        self.label_noise = jnp.asarray(label_noise)
        self.momentum, self.weight_decay = jnp.asarray(momentum), jnp.asarray(weight_decay)
        self.optimizer = optimizer

    @property
    def gamma(self):
        return self.parameterization.gamma(self.gamma0, self.nu)

    def spaces(self):
        hidden = {f"hidden{l}": self.nu for l in range(1, self.depth + 1)}
        return {"input": jnp.ones_like(self.nu), "samples": self.alpha, **hidden}

    def rates(self):
        eta = self.parameterization.eta(self.eta, self.nu)
        return jnp.broadcast_to(eta * self.gamma / jnp.sqrt(self.nu), (self.num_steps,))

    def transformation(self):
        return heavy_ball(self.momentum, self.weight_decay)

    def program(self, ops, t):
        L, online = self.depth, self.data == "online"
        spaces = ["input"] + [f"hidden{l}" for l in range(1, L + 1)]
        X = ops.matrix("X", "samples", "input", fresh=online)
        W = [ops.weight(f"W{l}", spaces[l + 1], spaces[l], sigma=self.sigma) for l in range(L)]
        w = ops.vector("w", spaces[L], self.num_classes, sigma=self.sigma)
        teacher = ops.constant("teacher", "input", self.teacher_gram)
        noise = self.label_noise * jnp.eye(self.num_classes)
        label_noise = ops.constant("label_noise", "samples", noise, fresh=online)

        g = [w.value]  # g^L, …, g^1, in the end reversed
        for l in reversed(range(1, L)):
            g.append(W[l].T @ g[-1])
        g = [None, *reversed(g)]
        beta = W[0].T @ g[1] / (self.gamma * jnp.sqrt(self.nu))
        delta = teacher - beta
        Delta = X @ delta + label_noise
        h = [X.T @ Delta / self.alpha]
        for l in range(L):
            h.append(W[l] @ h[l])

        for l in range(L):
            W[l].append(g[l + 1], h[l])
        w.append(h[L])
        ops.observe("test_error", ops.inner(delta, delta))
        ops.observe("train_error", ops.inner(Delta, Delta))
