import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import assert_derivatives

from spectrax.spectrum.eigen import leading_eigenvalues, leading_projectors


def matrix_with(eigenvalues, pair=0.0, seed=0):
    """Nonsymmetric matrix with given eigenvalues, the first two of them plus and minus i pair."""
    normal_form = np.diag(np.asarray(eigenvalues, float))
    normal_form[0, 1], normal_form[1, 0] = pair, -pair
    vectors = np.random.default_rng(seed).normal(size=normal_form.shape)
    return jnp.asarray(vectors @ normal_form @ np.linalg.inv(vectors))


def direction(n, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, n)))


def test_eigenvalues_are_ordered_by_their_real_part():
    real, imag = leading_eigenvalues(matrix_with([1, 1, -5, 3], pair=2.0), 4)
    np.testing.assert_allclose(real, [3.0, 1.0, 1.0, -5.0], atol=1e-12)
    np.testing.assert_allclose(np.abs(imag), [0.0, 2.0, 2.0, 0.0], atol=1e-12)


def test_derivatives_of_real_and_complex_eigenvalues():
    matrix = matrix_with([2, 2, 3, 1, 0, -1], pair=1.0)
    assert jnp.sum(leading_eigenvalues(matrix, 4)[1] != 0) == 2
    assert_derivatives(lambda m: jnp.stack(leading_eigenvalues(m, 4)), matrix, direction(6))


def test_class_copies_move_together_under_the_same_perturbation():
    block, move = matrix_with([2, 1, -1]), direction(3)

    def copies(block):
        return leading_eigenvalues(jnp.kron(block, jnp.eye(3)), 5)[0]

    slope = jax.jvp(copies, (block,), (move,))[1]
    single = jax.jvp(lambda b: leading_eigenvalues(b, 2)[0], (block,), (move,))[1]
    np.testing.assert_allclose(slope, jnp.repeat(single, 3)[:5], rtol=1e-9)


def test_equal_eigenvalues_share_the_mean_of_their_slopes():
    matrix, move = matrix_with([2, 2, 2, 1, 0]), direction(5)
    slope = jax.jvp(lambda m: leading_eigenvalues(m, 3)[0], (matrix,), (move,))[1]
    np.testing.assert_allclose(slope, slope[0], rtol=1e-12)
    step = 1e-6
    total = sum(s * leading_eigenvalues(matrix + s * step * move, 3)[0].sum() for s in (1, -1))
    np.testing.assert_allclose(slope.sum(), total / (2 * step), rtol=1e-5)


def test_jordan_blocks_of_zeros_have_finite_derivatives():
    slopes = jax.jit(jax.jacrev(lambda m: leading_eigenvalues(m, 7)[0]))
    blocks = ([[2.0]], np.diag([1.0, 1.0], 1), np.diag([1.0], 1), [[0.0]])
    matrix = jax.scipy.linalg.block_diag(*map(jnp.asarray, blocks))
    gradient = slopes(matrix)
    assert jnp.all(jnp.isfinite(gradient)) and jnp.all(jnp.abs(gradient) < 1e3)
    np.testing.assert_allclose(gradient[0], jnp.zeros_like(matrix).at[0, 0].set(1.0), atol=1e-12)
    assert jnp.all(jnp.isfinite(slopes(0 * matrix)))


def test_second_derivatives_are_refused_rather_than_wrong():
    matrix = matrix_with([2, 1])
    with pytest.raises(NotImplementedError):
        jax.hessian(lambda m: leading_eigenvalues(m, 1)[0][0])(matrix)


def test_projectors_project_on_their_eigenspaces():
    matrix = matrix_with([2, 2, 1, 0.5])
    projectors = leading_projectors(matrix, 3)
    np.testing.assert_allclose(projectors @ projectors, projectors, atol=1e-10)
    np.testing.assert_allclose(jnp.trace(projectors, axis1=1, axis2=2), [2, 2, 1], atol=1e-10)
    values = jnp.array([2.0, 2.0, 1.0])[:, None, None]
    np.testing.assert_allclose(matrix @ projectors, values * projectors, atol=1e-9)


def test_projectors_differentiate():
    matrix = matrix_with([2, 2, 1, 0, -1], pair=0.5)
    assert_derivatives(lambda m: leading_projectors(m, 3).real, matrix, direction(5))


def test_batches_agree_with_single_matrices():
    matrices = jnp.stack([matrix_with([3, 1, 0], seed=seed) for seed in range(3)])

    slope = jax.grad(lambda m: leading_eigenvalues(m, 1)[0][0])
    one_by_one = jnp.stack([slope(matrix) for matrix in matrices])
    np.testing.assert_allclose(jax.vmap(slope)(matrices), one_by_one, rtol=1e-12)
