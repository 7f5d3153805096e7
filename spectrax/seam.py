"""The objects in which training hands its weights to the spectral level."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from spectrax import _show, check
from spectrax._batches import over_batches

Numbers = ArrayLike | Sequence


class CoupledSpikes(eqx.Module):
    r"""A random matrix with spikes that remember it.

    $$W = W_0 + \frac1M \sum_{ij} f_i\, K_{ij}\, e_j^\top, \qquad
      W_0 \in \mathbb{R}^{N\times M},\ \mathrm{Var} = \sigma^2/M,$$

    where the fields $e_j$ and $f_i$ depend on $W_0$ only through $W_0 e_j$ and $W_0^\top f_i$.

    Args:
        Ce: correlations $\langle e_j e_{j'} \rangle$, shape (q, q).
        Cf: correlations $\langle f_i f_{i'} \rangle$, shape (p, p).
        Re: responses $\langle \partial e_j / \partial (W_0^\top f_i) \rangle$, shape (q, p).
        Rf: responses $\langle \partial f_i / \partial (W_0 e_j) \rangle$, shape (p, q).
        K: coupling of the spikes, shape (p, q).
        aspect: $\alpha_W = N/M$.
        sigma: standard deviation $\sigma$ of the random part.

    Source: theory page, section 1.1.
    """

    Ce: Float[Array, "q q"]
    Cf: Float[Array, "p p"]
    Re: Float[Array, "q p"]
    Rf: Float[Array, "p q"]
    K: Float[Array, "p q"]
    aspect: Float[Array, ""]
    sigma: Float[Array, ""]

    __repr__ = _show.table

    def __init__(
        self,
        Ce: Numbers,
        Cf: Numbers,
        Re: Numbers,
        Rf: Numbers,
        K: Numbers,
        aspect: ArrayLike,
        sigma: ArrayLike,
    ):
        self.Ce, self.Cf = check.number("Ce", Ce), check.number("Cf", Cf)
        self.Re, self.Rf = check.number("Re", Re), check.number("Rf", Rf)
        self.K = check.number("K", K)
        self.aspect = check.number("aspect", aspect)
        self.sigma = check.number("sigma", sigma)

    def __check_init__(self):
        p, q = jnp.shape(self.K)[-2:]
        for name, shape in {"Ce": (q, q), "Cf": (p, p), "Re": (q, p), "Rf": (p, q)}.items():
            found = jnp.shape(getattr(self, name))[-2:]
            if found != shape:
                raise ValueError(
                    f"Argument `{name}` must have shape {shape} for K of shape {(p, q)}, "
                    f"got {found}."
                )

    @property
    def batch_axes(self) -> int:
        """Leading axes of a batch."""
        return self.K.ndim - 2


class SymmetricSpikes(eqx.Module):
    r"""A symmetric random matrix with spikes that remember it.

    $$W = J + \frac1N \sum_{kl} x_k\, K_{kl}\, x_l^\top, \qquad
      J = J^\top \in \mathbb{R}^{N\times N},\ \mathrm{Var} = \sigma^2/N,$$

    where the fields $x_k$ depend on J only through $J x_l$. The classical spiked Wigner matrix with
    a unit vector of strength $\theta$ is `SymmetricSpikes([[1]], [[0]], [[theta]])`.

    Args:
        C: correlations $\langle x_k x_l \rangle$, shape (q, q).
        R: responses $\langle \partial x_k / \partial (J x_l) \rangle$, shape (q, q).
        K: coupling of the spikes, symmetric, shape (q, q).
        sigma: standard deviation $\sigma$ of the random part.

    Source: theory page, section 2.2.
    """

    C: Float[Array, "q q"]
    R: Float[Array, "q q"]
    K: Float[Array, "q q"]
    sigma: Float[Array, ""]

    __repr__ = _show.table

    def __init__(self, C: Numbers, R: Numbers, K: Numbers, sigma: ArrayLike = 1.0):
        self.C, self.R = check.number("C", C), check.number("R", R)
        self.K = check.number("K", K)
        self.sigma = check.number("sigma", sigma)

    def __check_init__(self):
        shape = jnp.shape(self.K)
        for name in ("C", "R"):
            found = jnp.shape(getattr(self, name))
            if found != shape or shape[-1] != shape[-2]:
                raise ValueError(
                    f"Argument `{name}` must be square like K of shape {shape}, got {found}."
                )

    @property
    def batch_axes(self) -> int:
        """Leading axes of a batch."""
        return self.K.ndim - 2


class TrainedWeights(eqx.Module):
    r"""One weight matrix at every step of its training.

    $$W(t) = a(t)\, A + \frac1{\mathrm{cols}} \sum_{s<t} c_s(t)
      \sum_{ij} M_{s,ij}\; g_{si} h_{sj}^\top$$

    with $A$ the initial matrix, forward fields $h_{sj}$ and backward fields $g_{si}$ of each step.

    Args:
        Ce: correlations of the forward fields, (q, q), index (time, class or sample), time first.
        Cf: correlations of the backward fields, (p, p).
        Re, Rf: responses of $h$ to the noise of $A^\top g$, (q, p), and of $g$ to the noise of
            $A h$, (p, q).
        coordinates: row t holds $(a(t), c_0(t), \dots)$, shape (num_steps + 1, num_steps + 1).
        aspect: rows / columns of the matrix.
        sigma: standard deviation of its initial entries.
        coupling: the numbers M, such as the errors of the samples, (num_steps, p / num_steps,
            q / num_steps); None = the fields of each step in pairs.

    Source: theory page, sections P and 3.5.
    """

    Ce: Float[Array, "q q"]
    Cf: Float[Array, "p p"]
    Re: Float[Array, "q p"]
    Rf: Float[Array, "p q"]
    coordinates: Float[Array, "t1 t1"]
    aspect: Float[Array, ""] = eqx.field(converter=check.array)
    sigma: Float[Array, ""] = eqx.field(converter=check.array)
    coupling: Float[Array, "t f e"] | None = None

    __repr__ = _show.table

    def __check_init__(self):
        if self.coupling is None and self.Ce.shape != self.Cf.shape:
            raise ValueError(
                f"Argument `coupling` must be given for {self.Ce.shape[-1]} forward and "
                f"{self.Cf.shape[-1]} backward fields, got None."
            )

    @property
    def num_steps(self) -> int:
        """Number of updates in the training."""
        return self.coordinates.shape[-1] - 1

    @property
    def batch_axes(self) -> int:
        """Leading axes of a batch."""
        return self.coordinates.ndim - 2

    @property
    def time_unit(self) -> float:
        """Time of one step."""
        return 1.0

    @property
    def each_step(self) -> tuple[int, int]:
        """Numbers of backward and of forward fields of each step."""
        return self.Cf.shape[-1] // self.num_steps, self.Ce.shape[-1] // self.num_steps

    @property
    def numbers(self) -> Float[Array, "t f e"]:
        """The numbers M of the coupling."""
        if self.coupling is not None:
            return self.coupling
        return jnp.broadcast_to(jnp.eye(*self.each_step), (self.num_steps, *self.each_step))

    @over_batches
    def at(self, step: int | Int[Array, ""]) -> CoupledSpikes:
        """The weight after `step` updates; fields of later steps are masked, shapes stay fixed."""
        made = jnp.arange(self.num_steps) < step
        f, e = (jnp.repeat(made, width) for width in self.each_step)  # (p,), (q,)
        Ce, Cf = jnp.where(e[:, None] & e, self.Ce, 0.0), jnp.where(f[:, None] & f, self.Cf, 0.0)
        Re, Rf = jnp.where(e[:, None] & f, self.Re, 0.0), jnp.where(f[:, None] & e, self.Rf, 0.0)
        theta = self.coordinates[step]
        a, c = theta[0], jnp.where(made, theta[1:], 0.0)
        K = block_diagonal(c[:, None, None] * self.numbers)
        sigma, (Re, Rf) = a * self.sigma, responses_to(a, Re, Rf)
        return CoupledSpikes(Ce, Cf, Re, Rf, K, self.aspect, sigma)


class CoupledWeights(eqx.Module):
    r"""One random matrix while it gets its spikes, one after the other, with a given coupling.

    $$W(t) = W_0 + \frac1{\mathrm{cols}} \sum_{k,l<t} f_k\, K_{kl}\, e_l^\top$$

    Args:
        Ce, Cf, Re, Rf, K, aspect, sigma: of all spikes, as in `CoupledSpikes`, p = q.

    Source: theory page, section 1.1.
    """

    Ce: Float[Array, "n n"]
    Cf: Float[Array, "n n"]
    Re: Float[Array, "n n"]
    Rf: Float[Array, "n n"]
    K: Float[Array, "n n"]
    aspect: Float[Array, ""] = eqx.field(converter=check.array)
    sigma: Float[Array, ""] = eqx.field(converter=check.array)

    __repr__ = _show.table

    @property
    def num_steps(self) -> int:
        """Number of pairs of fields."""
        return self.K.shape[-1]

    @property
    def batch_axes(self) -> int:
        """Leading axes of a batch."""
        return self.K.ndim - 2

    @property
    def time_unit(self) -> float:
        """Time of one step."""
        return 1.0

    @over_batches
    def at(self, step: int | Int[Array, ""]) -> CoupledSpikes:
        """The matrix with its first `step` spikes; later fields are masked, shapes stay fixed."""
        made = jnp.arange(self.num_steps) < step
        kernels = (self.Ce, self.Cf, self.Re, self.Rf, self.K)
        kernels = (jnp.where(made[:, None] & made[None, :], x, 0.0) for x in kernels)
        return CoupledSpikes(*kernels, self.aspect, self.sigma)


class SymmetricWeights(eqx.Module):
    r"""One symmetric matrix at every step.

    $$W(t) = a(t) J + \frac1N \sum_{s<t} c_s(t)\, x_s x_s^\top$$

    Args:
        C: correlations of the fields x, (n, n).
        R: their responses to the noise of $J x$, (n, n).
        coordinates: row t holds $(a(t), c_0(t), \dots)$, shape (num_steps + 1, num_steps + 1).
        sigma: standard deviation of the initial entries.
        time_unit: time of one step.

    Source: theory page, section 2.2.
    """

    C: Float[Array, "n n"]
    R: Float[Array, "n n"]
    coordinates: Float[Array, "t1 t1"]
    sigma: Float[Array, ""] = eqx.field(converter=check.array)
    time_unit: Float[Array, ""] = eqx.field(converter=check.array, default=1.0)

    __repr__ = _show.table

    @property
    def num_steps(self) -> int:
        """Number of updates."""
        return self.coordinates.shape[-1] - 1

    @property
    def batch_axes(self) -> int:
        """Leading axes of a batch."""
        return self.coordinates.ndim - 2

    @over_batches
    def at(self, step: int | Int[Array, ""]) -> SymmetricSpikes:
        """The matrix after `step` updates; fields of later steps are masked."""
        made = jnp.arange(self.num_steps) < step
        C, R = (jnp.where(made[:, None] & made[None, :], x, 0.0) for x in (self.C, self.R))
        theta = self.coordinates[step]
        sigma, (R,) = theta[0] * self.sigma, responses_to(theta[0], R)
        return SymmetricSpikes(C, R, jnp.diag(jnp.where(made, theta[1:], 0.0)), sigma)


Weights = TrainedWeights | CoupledWeights | SymmetricWeights


def responses_to(a: Float[Array, ""], *responses: Float[Array, "..."]):
    r"""Responses to the noise of aA instead of A; zero for a = 0, where there is no noise."""
    inverse = jnp.where(a == 0, 0.0, 1 / jnp.where(a == 0, 1.0, a))
    return tuple(R * inverse for R in responses)


def block_diagonal(blocks: Float[Array, "t f e"]) -> Float[Array, "tf te"]:
    """The matrix with these blocks on its diagonal."""
    t, f, e = blocks.shape
    return jnp.einsum("sfe,su->sfue", blocks, jnp.eye(t)).reshape(t * f, t * e)
