"""Spikes with known answers, and the checks that several files use."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from oracles import deep_linear_kernels

from spectrax.seam import CoupledSpikes, SymmetricSpikes, TrainedWeights
from spectrax.spectrum import complex_excess

CASES = json.loads((pathlib.Path(__file__).parents[1] / "data" / "cases.json").read_text())
COUPLED = CASES["coupled_spikes"]
TRAININGS = CASES["deep_linear"]
PARAMETERS = ("alpha", "nu", "eta", "gamma0", "sigma", "parameterization", "data")


def spikes_of(case) -> CoupledSpikes:
    names = ("Ce", "Cf", "Re", "Rf", "K", "aspect", "sigma")
    return CoupledSpikes(**{name: jnp.asarray(case[name], float) for name in names})


def one_spike(size, aspect, sigma=1.0) -> CoupledSpikes:
    """A classical spike: fields that know nothing of the matrix."""
    one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
    return CoupledSpikes(one, one, none, none, size * one, *scalars(aspect, sigma))


def own_image(size, aspect=3.0) -> CoupledSpikes:
    """The spike f = W0 e, K = size: its strength is aspect * (2 size + size^2)."""
    one, none = jnp.ones((1, 1)), jnp.zeros((1, 1))
    return CoupledSpikes(one, one, none, one, size * one, *scalars(aspect, 1.0))


def scalars(*numbers):
    """Arrays of the default type; weakly typed ones would be compiled for anew."""
    return [jnp.asarray(number, float) for number in numbers]


def padded(spikes, size) -> CoupledSpikes:
    """The same spikes among more fields, which are zero: one shape, one compilation."""
    return jax.tree.map(lambda x: jnp.pad(x, (0, size - len(x))) if x.ndim else x, spikes)


def weights_of(kernels, layer) -> TrainedWeights:
    return TrainedWeights(**{k: jnp.asarray(v, float) for k, v in kernels.layer(layer).items()})


@functools.cache
def case_kernels(index):
    case = TRAININGS[index]
    return deep_linear_kernels(
        case["depth"], case["num_steps"], **{name: case[name] for name in PARAMETERS}
    )


def prefix(weights, step) -> CoupledSpikes:
    """The weight after `step` updates, cut to the fields that exist."""
    spikes, n = weights.at(step), step * weights.each_step[0]
    return jax.tree.map(lambda x: x[:n, :n] if x.ndim else x, spikes)


def transfer_oracle(Ce, Cf, Re, Rf, K, aspect, sigma):
    """The product of theory 1.2, multiplied out in NumPy."""
    (p, q), s2 = K.shape, sigma**2
    factors = (
        np.block([[np.eye(p), K], [np.zeros((q, p)), np.eye(q)]]),
        np.block([[s2 * Re.T, np.zeros((p, p))], [Ce, s2 * Re]]),
        np.block([[np.eye(q), K.T], [np.zeros((p, q)), np.eye(p)]]),
        np.block([[s2 * Rf.T, np.zeros((q, q))], [Cf, s2 * Rf]]),
    )
    return aspect * np.linalg.multi_dot(factors)


def exact_strengths(weights, step, count=1):
    """Leading real parts after `step` updates from all spikes made, in NumPy."""
    n = step * weights.each_step[0]
    cut = (np.asarray(x)[:n, :n] for x in (weights.Ce, weights.Cf, weights.Re, weights.Rf))
    a, *c = np.asarray(weights.coordinates)[step, : step + 1]
    Ce, Cf, Re, Rf = cut
    K = np.diag(np.repeat(c, weights.each_step[0]))
    aspect, sigma = float(weights.aspect), float(weights.sigma)
    matrix = transfer_oracle(Ce, Cf, Re / a, Rf / a, K, aspect, a * sigma)
    return np.sort(np.linalg.eigvals(matrix).real)[::-1][:count]


@functools.cache
def training(depth=2, num_steps=12, layer=1, **parameters) -> TrainedWeights:
    defaults = {"alpha": 4.0, "nu": 2.0, "eta": 0.03, "gamma0": 4.0}
    return weights_of(deep_linear_kernels(depth, num_steps, **(defaults | parameters)), layer)


def moved(build, parameter, value, step):
    """build at parameter = value - step and + step, and its derivative between them."""
    low, high = build(**{parameter: value - step}), build(**{parameter: value + step})
    return low, high, jax.tree.map(lambda a, b: (b - a) / (2 * step), low, high)


def assert_physical(spikes):
    """No complex strength lies beyond the threshold (theory 1.2)."""
    excess = complex_excess(spikes)
    assert excess <= 0, f"A complex strength exceeds the critical one by {excess}."


def assert_derivatives(f, *points, rtol=1e-5, step=1e-5):
    """Forward mode agrees with central differences, reverse mode with forward mode.

    Args:
        f: function of one pytree.
        points: pairs (x, direction).
        rtol: tolerance of the forward mode.
        step: half width of the central differences, in units of direction.
    """

    @jax.jit
    def everything(x, direction):  # one compilation
        value, forward = jax.jvp(f, (x,), (direction,))
        cotangent = jnp.cos(jnp.arange(value.size)).reshape(value.shape)
        gradient = jax.vjp(f, x)[1](cotangent)[0]
        return value, forward, jnp.vdot(cotangent, forward), dot(gradient, direction)

    for x, direction in points:
        low, high = (
            everything(jax.tree.map(lambda a, d, h=h: a + h * d, x, direction), direction)[0]
            for h in (-step, step)
        )
        _, forward, one, other = everything(x, direction)
        difference = (high - low) / (2 * step)
        scale = np.max(np.abs(difference)) + 1e-3
        np.testing.assert_allclose(forward, difference, rtol=rtol, atol=rtol * scale)
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def dot(gradient, direction):
    """Sum of products of two pytrees."""
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction)))


def random_direction(tree, seed=0):
    """A random direction that keeps correlation matrices symmetric."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        noise = 0.3 * rng.normal(size=leaf.shape)
        return jnp.asarray(noise + noise.T if noise.ndim == 2 else noise)

    return jax.tree.map(draw, tree)


