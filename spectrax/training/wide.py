"""Wide nonlinear networks on finitely many samples."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from spectrax import check
from spectrax.program.coordinates import heavy_ball
from spectrax.program.objects import Objects, Vector, weight
from spectrax.program.sampled import ROUNDING
from spectrax.program.sampled_ops import gram_schmidt
from spectrax.training.base import AbstractDMFT
from spectrax.training.functions import LOSSES, activation_function, as_loss, is_smooth


class WideNetwork(AbstractDMFT):
    r"""A fully connected network in µP, infinitely wide, on samples of finite number and dimension.

    $$h^1 = W^0 x/\sqrt D, \quad h^{l+1} = W^l \phi(h^l)/\sqrt N, \quad
      f = \frac{1}{\gamma_0 N}\, w \cdot \phi(h^L), \quad
      \mathcal L = \frac{1}{2B} \sum_\mu |y_\mu - f_\mu|^2 ,$$

    entries $\mathcal N(0, \sigma^2)$, gradient step $\eta\gamma_0^2 N$; $N \to \infty$ at fixed
    dimension D, number P of samples (B of each step) and number T of steps.

    Args:
        depth: number L of hidden layers, at least 1.
        num_steps: number T of updates.
        inputs: P inputs, (P, D); the kernel is $K_x = x \cdot x'/D$, so $|x|^2 = D$ is natural.
        targets: (P,), or (P, C) for C outputs.
        eta: learning rate, a scalar or a schedule of shape (num_steps,).
        gamma0: output multiplier; large is rich.
        sigma: standard deviation of the initial weights.
        activation: "tanh", "erf", "gelu", "silu", "softplus", "relu", "identity" or any elementwise
            JAX function. One whose derivative jumps has no gradients in hyperparameters.
        batches: indices of the samples of each step, (num_steps, B); None = all at every step.
            Fresh samples every step are num_steps * B inputs and a schedule that counts through.
        loss: "mse"; "logistic" (targets ±1); "cross_entropy" (targets one-hot); or a function of
            targets and outputs, (B, C) each, that returns the error signal
            $\Delta = -\partial\ell/\partial f$.
        test_inputs: inputs whose outputs are reported, but not trained on, (P', D).
        momentum: $\mu$ of the heavy ball.
        weight_decay: $\lambda$, decay per step inside the momentum buffer.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import jax, numpy as np, spectrax as sx
        >>> sx.enable_x64()
        >>> x = np.sqrt(2.0) * np.eye(2)
        >>> model = sx.WideNetwork(2, 8, inputs=x, targets=[1.0, -1.0], eta=0.4, gamma0=2.0)
        >>> limit = sx.SampledLimit(1024, key=jax.random.key(0))
        >>> solution = sx.solve(model, interpreter=limit)
        >>> print(solution.train_loss[-1] < 0.2 * solution.train_loss[0])
        True

    Source: theory page, section 4.
    """

    domains: ClassVar[dict[str, str]] = {
        "gamma0": "positive",
        "sigma": "positive",
        "eta": "non-negative",
        "momentum": "fraction",
        "weight_decay": "fraction",
    }

    depth: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    inputs: Float[Array, "*batch p d"]
    targets: Float[Array, "*batch p c"]
    eta: Float[Array, "*batch_t"]
    gamma0: Float[Array, "*batch"]
    sigma: Float[Array, "*batch"]
    test_inputs: Float[Array, "*batch q d"] | None
    batches: Int[Array, "t b"]
    momentum: Float[Array, "*batch"]
    weight_decay: Float[Array, "*batch"]
    activation: str | Callable = eqx.field(static=True)
    loss: str | Callable = eqx.field(static=True)
    single_output: bool = eqx.field(static=True)
    smooth: bool = eqx.field(static=True)

    def __init__(
        self,
        depth,
        num_steps,
        *,
        inputs: ArrayLike | Sequence,
        targets: ArrayLike | Sequence,
        eta: ArrayLike | Sequence[float],
        gamma0: ArrayLike,
        sigma: ArrayLike = 1.0,
        activation: str | Callable = "tanh",
        batches: ArrayLike | Sequence | None = None,
        loss: str | Callable = "mse",
        test_inputs: ArrayLike | Sequence | None = None,
        momentum: ArrayLike = 0.0,
        weight_decay: ArrayLike = 0.0,
    ):
        self.depth = check.integer("depth", depth, 1)
        self.num_steps = check.integer("num_steps", num_steps, 1)
        self.inputs = check.shaped("inputs", inputs, (None, None))
        P, D = self.inputs.shape
        targets = jnp.asarray(targets, float)
        self.single_output = targets.ndim == 1
        targets = targets[:, None] if self.single_output else targets
        self.targets = check.shaped("targets", targets, (P, None))
        if test_inputs is not None:
            test_inputs = check.shaped("test_inputs", test_inputs, (None, D))
        self.test_inputs = test_inputs
        self.batches = check.indices("batches", batches, self.num_steps, P)
        numbers = {"gamma0": gamma0, "sigma": sigma}
        numbers |= {"momentum": momentum, "weight_decay": weight_decay}
        for name, value in check.hyperparameters(self.domains, **numbers).items():
            setattr(self, name, value)
        self.eta = check.schedule("eta", check.nonnegative("eta", eta), self.num_steps)
        self.activation = activation
        self.smooth = is_smooth(activation_function(activation))
        self.loss = loss if callable(loss) else check.one_of("loss", loss, tuple(LOSSES))

    @property
    def has_gradients(self) -> bool:
        """Not where the activation has a kink: pathwise derivatives miss what crosses it."""
        return self.smooth

    @property
    def batch_size(self) -> int:
        """Samples B of each step."""
        return self.batches.shape[-1]

    def spaces(self) -> dict:
        """Relative dimension of each layer: one."""
        one = jnp.ones_like(self.gamma0)
        return {self._space(layer): one for layer in range(1, self.depth + 1)}

    def _space(self, layer: int) -> str:
        """The space in which the fields of a layer live."""
        return f"hidden{layer}"

    def rates(self) -> Float[Array, " t"]:
        r"""$c_t = \eta_t \gamma_0 / B$ of every weight."""
        return jnp.broadcast_to(self.eta * self.gamma0 / self.batch_size, (self.num_steps,))

    def transformation(self) -> optax.GradientTransformation:
        """The optimizer with unit rate."""
        return heavy_ball(self.momentum, self.weight_decay)

    def objects(self, t) -> Objects:
        """The first layer, a vector for each coordinate of the inputs; weights; readout."""
        del t
        space, sigma = self._space, self.sigma
        P, D = self.inputs.shape
        P += 0 if self.test_inputs is None else len(self.test_inputs)
        return {
            "W0": Vector(space(1), min(P, D), sigma),
            **{f"W{k}": weight(space(k + 1), space(k), sigma) for k in range(1, self.depth)},
            "w": Vector(space(self.depth), self.targets.shape[-1], sigma),
        }

    def program(self, ops, t) -> None:
        """One step of training: forward pass, errors, backward pass, gradients.

        The first layer is a set of vectors, one for each coordinate of the inputs. Backward fields
        have the index (output, sample).
        """
        L, B, C = self.depth, self.batch_size, self.targets.shape[-1]
        x, x_test = self._coordinates()  # (P, r), (P', r)
        now = self.batches[t]
        V, *W, w = (ops[name] for name in self.layers)

        h, e = [V.mix(x[now].T)], []
        for k in range(L):
            e.append(self._activate(ops, h[k]))
            if k < L - 1:
                h.append(W[k] @ e[k])
        f = ops.inner(e[-1], w.value) / self.gamma0  # (B, C)
        y, loss = self.targets[now], as_loss(self.loss)
        Delta = loss.error(y, f)

        z = w.mix(jnp.repeat(jnp.eye(C), B, axis=1))  # (C * B)
        g = [self._backward(ops, h[-1], z)]
        for k in reversed(range(L - 1)):
            g.insert(0, self._backward(ops, h[k], W[k].T @ g[0]))

        weights = Delta.T.reshape(-1)  # (C * B,)
        V.append(g[0], weights[:, None] * jnp.tile(x[now], (C, 1)))
        for k in range(L - 1):
            W[k].append(g[k + 1], e[k], weights)
        w.append(e[-1], Delta)
        ops.observe("predictions", self._outputs(f))
        ops.observe("train_error", jnp.mean(loss.value(y, f)).reshape(1, 1))
        if x_test is not None:
            u = self._activate(ops, V.mix(x_test.T))
            for k in range(L - 1):
                u = self._activate(ops, W[k] @ u)
            f = ops.inner(u, w.value) / self.gamma0
            ops.observe("test_predictions", self._outputs(f))

    def _activate(self, ops, h):
        if self.activation == "identity":
            return h
        return ops.elementwise(activation_function(self.activation), h)

    def _backward(self, ops, h, z):
        """phi'(h) z, the fields of each sample for all outputs."""
        if self.activation == "identity":
            return z
        phi = activation_function(self.activation)
        h = h.mix(jnp.tile(jnp.eye(h.size), (1, z.size // h.size)))
        return ops.elementwise(lambda h, z: jax.jvp(phi, (h,), (z,))[1], h, z)

    def _outputs(self, f: Float[Array, "samples outputs"]):
        return f[:, 0] if self.single_output else f

    def _coordinates(self):
        r"""Inputs in as few coordinates as there are inputs, with inner products $K_x$."""
        x = self.inputs if self.test_inputs is None else jnp.vstack([self.inputs, self.test_inputs])
        P, dimension = self.inputs.shape
        x = x / np.sqrt(dimension)
        if len(x) < dimension:
            x = _triangular(x)
        return x[:P], None if self.test_inputs is None else x[P:]

    def rounded(self, size: int) -> tuple["WideNetwork", dict[str, int]]:
        """The model itself, and the widths of a network with N = size."""
        return self, {self._space(layer): size for layer in range(1, self.depth + 1)}


def _triangular(x: Float[Array, "p d"]) -> Float[Array, "p p"]:
    r"""A triangular factor L of $x x^\top$, with derivatives where inputs are equal or dependent.

    What is new in an input that depends on the others has no direction, and no derivative either:
    the column is zero. Signs are Householder's, who reflects every column of generic inputs.
    """
    L = gram_schmidt(x, ROUNDING * jnp.mean(x**2, axis=1))[1] * np.sqrt(x.shape[1])
    R, tau = jnp.linalg.qr(jax.lax.stop_gradient(x.T), mode="raw")
    reflected = jnp.where(jnp.diagonal(R) < 0, -1.0, 1.0) * jnp.where(tau == 0, -1.0, 1.0)
    return L * reflected
