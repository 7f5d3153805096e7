"""Many outputs: closed form and pencils, reference cases, wide limit, options against samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences
from spectrum.expressions.test_pencil import complex_of
from spectrum.helpers import CASES

import spectrax as sx
from spectrax.spectrum.expressions.many_outputs import OneStepOutputs
from spectrax.spectrum.expressions.pencil import Pencil
from spectrax.spectrum.laws.cumulative import cumulative

ONE = jnp.ones(())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES["one_step_outputs"])
def test_closed_form_is_the_pencil(case):
    numbers = [case[name] for name in ("nu", "omega", "kappa", "sigma")]
    law = sx.one_step_outputs(*numbers, sx.ntk)
    np.testing.assert_allclose(
        law.stieltjes(complex_of(case["z"])), complex_of(case["S"]), atol=1e-10
    )
    pencil = sx.one_step_outputs(*numbers, sx.ntk, gamma0=1e12)  # its own output is nothing
    assert isinstance(pencil, Pencil)
    z = jnp.array([1.0 + 0.3j, 6.0 + 0.1j, -2.0 + 0j])
    np.testing.assert_allclose(law.stieltjes(z), pencil.stieltjes(z), atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES["one_step_multilayer"])
def test_layers_of_deeper_networks(case):
    law = sx.one_step_multilayer(3, case["layer"], 1.5, 0.75, 0.8)
    assert len(law.spaces) == 8  # 2 L + 2 fields
    found = sx.dyson(law, complex_of(case["z"]))
    np.testing.assert_allclose(found.stieltjes, complex_of(case["S"]), atol=1e-10)


def two_steps(case):
    gamma = case["gamma"]
    numbers = case["nu"], case["omega"], case["eta"] * gamma, case["sigma"], sx.ntk
    return sx.one_step_outputs(*numbers, gamma0=gamma, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES["two_step_outputs"])
def test_two_steps(case):
    law = two_steps(case)
    assert len(law.spaces) == 18
    found = sx.dyson(law, complex_of(case["z"]))
    np.testing.assert_allclose(found.stieltjes, complex_of(case["S"]), atol=1e-10)


def trained(nu, omega, eta, gamma, sigma, steps, P, size, rng):
    """W^0 of a two-layer network after gradient steps on white inputs, in NumPy."""
    D, N, C = size, round(nu * size), round(omega * size)
    W = sigma * rng.normal(size=(N, D)) / np.sqrt(D)
    V, Theta = rng.normal(size=(C, N)) / np.sqrt(N), rng.normal(size=(C, D)) / np.sqrt(D)
    X = None if P is None else rng.normal(size=(round(P * D), D))
    for _ in range(steps):
        E = Theta - V @ W / gamma
        E = E if X is None else E @ (X.T @ X) / len(X)
        W, V = W + eta * gamma * V.T @ E, V + eta * gamma / nu * E @ W.T
    return W


@pytest.mark.parametrize(
    ("steps", "P"),
    [
        pytest.param(1, None, marks=pytest.mark.slow),
        (1, 3.0),
        pytest.param(2, None, marks=pytest.mark.slow),
    ],
    ids=["output", "samples", "two steps"],
)
def test_trained_networks_have_these_resolvents(steps, P):
    """Own output in the error, finite samples, two steps: within 4 standard errors."""
    nu, omega, eta, gamma = 1.5, 0.75, 0.3, 1.5
    law = sx.one_step_outputs(
        nu, omega, eta * gamma, 1.0, sx.ntk, gamma0=gamma, samples=P, steps=steps
    )
    z = np.array([4.0 + 1.0j, 1.0 + 0.5j, -1.0 + 0j])
    theory, errors = np.asarray(law.stieltjes(z)), []
    for size in (60, 240):
        runs = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            W = trained(nu, omega, eta, gamma, 1.0, steps, P, size, rng)
            values = np.linalg.svd(W, compute_uv=False) ** 2
            runs.append([np.mean(1 / (point - values)) for point in z])
        runs = np.array(runs)
        stderr = runs.std(0, ddof=1) / np.sqrt(len(runs))
        errors.append(np.median(stderr))
    assert errors[1] < 0.5 * errors[0] and (stderr < 0.01 * np.abs(theory)).all()
    away = np.abs(runs.mean(0) - theory)
    assert (away < 4 * stderr + 2 / 240**2).all()


def distances(law, sizes, seeds):
    """Mean Kolmogorov-Smirnov distance of sampled matrices, in NumPy after the sampling."""
    function, found = cumulative(law, 64), []
    for size in sizes:
        keys = jax.random.split(jax.random.key(size), seeds)
        values = [
            np.linalg.eigvalsh((W := np.asarray(law.sample(size, key=key))).T @ W) for key in keys
        ]
        found.append(np.mean([function.distance(x) for x in values]))
    return np.array(found)


@pytest.mark.nightly
@pytest.mark.parametrize("kappa0", [0.3, 1.2])
def test_sampled_spectra_approach_the_law_like_one_over_their_size(kappa0):
    """A quarter at four times the size, up to logarithms; 1/2 for independent eigenvalues."""
    found = distances(sx.one_step_outputs(2.0, 1.0, kappa0).scaled(0.5), (100, 400), 8)
    assert found[1] < 0.01
    assert 1 / 6 < found[1] / found[0] < 1 / 2.5


@pytest.mark.parametrize("law", [(2.0, 0.5, 0.7, 1.2), (0.5, 2.0, 1.0, 0.0)])
def test_small_matrices_come_from_the_closed_form(law):
    """Moments of 200 samples within 4 standard errors and a correction of order 1/D."""
    law = sx.one_step_outputs(*law).scaled(1.7)
    keys = jax.random.split(jax.random.key(0), 200)
    W = np.asarray(jax.vmap(lambda key: law.sample(20, key=key))(keys))
    values = W.transpose(0, 2, 1) @ W
    assert values.shape == (200, 20, 20)
    for power in (1, 2):
        moments = np.trace(np.linalg.matrix_power(values, power), axis1=1, axis2=2) / 20
        stderr, theory = moments.std(ddof=1) / 200**0.5, float(law.moment(power))
        assert stderr < 0.05 * theory
        assert abs(moments.mean() - theory) < 4 * stderr + (power - 1) * theory * 2 / 20


def test_samples_have_the_rounded_sizes_and_at_least_one_row():
    law = sx.one_step_outputs(0.3, 0.1, 1.0)
    for size, rows in ((1, 1), (9, 3)):
        assert law.sample(size, key=jax.random.key(0)).shape == (rows, size)


@pytest.mark.slow
@pytest.mark.parametrize("omega", [0.5, 1.0, 2.0])
def test_edge_corrections_fall_like_one_over_the_width(omega):
    edge, slope = sx.wide_edge(omega, 1.2, 0.9)
    law = sx.one_step_outputs(256.0, omega, 1.2, 0.9).scaled(1 / 256)
    np.testing.assert_allclose(256 * (law.edges()[1] / edge - 1), slope, rtol=0.02)


def test_edges_of_wide_networks_are_those_of_rows_with_one_covariance():
    """Given the teachers, rows are independent with covariance t = sigma^2 + kappa0^2 x.

    By Silverstein's equation the edge is the minimum over s of s (1 + <t / (s - t)> / nu), with x
    from the law of Marchenko and Pastur, here by quadrature over an angle.
    """
    nu, kappa0, sigma = 256.0, 1.2, 0.9
    angle = (np.arange(4000) + 0.5) * np.pi / 4000
    for omega in (0.5, 1.0, 2.0):
        x = 1 + omega + 2 * omega**0.5 * np.cos(angle)
        weights = np.append(2 * omega * np.sin(angle) ** 2 / x / 4000, max(1 - omega, 0.0))
        np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-9)
        t = sigma**2 + kappa0**2 * np.append(x, 0.0)
        edge, slope = sx.wide_edge(omega, kappa0, sigma)
        s = float(edge) * (1 + np.logspace(-7, -2, 200))[:, None]
        finite = (s[:, 0] * (1 + (t / (s - t)) @ weights / nu)).min()
        np.testing.assert_allclose(nu * (finite / edge - 1), slope, rtol=0.02)


@pytest.mark.slow
def test_the_bulk_of_wide_networks_moves_in_mup_only():
    for parameterization, moved in ((sx.mup, True), (sx.ntk, False)):
        law = sx.one_step_outputs(1e4, 1.0, 1.0, 1.0, parameterization).scaled(1e-4)
        still = sx.MarchenkoPastur(1e4).scaled(1e-4).edges()[1]
        assert (law.edges()[1] > 4 * still) == moved


def test_fields_of_the_options():
    """As many as the documentation says."""
    for options, fields in (
        ({"gamma0": 1.0}, 6),
        ({"samples": 2.0}, 8),
        ({"gamma0": 1.0, "samples": 2.0}, 10),
        ({"gamma0": 1.0, "steps": 2}, 18),
    ):
        assert len(sx.one_step_outputs(1.5, 0.75, 0.4, **options).spaces) == fields


def untrained(num, seed):
    """Laws of no step with nu near 1: Marchenko-Pastur, ratio, variance and squares of edges."""
    rng = np.random.default_rng(seed)
    nu = 1 + rng.choice([-1, 1], num) * 10 ** rng.uniform(-3.5, -0.2, num)
    variance = 10 ** rng.uniform(-4, 4, num)
    nu[:2], variance[:2] = (0.99, 0.999), 1.0
    return nu, variance, variance * (1 - nu**0.5) ** 2, variance * (1 + nu**0.5) ** 2


def test_next_to_the_atom_the_resolvent_is_exact():
    """In the gap between the atom at zero and the bulk, and on both; no step: Marchenko-Pastur."""

    def observed(nu, variance, x):
        law = OneStepOutputs(nu, jnp.ones(()), 0 * nu, jnp.sqrt(variance), jnp.ones(()))
        return law.stieltjes(x), law.atom()

    nu, variance, low, high = untrained(10, seed=0)
    share = np.random.default_rng(1).uniform(size=(100, 1))
    x = np.exp(np.log(low) - 4 + share * (np.log(high / low) + 4.5)).T
    S, atom = jax.jit(lambda *args: jax.lax.map(lambda a: observed(*a), args))(nu, variance, x)
    a, b, v, n = (e[:, None] for e in (low, high, variance, nu))
    root = np.sqrt(np.abs((x - a) * (x - b)))
    root = np.where(x > b, root, np.where(x < a, -root, 1j * root))
    np.testing.assert_allclose(S, (x + v * (1 - n) - root) / (2 * v * x), rtol=1e-8)
    np.testing.assert_allclose(atom, np.maximum(0.0, 1 - nu), atol=1e-8)


@pytest.mark.slow
def test_lower_edges_near_the_square_case():
    """Not zero: as close as 2.5e-7 of the bulk."""
    nu, variance, low, high = untrained(10, seed=2)

    def edges(args):
        nu, variance = args
        law = OneStepOutputs(nu, jnp.ones(()), 0 * nu, jnp.sqrt(variance), jnp.ones(()))
        return jnp.stack(law.edges())

    found = jax.jit(lambda *args: jax.lax.map(edges, args))(nu, variance)
    np.testing.assert_allclose(found, np.stack([low, high], axis=1), rtol=1e-7)


@pytest.mark.slow
def test_without_initial_weights_it_is_a_product_of_two():
    law = sx.one_step_outputs(1.0, 1.0, 1.0, 0.0)
    np.testing.assert_allclose(law.edges()[1], 27 / 4, rtol=1e-9)


@pytest.mark.slow
def test_derivatives_of_the_closed_form():
    def observed(p):
        law = sx.one_step_outputs(p[0], p[1], p[2], p[3])
        return jnp.append(jnp.stack(law.edges()), law.density(jnp.array([2.0, 6.0])))

    p = jnp.array([2.0, 0.5, 1.0, 1.0])
    value, slope = jax.jit(observed), jax.jit(jax.jacfwd(observed))(p)
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


def test_bad_requests():
    for options, message in (
        ({"nu": -1.0}, "`nu` must be positive, got -1.0"),
        ({"steps": 3}, "`steps` must be 1 or 2, got 3"),
        ({"steps": 2}, "`gamma0` must be given for two steps"),
        ({"samples": 0.0}, "`samples` must be positive, got 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            sx.one_step_outputs(**({"nu": 1.0, "omega": 1.0, "kappa0": 1.0} | options))
    with pytest.raises(ValueError, match="`layer` must be an integer from 0 to 1, got 2"):
        sx.one_step_multilayer(2, 2, 1.0, 1.0, 1.0)


def test_no_sampled_eigenvalue_exceeds_the_bound():
    """Fewer neurons than outputs: the readout's norm counts outputs per neuron."""
    law = sx.one_step_outputs(0.1, 1.0, 1.0, 0.0, sx.ntk)
    W = np.asarray(law.sample(300, key=jax.random.key(0)))
    assert 0.25 * law.bound() < np.linalg.norm(W, 2) ** 2 < law.bound()


