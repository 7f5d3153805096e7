r"""Weights after one or two steps of training with as many outputs as width: the bulk moves."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from spectrax import check
from spectrax.parameterization import Parameterization, mup
from spectrax.spectrum.expressions.expression import Spaces
from spectrax.spectrum.expressions.pencil import Pencil
from spectrax.spectrum.laws.self_consistent import AbstractDysonLaw


class OneStepOutputs(AbstractDysonLaw):
    r"""The law of $W^\top W$ for $W = W_0 + \kappa V^\top\Theta$, in two equations.

    $$S = \frac1{z - \sigma^2\nu R - \omega\kappa^2R/(1-\kappa^2RS)}, \qquad
      R = \frac1{1 - \sigma^2S - (\omega/\nu)\kappa^2S/(1-\kappa^2RS)}$$

    Args:
        nu: width over input dimension.
        omega: number of outputs over input dimension.
        kappa: size of the step.
        sigma: standard deviation of the initial entries.
        scale: factor of all eigenvalues.

    Source: theory page, section 5.1.
    """

    nu: Float[Array, ""]
    omega: Float[Array, ""]
    kappa: Float[Array, ""]
    sigma: Float[Array, ""]
    scale: Float[Array, ""]
    positive: bool = eqx.field(static=True, default=True)
    size: int = eqx.field(static=True, default=2)

    def update(self, g: Complex[Array, " m"], z: Complex[Array, ""]) -> Complex[Array, " m"]:
        """The two equations."""
        S, R = g
        k2, s2 = self.kappa**2, self.sigma**2
        loop = k2 / (1 - k2 * R * S)
        return jnp.stack(
            [
                1 / (z - s2 * self.nu * R - self.omega * loop * R),
                1 / (1 - s2 * S - self.omega / self.nu * loop * S),
            ]
        )

    def linearised(self) -> Callable:
        """By differentiation: there is nothing to factorise."""

        def both(g, z):
            slope = jax.jacfwd(self.update, holomorphic=True)(g, z)
            return self.update(g, z), jnp.eye(2) - slope

        return both

    def transform(self, g: Complex[Array, " m"]) -> Complex[Array, ""]:
        """The first of the two."""
        return g[0]

    def bound(self) -> Float[Array, ""]:
        """Square of the sum of the norms."""
        initial = self.sigma * (1 + jnp.sqrt(self.nu))
        step = (1 + jnp.sqrt(self.omega / self.nu)) * (1 + jnp.sqrt(self.omega))
        return (initial + jnp.abs(self.kappa) * step) ** 2

    def sample(self, size: int, *, key: PRNGKeyArray) -> Float[Array, "rows cols"]:
        """One finite W.

        Args:
            size: input dimension D; width and outputs are rounded.
            key: explicit PRNG key.

        Raises:
            ValueError: if size is not a positive integer.
        """
        D = check.integer("size", size, 1)
        N, C = (max(1, round(D * float(ratio))) for ratio in (self.nu, self.omega))
        of_initial, of_readout, of_teacher = jax.random.split(key, 3)
        W0 = self.sigma * jax.random.normal(of_initial, (N, D)) / D**0.5
        V = jax.random.normal(of_readout, (C, N)) / N**0.5
        Theta = jax.random.normal(of_teacher, (C, D)) / D**0.5
        return jnp.sqrt(self.scale) * (W0 + self.kappa * V.T @ Theta)


def one_step_outputs(
    nu: ArrayLike,
    omega: ArrayLike,
    kappa0: ArrayLike,
    sigma: ArrayLike = 1.0,
    parameterization: Parameterization = mup,
    *,
    gamma0: ArrayLike | None = None,
    samples: ArrayLike | None = None,
    steps: int = 1,
) -> AbstractDysonLaw:
    r"""The law of $W^\top W$ of a two-layer linear network with many outputs, early in training.

    One step of population gradient descent on white inputs, with the teacher $\Theta$ as the error:
    $W = W_0 + \kappa V^\top\Theta$, $\kappa = \eta\gamma = \kappa_0\nu^{a+b}$ for the exponents
    (a, b) of the parameterization.

    Args:
        nu: width over input dimension, N / D.
        omega: number of outputs over input dimension, C / D.
        kappa0: $\eta\gamma_0$.
        sigma: standard deviation of the initial entries of the first layer.
        parameterization: `mup`, `ntk`, or any other.
        gamma0: output multiplier; the network's own output is then part of the error,
            $E = \Theta - VW_0/\gamma$. None: it is subtracted at initialization.
        samples: number of samples over input dimension, P / D; None: infinitely many.
        steps: 1 or 2; two steps of both layers need gamma0.

    Returns:
        A law: in closed form with the defaults, else a `Pencil` (6 fields with gamma0, 8 with
        samples, 10 with both; 18 for two steps).

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> law = sx.one_step_outputs(1e4, 1.0, 1.0)
        >>> low, high = law.scaled(1e-4).edges()  # 1 + (1 -+ 1)^2 for infinite width
        >>> print(f"{low:.2f} {high:.2f}")
        1.00 5.00

    Source: theory page, sections 5.1 and 5.3.
    """
    nu, omega = check.positive("nu", nu), check.positive("omega", omega)
    sigma = check.nonnegative("sigma", sigma)
    if steps not in (1, 2):
        raise ValueError(f"Argument `steps` must be 1 or 2, got {steps}.")
    if steps == 2 and (gamma0 is None or samples is not None):
        raise ValueError("Argument `gamma0` must be given for two steps, and `samples` must not.")
    nu = check.scalar("nu", nu)
    a, b = parameterization.output_exponent, parameterization.lr_exponent
    kappa = check.scalar("kappa0", check.finite("kappa0", kappa0)) * nu ** (a + b)
    check.finite("kappa", kappa)  # as the exponents make it
    if gamma0 is None and samples is None:
        numbers = (check.scalar("omega", omega), kappa, check.scalar("sigma", sigma))
        return OneStepOutputs(nu, *numbers, jnp.ones(()))
    zeta = None if gamma0 is None else 1 / (check.positive("gamma0", gamma0) * nu**a)
    return _early(nu, omega, kappa, sigma, zeta, samples, steps)


def _early(nu, omega, kappa, sigma, zeta, samples, steps: int) -> Pencil:
    """The general law; zeta is one over the output multiplier, None without the own output."""
    spaces = {"D": 1.0, "N": nu, "C": omega}
    if samples is not None:
        spaces["P"] = check.positive("samples", samples)
    spaces = Spaces(**spaces)
    W0, V = spaces.gaussian("N", "D", sigma**2), spaces.gaussian("C", "N")
    Theta, v = spaces.gaussian("C", "D"), spaces.vector("D")
    x = v
    if samples is not None:  # the gradient sees X^T X / P instead of 1
        X = spaces.gaussian("P", "D")
        x = X.T @ (X @ v) / samples
    a0 = W0 @ v
    e0 = Theta @ x if zeta is None else Theta @ x - zeta * (V @ (W0 @ x))
    w1 = a0 + kappa * (V.T @ e0)
    if steps == 1:
        return Pencil.gram(v, w1)
    b1 = W0.T @ w1
    V1w1 = V @ w1 + kappa / nu * (Theta @ b1 - zeta * (V @ (W0 @ b1)))
    e1 = Theta @ v - zeta * V1w1
    k = Theta.T @ e1 - zeta * (W0.T @ (V.T @ e1))
    return Pencil.gram(v, w1 + kappa * (V.T @ e1) + kappa * kappa / nu * (W0 @ k))


def one_step_multilayer(
    depth: int,
    layer: int,
    nu: ArrayLike,
    omega: ArrayLike,
    kappa: ArrayLike,
    sigma: ArrayLike = 1.0,
) -> Pencil:
    r"""The law of $W^\top W$ of any layer of a deep linear network with many outputs, one step on.

    $$W^l + \kappa\,\big(VW^{L-1}\cdots W^{l+1}\big)^\top\Theta\,\big(W^{l-1}\cdots W^0\big)^\top$$

    Args:
        depth: number L of hidden layers, of equal width.
        layer: l, 0 … depth - 1.
        nu: width over input dimension.
        omega: number of outputs over input dimension.
        kappa: size of this layer's step: $\eta\gamma$ for the first, $\eta\gamma/\nu$ for others.
        sigma: standard deviation of the initial entries of the hidden layers.

    Returns:
        A `Pencil` of 2 depth + 2 fields.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> import spectrax as sx
        >>> sx.enable_x64()
        >>> law = sx.one_step_multilayer(3, 1, 1.5, 0.75, 0.8)
        >>> print(f"{law.stieltjes(-0.5).real:.6f}")
        -0.921320

    Source: theory page, section 5.2.
    """
    depth = check.integer("depth", depth, 1)
    layer = check.integer("layer", layer, 0, depth - 1)
    spaces = Spaces(D=1.0, N=nu, C=omega)
    variance = check.nonnegative("sigma", sigma) ** 2
    W = [spaces.gaussian("N", "N" if k else "D", variance) for k in range(depth)]
    V, Theta = spaces.gaussian("C", "N"), spaces.gaussian("C", "D")
    v = x = spaces.vector("N" if layer else "D")
    for k in reversed(range(layer)):
        x = W[k].T @ x
    x = V.T @ (Theta @ x)
    for k in reversed(range(layer + 1, depth)):
        x = W[k].T @ x
    return Pencil.gram(v, W[layer] @ v + check.array(check.finite("kappa", kappa)) * x)


def build_law(
    depth: int,
    layer: int,
    nu: ArrayLike,
    omega: ArrayLike,
    kappa0: ArrayLike,
    sigma: ArrayLike,
    parameterization: Parameterization,
    gamma0: ArrayLike | None,
    samples: ArrayLike | None,
    steps: int,
) -> AbstractDysonLaw:
    r"""The law of $W^\top W$ of a layer, of $W^\top W/\nu$ for the first, after one or two steps.

    Args:
        depth: number of hidden layers; with more than one only `steps` 1 and no gamma0 and samples.
        layer: the weight matrix, 0 … depth - 1.
        nu: width over input dimension.
        omega: number of outputs over input dimension.
        kappa0: $\eta\gamma_0$.
        sigma: standard deviation of the initial entries.
        parameterization: exponents of output scale and rate.
        gamma0: as in `one_step_outputs`.
        samples: as in `one_step_outputs`.
        steps: one or two.

    Returns:
        Of `one_step_outputs` or `one_step_multilayer`, the law.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Source: theory page, sections 5.1 and 5.2.
    """
    more = {"gamma0": gamma0, "samples": samples, "steps": steps}
    two_layers = one_step_outputs(nu, omega, kappa0, sigma, parameterization, **more)
    if depth == 1:
        return two_layers.scaled(1 / nu)
    power = parameterization.output_exponent + parameterization.lr_exponent - (layer > 0)
    law = one_step_multilayer(depth, layer, nu, omega, kappa0 * nu**power, sigma)
    return law if layer else law.scaled(1 / nu)


def wide_edge(
    omega: ArrayLike, kappa0: ArrayLike, sigma: ArrayLike = 1.0
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""Upper edge of $W^\top W/\nu$ in µP at infinite width, and its first correction.

    $$\lambda_+ = \sigma^2 + \kappa_0^2(1+\sqrt\omega)^2, \qquad
      \frac{\lambda_+(\nu)-\lambda_+}{\lambda_+} = \frac1\nu\Big[\sqrt\omega
        + \frac{\sigma^2}{\kappa_0^2(1+\sqrt\omega)}\Big] + O(\nu^{-2})$$

    Args:
        omega: number of outputs over input dimension.
        kappa0: $\eta\gamma_0$.
        sigma: standard deviation of the initial entries.

    Returns:
        The edge, and the bracket.

    Source: theory page, section 5.1.

    Examples:
        >>> [float(x) for x in wide_edge(1.0, 1.0)]
        [5.0, 1.5]
    """
    root = jnp.sqrt(jnp.asarray(omega, float))
    step = jnp.asarray(kappa0, float) ** 2 * (1 + root)
    return sigma**2 + step * (1 + root), root + sigma**2 / step