def wigner(N, rng):
    """A symmetric matrix with off-diagonal variance 1/N."""
    J = rng.normal(size=(N, N)) / np.sqrt(2 * N)
    return J + J.T


def tanh_fields(J, rng):
    """Three fields that feed on the matrix: x_0 noise, x_{k+1} = y_k / 2 + tanh(J x_k)."""
    x = [rng.normal(size=len(J))]
    for _ in range(2):
        x.append(rng.normal(size=len(J)) / 2 + np.tanh(J @ x[-1]))
    return np.stack(x)


def tanh_symmetric():
    """Spikes of `tanh_fields`, by quadrature, and their coupling."""
    K = np.array([[2.5, 0.4, 0.0], [0.4, -1.4, 0.5], [0.0, 0.5, -2.2]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    # eta_0 = J x_0 has variance C_00 = 1; eta_1 = J x_1 = noise of variance C_11 + R_10 x_0
    c1 = weights @ np.tanh(nodes) ** 2
    r1 = weights @ (1 - np.tanh(nodes) ** 2)
    C11 = 0.25 + c1
    # J x_1 = u + r1 x_0: u independent of x_0 and of eta_0 (Cov = <x_0 x_1> = 0)
    total = np.sqrt(C11 + r1**2)
    slope = weights @ (1 - np.tanh(total * nodes) ** 2)
    C = np.array([[1, 0, slope * r1], [0, C11, 0], [slope * r1, 0, 0.25]])
    C[2, 2] += weights @ np.tanh(total * nodes) ** 2
    R = np.array([[0, 0, 0], [r1, 0, 0], [0, slope, 0]])
    return SymmetricSpikes(C, R, K, 1.0), K


def sampled(K, M, seed, aspect=2 / 3):
    """One matrix of the reference cases: e₁ ~ N, f₁ = W₀e₁, e₂ = e₁ + W₀ᵀf₁, f₂ = W₀e₂."""
    rng = np.random.default_rng(seed)
    N = round(aspect * M)
    W = rng.normal(size=(N, M)) / np.sqrt(M)
    e1 = rng.normal(size=M)
    e1 *= np.sqrt(M) / np.linalg.norm(e1)
    f1 = W @ e1
    e2 = e1 + W.T @ f1
    e, f = np.stack([e1, e2]), np.stack([f1, W @ e2])
    return W + f.T @ K @ e / M, e, f


def quadrature(law, function, nodes=2000):
    """Integral over the bulk; the cosine substitution removes the square roots at the edges."""
    lower, upper = (float(edge) for edge in law.edges())
    angle = (np.arange(nodes) + 0.5) * np.pi / nodes
    x = (lower + upper) / 2 + (upper - lower) / 2 * np.cos(angle)
    weight = np.pi / nodes * (upper - lower) / 2 * np.sin(angle)
    return np.sum(weight * np.asarray(law.density(x)) * function(x))


def laplace(function, p, end, panels=40):
    """Integral of exp(-p tau) function(tau) from 0 to end by Gauss-Legendre panels."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(0, end, panels + 1)
    half = np.diff(edges)[:, None] / 2
    times = (edges[:-1, None] + half * (1 + nodes)).ravel()
    values = np.asarray(function(jnp.asarray(times)))
    return np.tensordot((half * weights).ravel() * np.exp(-p * times), values, 1)
