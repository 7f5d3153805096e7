"""Pencils of Gaussian matrices: sampled matrices, edges, derivatives, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences
from spectrum.helpers import CASES

import spectrax as sx
from spectrax.spectrum.expressions._linearise import pairs_of
from spectrax.spectrum.expressions.pencil import Pencil


def complex_of(pairs):
    return np.array([complex(*pair) for pair in pairs])


def residual_network():
    """2 + Z/2 + Y X/3: an identity, a matrix of its own, and a detour through another space."""
    spaces = sx.Spaces(N=1.0, M=0.6)
    X, Y, Z = (spaces.gaussian(*shape) for shape in ("MN", "NM", "NN"))
    v = spaces.vector("N")
    return Pencil.gram(v, 2 * v + 0.5 * (Z @ v) - (Y @ (X @ v)) / 3)


@pytest.mark.parametrize("case", CASES["one_step_outputs"])
def test_reference_resolvents(case):
    spaces = sx.Spaces(D=1.0, N=case["nu"], C=case["omega"])
    W0, V = spaces.gaussian("N", "D", case["sigma"] ** 2), spaces.gaussian("C", "N")
    Theta, v = spaces.gaussian("C", "D"), spaces.vector("D")
    law = Pencil.gram(v, W0 @ v + case["kappa"] * (V.T @ (Theta @ v)))
    assert len(law.spaces) == 4
    found = sx.dyson(law, complex_of(case["z"]))
    np.testing.assert_allclose(found.stieltjes, complex_of(case["S"]), atol=1e-10)
    assert found.physical.all() and found.residual.max() < 1e-12


# --- sampled matrices


def distance_from(law, share=1.0):
    """Mean Kolmogorov-Smirnov distance of eigenvalues from the continuous part, of mass `share`."""
    low, high = (float(edge) for edge in law.edges())
    angle = (np.arange(400) + 0.5) * np.pi / 400
    x = low + (high - low) * (1 - np.cos(angle)) / 2
    mass = np.asarray(law.density(x)) * (high - low) / 2 * np.sin(angle) * np.pi / 400
    np.testing.assert_allclose(mass.sum(), share, atol=2e-3)
    mass = mass / share
    known = np.cumsum(mass) - mass / 2

    def one(values):
        cumulative = np.interp(np.sort(values), x, known, left=0, right=1)
        return np.abs(cumulative - (np.arange(len(values)) + 0.5) / len(values)).max()

    return lambda samples: np.mean([one(values) for values in samples])


@pytest.mark.slow
def test_entries_that_are_left_out_are_zero():
    """The pattern of a solution, from the links alone, is kept by the whole equation."""
    law = sx.one_step_multilayer(3, 1, 1.3, 0.8, 0.6)
    fields, spaces = len(law.spaces), np.array(law.spaces)
    assert fields < law.size < (spaces[:, None] == spaces).sum()
    G = sx.dyson(law, 2.0 + 0.5j).G
    kept = np.zeros(G.shape, bool)
    kept[law.pairs] = True
    again = law._resolvent(law._self_energy(G), 2.0 + 0.5j)
    np.testing.assert_allclose(again, G, atol=1e-10)
    assert (np.abs(np.asarray(again)[~kept]) < 1e-15).all() and (np.asarray(G)[kept] != 0).all()


def test_fields_are_joined_through_others():
    """Two links in a row: the inverse of a triangular matrix is triangular."""
    links = ((0, 1, -1, False), (1, 2, -1, False), (2, 3, -1, False))
    np.testing.assert_array_equal(pairs_of(4, 0, links), np.triu_indices(4))


@pytest.mark.slow
def test_long_chains_of_couplings_are_followed():
    """v_k = v_{k-1} + X_k v_{k-1}: the inverse joins fields that are far apart."""
    spaces = sx.Spaces(N=1.0)
    v = w = spaces.vector("N")
    for _ in range(5):
        w = w + spaces.gaussian("N", "N", 0.1) @ w
    law = Pencil.gram(v, w)
    mean = float(law.moment(1))  # 1.1 for every factor
    np.testing.assert_allclose(mean, 1.1**5, rtol=1e-9)


@pytest.mark.slow
def test_spectra_of_sampled_matrices_tend_to_the_law():
    law, distances = residual_network(), []
    distance = distance_from(law)
    for size in (100, 800):
        keys = jax.random.split(jax.random.key(0), 4)
        values = [jnp.linalg.svd(law.sample(size, key=key), compute_uv=False) ** 2 for key in keys]
        distances.append(distance(values))
        tops = np.array([x[0] for x in values])
    assert distances[1] < 0.3 * distances[0] and distances[1] < 5e-3
    np.testing.assert_allclose(tops.mean(), law.edges()[1], rtol=0.02)
    np.testing.assert_allclose(np.mean(values[0]), law.moment(1), rtol=0.02)


# --- edges and derivatives


@pytest.mark.slow
def test_density_ends_like_a_square_root():
    law = residual_network()
    low, high = law.edges()
    for edge, sign in ((low, 1), (high, -1)):
        far, near = law.density(edge + sign * 1e-4 * high * jnp.array([4.0, 1.0]))
        np.testing.assert_allclose(far / near, 2.0, rtol=0.01)
    assert (law.density(jnp.array([0.999 * low, 1.001 * high])) < 1e-8).all()


@pytest.mark.slow
def test_derivatives_of_edges_and_density():
    def observed(p):
        spaces = sx.Spaces(D=1.0, N=p[0], C=p[1])
        W0, V = spaces.gaussian("N", "D", p[3] ** 2), spaces.gaussian("C", "N")
        Theta, v = spaces.gaussian("C", "D"), spaces.vector("D")
        law = Pencil.gram(v, W0 @ v + p[2] * (V.T @ (Theta @ v)))
        return jnp.append(jnp.stack(law.edges()), law.density(jnp.array([1.0, 5.0])))

    p = jnp.array([2.0, 0.5, 1.5, 1.0])
    value, slope = jax.jit(observed), jax.jit(jax.jacrev(observed))(p)
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


@pytest.mark.slow
def test_derivatives_in_the_spectral_variable_and_batches():
    law = sx.product_law(2.0)
    z = jnp.array([5.9 + 0.3j, -1.0 + 0.1j])
    slope = jax.vmap(jax.grad(law.stieltjes, holomorphic=True))(z)
    change = law.stieltjes(z + 1e-5) - law.stieltjes(z - 1e-5)
    np.testing.assert_allclose(slope, change / 2e-5, rtol=1e-6)
    tops = jax.vmap(lambda aspect: sx.product_law(aspect).edges()[1])(jnp.array([0.5, 2.0]))
    np.testing.assert_allclose(tops, (1 + jnp.sqrt(jnp.array([0.5, 2.0]))) ** 2, rtol=1e-9)


# --- refusals


def test_bad_declarations():
    spaces = sx.Spaces(D=1.0, N=2.0)
    W, v = spaces.gaussian("N", "D"), spaces.vector("D")
    for ask, message in (
        (lambda: spaces.gaussian("N", "C"), "`cols` must be 'D' or 'N', got 'C'"),
        (lambda: spaces.vector("C"), "`space` must be 'D' or 'N', got 'C'"),
        (lambda: sx.Spaces(D=-1.0), "`D` must be positive, got -1.0"),
        (lambda: spaces.gaussian("N", "D", -1.0), "`variance` must be non-negative, got -1.0"),
        (lambda: W @ v + v, "`other` of a sum must be a vector of space 'N', got one of 'D'"),
        (lambda: W.T @ v, "`x` of a product must be a vector of space 'N', got one of 'D'"),
        (lambda: Pencil.gram(spaces.vector("D"), W @ v), "`w` must depend on the given vectors"),
        (lambda: Pencil.symmetric(v, W @ v), "`y` must be a vector of space 'D', got one of 'N'"),
        (lambda: jnp.ones(2) * v, "`factor` of a vector must be a scalar"),
    ):
        with pytest.raises(ValueError, match=message):
            ask()
    square = sx.Spaces(N=1.0)
    X, u = square.gaussian("N", "N"), square.vector("N")
    with pytest.raises(ValueError, match="`y` must be a symmetric function of v"):
        Pencil.symmetric(u, X @ u)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spaces": (0, 2)}, "`spaces` must name declared spaces, got 2"),
        ({"blocks": ((1, 5),)}, "`blocks` must name declared spaces, got 5"),
        ({"links": ((1, 7, 0, False),)}, r"`links` must join declared fields, got \(1, 7, 0"),
        ({"links": ((1, 0, 3, False),)}, r"`links` must use declared blocks, got \(1, 0, 3"),
        ({"links": ((1, 0, -1, False),)}, r"`links` must couple fields of one space, got"),
        ({"links": ((0, 1, 0, False),)}, r"`links` must join fields in the spaces of their block"),
    ],
)
def test_bad_systems(change, message):
    law = sx.product_law(2.0)
    assert law.blocks == ((1, 0),) and law.links[0] == (1, 0, 0, False)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(law, **change)


@pytest.mark.slow
def test_real_numbers_inside_the_bulk_are_refused():
    law = sx.product_law(2.0)
    with pytest.raises(ValueError, match=r"`z` must lie off the bulk or be complex .* got 2.0"):
        sx.dyson(law, jnp.array([10.0, 2.0]))
    assert sx.dyson(law, 10.0).physical and sx.dyson(law, 2.0 + 0j).stieltjes.imag < 0


def test_bound_of_one_matrix_is_its_norm():
    for aspect in (0.1, 1.0, 10.0):
        bound = sx.product_law(aspect, sigma=1.3).bound()
        np.testing.assert_allclose(bound, 1.69 * (1 + aspect**0.5) ** 2, rtol=1e-12)


def test_parts_of_the_probe_count_by_their_size():
    """The mean of the eigenvalues is aspect × mean of the population."""
    law = sx.population_law([1.0, 20.0], [0.8, 0.2], 8.0)
    np.testing.assert_allclose(law.moment(1, nodes=16), 8 * (0.8 + 0.2 * 20), rtol=1e-3)


def test_samples_of_a_scaled_law_are_scaled():
    """A law of WᵀW scales W by the root, a law of A scales A."""
    key = jax.random.key(0)
    gram = residual_network()
    symmetric = dataclasses.replace(gram, output=None)
    for law, factor in ((gram, 2.0), (symmetric, 4.0)):
        scaled = law.scaled(4.0).sample(20, key=key)
        np.testing.assert_allclose(scaled, factor * law.sample(20, key=key), rtol=1e-12)


def expressions():
    """A matrix expression, a vector, and what the expression does to it."""
    spaces = sx.Spaces(D=1.0, N=2.0)
    W, U, v = spaces.gaussian("N", "D", 0.7), spaces.gaussian("N", "N"), spaces.vector("D")
    X = spaces.gaussian("D", "D")
    A = (2.0 * (U @ W) - W / 4.0 + U.T @ (-W)) @ X
    x = X @ v
    image = 2.0 * (U @ (W @ x)) - (W @ x) / 4.0 + U.T @ -(W @ x)
    return A, v, image


def test_matrices_add_multiply_and_transpose_as_on_vectors():
    A, v, image = expressions()
    meant, key = Pencil.gram(v, image), jax.random.key(0)
    for written in (Pencil.gram(v, A @ v), Pencil.gram(A)):
        found = written.sample(12, key=key)
        np.testing.assert_allclose(found, meant.sample(12, key=key), rtol=1e-6)


@pytest.mark.slow
def test_laws_of_matrices_are_those_of_their_vectors():
    A, v, image = expressions()
    written, meant = Pencil.gram(A), Pencil.gram(v, image)
    z = np.array([9.0, 40.0])
    np.testing.assert_allclose(written.stieltjes(z), meant.stieltjes(z), rtol=1e-8)
    square = Pencil.symmetric((A.T @ A) * 0.5)  # A^T A / 2 is twice as narrow
    np.testing.assert_allclose(square.stieltjes(z / 2), 2 * meant.stieltjes(z), rtol=1e-7)


def test_matrices_that_do_not_fit_are_refused():
    spaces = sx.Spaces(D=1.0, N=2.0)
    W, U = spaces.gaussian("N", "D"), spaces.gaussian("N", "N")
    for wrong, sentence in {
        lambda: W @ U: "`x` of a product must be a matrix of rows 'D', got one of 'N'",
        lambda: W + U: "must be a matrix of rows 'N' and columns 'D', got rows 'N' and columns 'N'",
        lambda: np.ones(2) * W: "`factor` of a matrix must be a scalar, got shape",
        lambda: Pencil.gram(spaces.vector("D")): "`v` must be a matrix if it comes alone, got a V",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            wrong()
    with pytest.raises(TypeError):
        W + 2.0
