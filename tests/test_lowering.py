"""Spectra and transfer, with their gradients, lower for CPUs, GPUs and TPUs."""

import jax
import jax.numpy as jnp
import pytest

import spectrax as sx
from spectrax.seam import CoupledSpikes, SymmetricSpikes, TrainedWeights
from spectrax.spectrum.spikes import inertia_margin, inertia_outliers
from spectrax.spectrum.spikes.transfer_matrix import transpose

PLATFORMS = ("cpu", "cuda", "tpu")
T = 3


def kernels(size):
    grid = jnp.arange(1.0, size + 1)
    C = jnp.minimum(grid[:, None], grid)  # of a random walk
    return C, C, *2 * (jnp.tril(jnp.ones((size, size)), -1),)


def spikes(aspect):
    return CoupledSpikes(*kernels(2), jnp.eye(2), aspect, 1.0)


def symmetric(size):
    C, _, R, _ = kernels(2)
    return SymmetricSpikes(C, R, size * jnp.eye(2), 1.0)


def weights(rate, num_steps=T):
    made = jnp.tril(jnp.ones((num_steps + 1, num_steps)), -1)
    coordinates = jnp.concatenate([jnp.ones((num_steps + 1, 1)), rate * made], axis=1)
    return TrainedWeights(*kernels(num_steps), coordinates, jnp.ones(()), jnp.ones(()))


def solution(gamma0):
    return sx.solve(model(gamma0), throw=False)


def model(gamma0):
    return sx.DeepLinear(1, T, alpha=4.0, nu=2.0, eta=0.1, gamma0=gamma0)


def generator(x):
    return sx.probe_generator(spikes(x), sign=1, num_nodes=4)


def product(x):
    return sx.product_law(x, 1.0)


# Each is a function of one number, which tells what it is made of.
EVERYWHERE = {
    "outliers above": lambda x: sx.outliers(spikes(x), 2).location,
    "outliers below": lambda x: sx.outliers(spikes(x), 2, side="below").location,
    "outliers, symmetric": lambda x: sx.outliers(symmetric(x)).location,
    "margin": lambda x: sx.margin(spikes(x)),
    "margin, symmetric": lambda x: sx.margin(symmetric(x)),
    "inertia_margin": lambda x: inertia_margin(spikes(x)),
    "inertia_outliers": lambda x: inertia_outliers(spikes(x)).location,
    "critical_strength": lambda x: sx.critical_strength(spikes(x)),
    "location": lambda x: sx.location(2.0, x),
    "transfer_matrix": lambda x: sx.transfer_matrix(spikes(x)),
    "transpose": lambda x: sx.transfer_matrix(transpose(spikes(x))),
    "resolvent_overlaps": lambda x: sx.resolvent_overlaps(spikes(x), -1.0),
    "strength_path": lambda x: sx.strength_path(weights(x), 2),
    "outlier_path": lambda x: sx.outlier_path(weights(x)).location,
    "margin_path": lambda x: sx.margin_path(weights(x)),
    "escape_time_of": lambda x: sx.escape_time_of(weights(x)),
    "escape_time of a long training": lambda x: sx.escape_time_of(weights(x, 33)),
    "escape_time": lambda x: sx.escape_time(solution(x), 0),
    "MarchenkoPastur.density": lambda x: sx.MarchenkoPastur(x).density(1.0),
    "MarchenkoPastur.stieltjes": lambda x: sx.MarchenkoPastur(x).stieltjes(-1.0),
    "Semicircle.density": lambda x: sx.Semicircle(x).density(1.0),
    "gauss_nodes": lambda x: sx.gauss_nodes(sx.MarchenkoPastur(x), 4)[0],
    "trace_response": lambda x: sx.trace_response(sx.MarchenkoPastur(x), 2.0, num_nodes=4),
    "projected_probe's generator": lambda x: generator(x).as_matrix(),
    "compress": lambda x: sx.compress(jax.lax.stop_gradient(weights(x))).Re,
    "product_law": lambda x: product(x).density(1.0),
    "population_law": lambda x: sx.population_law([1.0, 2.0], [0.5, 0.5], x).density(1.0),
    "dyson": lambda x: sx.dyson(product(x), 1.0 + 1.0j).stieltjes,
    "edges of a law": lambda x: product(x).edges()[1],
    "ntk_law": lambda x: sx.ntk_law(solution(x), 1).density(1.0),
    "stability": lambda x: sx.stability(solution(x), num=4).sharpness,
    "max_stable_lr": lambda x: sx.max_stable_lr(model(x), num=4),
    "optimal_lr": lambda x: sx.optimal_lr(model(x), nodes=3),
    "ntk_top": lambda x: sx.ntk_top(solution(x), 1),
    "krylov": lambda x: sx.krylov(solution(x), 0, 2, num=3)[0],
    "ritz_values": lambda x: sx.ritz_values(solution(x), 0, 2, num=3),
}
# What needs the eigenvalues of a nonsymmetric matrix, where TPUs have no solver.
NOT_ON_TPU = {
    "strengths": lambda x: sx.strengths(spikes(x)),  # also complex ones, below the threshold
    "complex_excess": lambda x: sx.complex_excess(spikes(x)),
    "overlaps": lambda x: sx.overlaps(spikes(x)),  # projectors on whole eigenspaces
}
# Solvers of other libraries that check their answers on the host.
CALL_THE_HOST = {
    "determinant_outliers": lambda x: sx.determinant_outliers(spikes(x), 1, 8).location,
    "projected_probe": lambda x: sx.projected_probe(spikes(x), jnp.ones(1)).values,
}


# Longer than two seconds: several trainings or the solvers of densities.
SLOW = {
    *("escape_time", "escape_time of a long training", "krylov", "ritz_values", "gauss_nodes"),
    *("product_law", "population_law", "dyson", "edges of a law", "ntk_law", "projected_probe"),
    *("stability", "max_stable_lr", "optimal_lr", "ntk_top"),
}


def each(table):
    return [pytest.param(x, marks=pytest.mark.slow if x in SLOW else ()) for x in table]


def lower(function, platforms):
    traced = jax.jit(function).trace(jnp.asarray(0.5))
    for platform in platforms:
        traced.lower(lowering_platforms=(platform,))


def gradient(function):
    return jax.grad(lambda x: jnp.sum(jnp.real(function(x))))


@pytest.mark.parametrize("name", each(EVERYWHERE))
def test_function_and_gradient_lower_everywhere(name):
    for function in (EVERYWHERE[name], gradient(EVERYWHERE[name])):
        lower(function, PLATFORMS)


@pytest.mark.parametrize("name", each(NOT_ON_TPU))
def test_nonsymmetric_eigenproblems_lower_except_for_tpus(name):
    for function in (NOT_ON_TPU[name], gradient(NOT_ON_TPU[name])):
        lower(function, ("cpu", "cuda"))
    with pytest.raises(NotImplementedError, match="'eig' not found for platform tpu"):
        lower(NOT_ON_TPU[name], ("tpu",))


@pytest.mark.parametrize("name", each(CALL_THE_HOST))
def test_calls_of_the_host_lower_for_the_platform_of_the_process(name):
    for function in (CALL_THE_HOST[name], gradient(CALL_THE_HOST[name])):
        lower(function, ("cpu",))
