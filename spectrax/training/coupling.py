"""Spikes that somebody couples to a random matrix: no training, only the law of the fields."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from spectrax import check
from spectrax.program.finite import Network
from spectrax.program.objects import Constant, Matrix, Objects
from spectrax.training.base import AbstractDMFT


class CoupledSpikeModel(AbstractDMFT):
    r"""A random matrix with spikes that are elementwise functions of what it returned before.

    $$W = W_0 + \frac1M \sum_{kl} f_k\, K_{kl}\, e_l^\top, \qquad
      e_k = H_k(\xi_0 \dots \xi_{k-1}, x), \quad f_k = G_k(\chi_0 \dots \chi_k, y),$$

    $\chi_k = W_0 e_k$, $\xi_k = W_0^\top f_k$, with $W_0$ of size $N \times M$, entries
    $\mathcal N(0, \sigma^2/M)$, and vectors x, y of independent standard normals.

    Args:
        num_spikes: how many pairs of fields.
        H: `H(k, xi, x)`, elementwise over the sites: `xi` has shape (num_spikes, sites), zero from
            row k on, `x` shape (num_noises, sites); returns (sites,). k may be traced.
        G: `G(k, chi, y)` likewise; `chi` is zero after row k.
        K: coupling, (num_spikes, num_spikes); identity by default.
        aspect: $\alpha_W = N/M$.
        sigma: standard deviation of the random part.
        num_noises: how many vectors x, and how many y.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import jax, jax.numpy as jnp, spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.CoupledSpikeModel(
        ...     1, H=lambda k, xi, x: x[0], G=lambda k, chi, y: jnp.tanh(3 * chi[0]), aspect=1.0
        ... )
        >>> solution = sx.solve(model, interpreter=sx.SampledLimit(4096, key=jax.random.key(0)))
        >>> print(f"{sx.outliers(sx.spikes(solution, 0, 1), 1).location[0]:.2f}")
        4.71

    Source: theory page, sections 1.1 and 1.2.
    """

    domains: ClassVar[dict[str, str]] = {"aspect": "positive", "sigma": "positive"}

    num_steps: int = eqx.field(static=True)
    H: Callable = eqx.field(static=True)
    G: Callable = eqx.field(static=True)
    K: Float[Array, "*batch q q"]
    aspect: Float[Array, "*batch"]
    sigma: Float[Array, "*batch"]
    num_noises: int = eqx.field(static=True)

    def __init__(
        self,
        num_spikes,
        *,
        H,
        G,
        K: ArrayLike | Sequence | None = None,
        aspect: ArrayLike,
        sigma: ArrayLike = 1.0,
        num_noises=1,
    ):
        self.num_steps = check.integer("num_spikes", num_spikes, 1)
        self.num_noises = check.integer("num_noises", num_noises, 1)
        for name, function in {"H": H, "G": G}.items():
            if not callable(function):
                raise ValueError(f"Argument `{name}` must be a function, got {function!r}.")
        self.H, self.G = H, G
        K = jnp.eye(self.num_steps) if K is None else K
        self.K = check.shaped("K", K, (self.num_steps, self.num_steps))
        numbers = check.hyperparameters(self.domains, aspect=aspect, sigma=sigma)
        self.aspect, self.sigma = numbers["aspect"], numbers["sigma"]

    def spaces(self) -> dict:
        """Dimensions over M."""
        return {"hidden0": jnp.ones_like(self.aspect), "hidden1": self.aspect}

    @property
    def layers(self) -> tuple[str, ...]:
        """The one matrix."""
        return ("W0",)

    def objects(self, t) -> Objects:
        """The matrix and the vectors x and y."""
        del t
        eye = jnp.eye(self.num_noises)
        return {
            "W0": Matrix("hidden1", "hidden0", self.sigma),
            "x": Constant("hidden0", eye),
            "y": Constant("hidden1", eye),
        }

    def rates(self) -> Float[Array, " t"]:
        """Nothing is trained."""
        return jnp.zeros(self.num_steps)

    @property
    def coupling(self) -> Float[Array, "*batch q q"]:
        """The coupling K, which no optimizer makes."""
        return self.K

    def program(self, ops, t) -> None:
        """Fields of the spike t."""
        A, x, y = ops["W0"], ops["x"], ops["y"]
        xi = ops.history("xi", "hidden0", self.num_steps)
        chi = ops.history("chi", "hidden1", self.num_steps)

        e = ops.elementwise(lambda xi, x: self.H(t, xi, x)[None], xi, x, size=1)
        now = A @ e
        f = ops.elementwise(
            lambda chi, now, y: self.G(t, chi.at[t].set(now[0]), y)[None], chi, now, y, size=1
        )
        back = A.T @ f
        A.append(f, e)
        ops.remember("chi", now)
        ops.remember("xi", back)

    def matrix(self, network: Network, name: str) -> Float[Array, "rows cols"]:
        """The random part and the spikes made so far."""
        W0 = network.store[name]
        e, f = (network.records[f"{name}.{side}"][:, 0] for side in ("forward", "backward"))
        return W0 + f.T @ self.K @ e / W0.shape[1]

    def rounded(self, size: int) -> tuple["CoupledSpikeModel", dict[str, int]]:
        """The model of a matrix with `size` columns, and its dimensions."""
        rows = round(size * float(self.aspect))
        if rows < 1:
            raise ValueError(f"Argument `size` is too small for aspect, got {size}.")
        model = eqx.tree_at(lambda m: m.aspect, self, jnp.asarray(rows / size))
        return model, {"hidden0": size, "hidden1": rows}
