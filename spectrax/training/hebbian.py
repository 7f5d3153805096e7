"""Recurrent networks whose symmetric matrix learns while they run."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import check
from spectrax.program.objects import Constant, Matrix, Objects
from spectrax.training.base import AbstractDMFT
from spectrax.training.functions import activation_function, is_smooth


class AntiHebbian(AbstractDMFT):
    r"""A symmetric random network that unlearns (or learns) its own activity.

    $$\dot x = -\mu x + J(t)\,\phi(x), \qquad
      J(t) = J_0 - \frac\kappa N \int_0^t \phi(x_s)\phi(x_s)^\top e^{-(t-s)\,\mathrm{decay}} ds,$$

    by Euler steps dt, with $J_0 = J_0^\top$ of off-diagonal variance $\sigma^2/N$ and independent
    $x_0$. After step s the matrix gets the spike $-\kappa\, dt\, \phi(x_s)\phi(x_s)^\top/N$.

    Args:
        num_steps: number T of Euler steps.
        dt: length of a step.
        mu: leak $\mu$.
        kappa: rate $\kappa$ of anti-Hebbian learning; negative is Hebbian.
        sigma: standard deviation of the initial matrix.
        decay: rate at which old spikes fade; the initial matrix stays.
        activation: "identity", "tanh", "erf", … or any elementwise JAX function.
        x0_variance: variance of the initial state.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> solution = sx.solve(sx.AntiHebbian(60, dt=0.1, mu=0.0, kappa=1.0))
        >>> found = sx.outliers(sx.spikes(solution, 0, 59), 1, side="below")
        >>> print(f"{found.location[0]:.4f}")
        -2.1657

    Source: theory page, section 2.3.
    """

    domains: ClassVar[dict[str, str]] = {
        "dt": "positive",
        "mu": "finite",
        "kappa": "finite",
        "sigma": "positive",
        "decay": "non-negative",
        "x0_variance": "positive",
    }

    num_steps: int = eqx.field(static=True)
    dt: Float[Array, "*batch"]
    mu: Float[Array, "*batch"]
    kappa: Float[Array, "*batch"]
    sigma: Float[Array, "*batch"]
    decay: Float[Array, "*batch"]
    x0_variance: Float[Array, "*batch"]
    activation: str | Callable = eqx.field(static=True)
    smooth: bool = eqx.field(static=True)

    def __init__(
        self,
        num_steps,
        *,
        dt: ArrayLike,
        mu: ArrayLike,
        kappa: ArrayLike,
        sigma: ArrayLike = 1.0,
        decay: ArrayLike = 0.0,
        activation: str | Callable = "identity",
        x0_variance: ArrayLike = 1.0,
    ):
        self.num_steps = check.integer("num_steps", num_steps, 1)
        numbers = {"dt": dt, "mu": mu, "kappa": kappa, "sigma": sigma}
        numbers |= {"decay": decay, "x0_variance": x0_variance}
        for name, value in check.hyperparameters(self.domains, **numbers).items():
            setattr(self, name, value)
        self.activation = activation
        self.smooth = is_smooth(activation_function(activation))

    @property
    def has_gradients(self) -> bool:
        """Not where the activation has a kink."""
        return self.smooth

    @property
    def time_unit(self) -> Float[Array, "*batch"]:
        """Time of one step."""
        return self.dt

    def spaces(self) -> dict:
        """One population."""
        return {"neurons": jnp.ones_like(self.sigma)}

    def objects(self, t) -> Objects:
        """The matrix and the initial state."""
        del t
        J = Matrix("neurons", "neurons", self.sigma, trained=True, symmetric=True)
        return {"J0": J, "x0": Constant("neurons", self.x0_variance * jnp.eye(1))}

    def rates(self) -> Float[Array, " t"]:
        r"""$-\kappa\, dt$ at every step."""
        return jnp.broadcast_to(-self.kappa * self.dt, (self.num_steps,))

    def transformation(self) -> optax.GradientTransformation:
        """Spikes add up and fade; what was there before them does not."""

        def init(params):
            return optax.tree.zeros_like(params)

        def update(gradients, spikes, params=None):
            del params
            fade = jnp.exp(-self.decay * self.dt)
            new = optax.tree.scale(fade, optax.tree.sub(spikes, gradients))
            return optax.tree.sub(new, spikes), new

        return optax.GradientTransformation(init, update)

    def program(self, ops, t) -> None:
        """One Euler step."""
        J = ops["J0"]
        x = ops.recall("x", "neurons", 1) + ops["x0"] * jnp.where(t == 0, 1.0, 0.0)
        phi = x
        if self.activation != "identity":
            phi = ops.elementwise(activation_function(self.activation), x)
        push = J @ phi
        J.append(phi, phi)
        ops.remember("x", x * (1 - self.mu * self.dt) + push * self.dt)
        ops.observe("activity", ops.inner(phi, phi)[0, 0])

    def rounded(self, size: int) -> tuple["AntiHebbian", dict[str, int]]:
        """The model itself, and the size of a network with N neurons."""
        return self, {"neurons": size}
