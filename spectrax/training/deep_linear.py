"""Deep linear networks of proportional width and data."""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import _kind, check
from spectrax.parameterization import Parameterization, mup
from spectrax.program.coordinates import check_linear, heavy_ball
from spectrax.program.field import Field
from spectrax.program.objects import Constant, Matrix, Objects, Vector, weight
from spectrax.training.base import AbstractDMFT


class DeepLinear(AbstractDMFT):
    r"""A deep linear network trained by gradient descent, dimension, width and data proportional.

    $$f(x) = \frac{1}{\gamma\sqrt N}\, w \cdot W^{L-1} \cdots W^0 x, \qquad
      \Delta_\mu = y_\mu - f(x_\mu), \qquad \mathcal L = \frac{1}{2P} \sum_\mu \Delta_\mu^2,$$

    weights divided by the square root of their fan-in, entries $\mathcal N(0, \sigma^2)$; inputs
    $x \sim \mathcal N(0, I_D)$, labels $y = \beta^* \cdot x/\sqrt D$ plus noise. Gradient step
    $\eta\gamma^2 D$; $D, N, P \to \infty$ at fixed $\alpha = P/D$ and $\nu = N/D$.

    Args:
        depth: number L of hidden layers, at least 1.
        num_steps: number T of updates.
        alpha: data ratio P/D; with online data, batch size over D.
        nu: width ratio N/D.
        eta: learning rate $\eta$, a scalar or a schedule of shape (num_steps,).
        gamma0: width-free part of the output multiplier $\gamma$; large is rich.
        sigma: standard deviation of the initial weights.
        parameterization: how $\gamma$ and $\eta$ depend on `nu`; `mup` or `ntk` or your own.
        data: "full_batch" (the same P samples at every step) or "online" (fresh ones).
        num_classes: number C of outputs.
        teacher_gram: inner products of the C teachers, (C, C); identity by default.
        label_noise: variance of noise added to the labels.
        momentum: $\mu$ of the heavy ball.
        weight_decay: $\lambda$, decay per step inside the momentum buffer (not multiplied by eta).
        optimizer: a linear Optax transformation with unit rate, e.g.
            `optax.sgd(1.0, momentum=0.9, nesterov=True)`, in place of momentum and weight_decay.
            It is static: for derivatives use `momentum` and `weight_decay`.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(2, 40, alpha=4.0, nu=2.0, eta=0.03, gamma0=4.0)
        >>> print(f"{sx.escape_time(sx.solve(model), layer=1):.3f}")
        8.191

    Source: theory page, sections 3.1 to 3.4.
    """

    domains: ClassVar[dict[str, str]] = {
        "alpha": "positive",
        "nu": "positive",
        "gamma0": "positive",
        "sigma": "positive",
        "eta": "non-negative",
        "label_noise": "non-negative",
        "momentum": "fraction",
        "weight_decay": "fraction",
    }

    depth: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    alpha: Float[Array, "*batch"]
    nu: Float[Array, "*batch"]
    eta: Float[Array, "*batch_t"]
    gamma0: Float[Array, "*batch"]
    sigma: Float[Array, "*batch"]
    parameterization: Parameterization
    teacher_gram: Float[Array, "*batch c c"]
    label_noise: Float[Array, "*batch"]
    momentum: Float[Array, "*batch"]
    weight_decay: Float[Array, "*batch"]
    data: str = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)
    optimizer: optax.GradientTransformation | None = eqx.field(static=True)

    def __init__(
        self,
        depth,
        num_steps,
        *,
        alpha: ArrayLike,
        nu: ArrayLike,
        eta: ArrayLike | Sequence[float],
        gamma0: ArrayLike,
        sigma: ArrayLike = 1.0,
        parameterization: Parameterization = mup,
        data: str = "full_batch",
        num_classes=1,
        teacher_gram: ArrayLike | Sequence | None = None,
        label_noise: ArrayLike = 0.0,
        momentum: ArrayLike = 0.0,
        weight_decay: ArrayLike = 0.0,
        optimizer: optax.GradientTransformation | None = None,
    ):
        self.depth = check.integer("depth", depth, 1)
        self.num_steps = check.integer("num_steps", num_steps, 1)
        self.num_classes = check.integer("num_classes", num_classes, 1)
        self.data = check.one_of("data", data, ("full_batch", "online"))
        numbers = {"alpha": alpha, "nu": nu, "gamma0": gamma0, "sigma": sigma}
        numbers |= {"label_noise": label_noise, "momentum": momentum, "weight_decay": weight_decay}
        for name, value in check.hyperparameters(self.domains, **numbers).items():
            setattr(self, name, value)
        self.eta = check.schedule("eta", check.nonnegative("eta", eta), self.num_steps)
        self.teacher_gram = check.gram("teacher_gram", teacher_gram, self.num_classes)
        self.parameterization = _kind.provides(
            "parameterization", parameterization, "a Parameterization", "gamma", "eta"
        )
        self.optimizer = optimizer
        if optimizer is not None:
            for name, value in (("momentum", momentum), ("weight_decay", weight_decay)):
                if not (isinstance(value, int | float) and value == 0):
                    raise ValueError(
                        f"Argument `{name}` must be 0 when `optimizer` is given, got {value}."
                    )
            _kind.provides("optimizer", optimizer, "an Optax transformation", "init", "update")
            check_linear(optimizer)

    @property
    def gamma(self) -> Float[Array, ""]:
        r"""Output multiplier $\gamma$."""
        return self.parameterization.gamma(self.gamma0, self.nu)

    def spaces(self) -> dict:
        """Dimensions over D: input, samples, and the neurons of each hidden layer."""
        hidden = {self._space(layer): self.nu for layer in range(1, self.depth + 1)}
        return {"input": jnp.ones_like(self.nu), "samples": self.alpha, **hidden}

    def _space(self, layer: int) -> str:
        """The space in which the fields of a layer live."""
        return f"hidden{layer}" if layer else "input"

    @property
    def _weights(self) -> tuple[str, ...]:
        return tuple(f"W{k}" for k in range(self.depth))

    def rates(self) -> Float[Array, " t"]:
        r"""$c_t = \eta_t \gamma / \sqrt\nu$ of every weight and of the readout."""
        eta = self.effective_eta()
        return jnp.broadcast_to(eta * self.gamma / jnp.sqrt(self.nu), (self.num_steps,))

    def effective_eta(self) -> Float[Array, "*t"]:
        """Learning rate at this width."""
        return self.parameterization.eta(self.eta, self.nu)

    @property
    def governing_kernel(self) -> str:
        """The tangent kernel that decides on stability."""
        return "population" if self.data == "online" else "train"

    def stability_bound(self) -> Float[Array, ""]:
        r"""Largest stable $\eta\kappa$: 2 for gradient descent, $2 + 2\mu - \lambda$ in general."""
        if self.optimizer is not None:
            raise ValueError(
                "Argument `optimizer` must be None where stability is asked for; "
                "use momentum and weight_decay."
            )
        return 2 * (1 + self.momentum) - self.weight_decay

    def transformation(self) -> optax.GradientTransformation:
        """The optimizer with unit rate."""
        return self.optimizer or heavy_ball(self.momentum, self.weight_decay)

    def objects(self, t) -> Objects:
        """Data, weights, readout, teacher and label noise."""
        del t
        C, online, space = self.num_classes, self.data == "online", self._space
        noise = self.label_noise * jnp.eye(C)
        return {
            "X": Matrix("samples", "input", fresh=online),
            **{W: weight(space(k + 1), space(k), self.sigma) for k, W in enumerate(self._weights)},
            "w": Vector(space(self.depth), C, self.sigma),
            "teacher": Constant("input", self.teacher_gram),
            "noise": Constant("samples", noise, fresh=online),
        }

    def program(self, ops, t) -> None:
        """One step of training: backward pass, errors, forward pass, gradients."""
        del t
        L, X, w = self.depth, ops["X"], ops["w"]
        W = [ops[name] for name in self._weights]

        g = [w.value]
        for k in reversed(range(1, L)):
            g.insert(0, W[k].T @ g[0])
        beta = W[0].T @ g[0] / (self.gamma * jnp.sqrt(self.nu))
        delta = ops["teacher"] - beta
        Delta = X @ delta + ops["noise"]
        h = [X.T @ Delta / self.alpha]
        for k in range(L):
            h.append(W[k] @ h[k])

        for k in range(L):
            W[k].append(g[k], h[k])
        w.append(h[L])
        ops.observe("test_error", ops.inner(delta, delta))
        ops.observe("train_error", ops.inner(Delta, Delta))

    def tangent_kernel(self, ops, v: Field, G) -> Field:
        r"""The population tangent kernel, applied to a field of the input space.

        $$\Theta = G_1 + \frac1\nu Y_0^\top \big[G_2 + Y_1^\top [G_3 + \dots] Y_1\big] Y_0$$

        with the normalised weights $Y_l$ and $G_{L+1} = 1$.

        Args:
            ops: operations of the program.
            v: one vector for each class.
            G: correlations $\langle g^l g^l\rangle$ of the backward fields at this step for
                l = 1 … L, each (classes, classes).
        """
        W = [ops[name] for name in self._weights]
        forward = [v]
        for k in range(self.depth):
            forward.append(W[k] @ forward[k])
        y = forward.pop()
        for k in reversed(range(self.depth)):
            y = W[k].T @ y
            y = forward[k].mix(G[k]) + (y if k else y / self.nu)
        return y

    def train_kernel(self, ops, v: Field, G) -> Field:
        r"""The kernel on the training samples, $\frac1\alpha X \Theta X^\top$, applied to a field.

        Raises:
            ValueError: for online data, where the samples of a step do not come again.
        """
        if self.data == "online":
            raise ValueError("Argument `kernel` must be 'population' for online data, got 'train'.")
        X = ops["X"]
        return X @ self.tangent_kernel(ops, X.T @ v, G) / self.alpha

    def kernel_chain(self, kernel: str) -> tuple:
        r"""The kernel at initialization as nested products, innermost first.

        Rows (variance, aspect, scale) of $B \leftarrow G + Y^\top B\, Y / \mathrm{scale}$ with Y of
        that aspect and entries of variance variance/cols; weights without their factor a.
        """
        one, variance = jnp.ones_like(self.nu), self.sigma**2
        chain = [(variance, one, one)] * (self.depth - 1) + [(variance, self.nu, self.nu)]
        if kernel == "train":
            chain.append((self.alpha, 1 / self.alpha, self.alpha))
        return tuple(jnp.stack(column) for column in zip(*chain, strict=True))

    def rounded(self, size: int) -> tuple["DeepLinear", dict[str, int]]:
        """The model of a network with input dimension `size`, and the sizes of its spaces."""
        N, P = round(size * float(self.nu)), round(size * float(self.alpha))
        if min(N, P) < 1:
            raise ValueError(f"Argument `size` is too small for nu and alpha, got {size}.")
        model = eqx.tree_at(
            lambda m: (m.nu, m.alpha), self, (jnp.asarray(N / size), jnp.asarray(P / size))
        )
        hidden = {self._space(layer): N for layer in range(1, self.depth + 1)}
        return model, {"input": size, "samples": P, **hidden}