def test_own_output_is_divided_by_the_multiplier_of_this_width():
    """gamma = gamma0 nu^a and eta gamma = kappa0 nu^(a + b), stated at nu = 1."""
    nu, gamma0, kappa0 = 3.0, 1.3, 0.4
    for a, b in ((0.5, 0.0), (0.0, 0.5), (0.25, -1.0)):
        law = sx.one_step_outputs(nu, 0.75, kappa0, 1.0, sx.Parameterization(a, b), gamma0=gamma0)
        same = sx.one_step_outputs(
            nu, 0.75, kappa0 * nu ** (a + b), 1.0, sx.ntk, gamma0=gamma0 * nu**a
        )
        np.testing.assert_allclose(law.coefficients, same.coefficients, rtol=1e-12)


def test_nearly_square_weights_keep_their_atom():
    """Marchenko-Pastur close to ratio 1: 1 - nu; none at a hard edge, of one matrix or of two."""

    @jax.jit
    def atom(nu, kappa, sigma):
        return OneStepOutputs(nu, ONE, kappa, sigma, ONE).atom()

    for nu in (0.99, 0.999):
        np.testing.assert_allclose(atom(nu, 0.0, 1.0), 1 - nu, rtol=1e-4)
    assert atom(1.0, 0.0, 1.0) == 0 and atom(1.0, 1.0, 0.0) == 0
