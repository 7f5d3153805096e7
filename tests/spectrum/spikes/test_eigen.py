import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import assert_derivatives

from spectrax.spectrum.spikes.eigen import (
    eigenvalues,
    eigenvectors,
    leading_eigenvalues,
    leading_projectors,
)

# every test uses 6 x 6 matrices and four eigenvalues: one compilation for each function
values = jax.jit(lambda matrix: leading_eigenvalues(matrix, 4))
slopes = jax.jit(jax.jacrev(lambda matrix: leading_eigenvalues(matrix, 4)[0]))


def matrix_with(eigenvalues, pair=0.0, seed=0):
    """Nonsymmetric matrix with given eigenvalues, the first two of them plus and minus i pair."""
    normal_form = np.diag(np.asarray(eigenvalues, float))
    normal_form[0, 1], normal_form[1, 0] = pair, -pair
    vectors = np.random.default_rng(seed).normal(size=normal_form.shape)
    return jnp.asarray(vectors @ normal_form @ np.linalg.inv(vectors))


def direction(n=6):
    return jnp.asarray(np.random.default_rng(1).normal(size=(n, n)))


def test_eigenvalues_are_ordered_by_their_real_part():
    real, imag = values(matrix_with([1, 1, -5, 3, -2, -1], pair=2.0))
    np.testing.assert_allclose(real, [3.0, 1.0, 1.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(np.abs(imag), [0.0, 2.0, 2.0, 0.0], atol=1e-12)


def test_derivatives_of_real_and_complex_eigenvalues():
    matrix = matrix_with([2, 2, 3, 1, 0, -1], pair=1.0)
    assert_derivatives(lambda m: jnp.stack(leading_eigenvalues(m, 4)), (matrix, direction()))


def test_class_copies_move_together_under_the_same_perturbation():
    block, move = np.asarray(matrix_with([2, 1, -1])), direction(3)
    copies, moved = (jnp.kron(x, jnp.eye(2)) for x in (block, move))
    slope = jnp.einsum("kij,ij->k", slopes(copies), moved)
    step = 1e-6
    ends = [np.sort(np.linalg.eigvals(block + s * step * move))[:0:-1] for s in (1, -1)]
    expected = np.repeat(ends[0] - ends[1], 2) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_equal_eigenvalues_share_the_mean_of_their_slopes():
    matrix, move = matrix_with([2, 2, 2, 1, 0, -1]), direction()
    slope = jnp.einsum("kij,ij->k", slopes(matrix), move)[:3]
    np.testing.assert_allclose(slope, slope[0], rtol=1e-12)
    step = 1e-6
    total = sum(s * values(matrix + s * step * move)[0][:3].sum() for s in (1, -1))
    np.testing.assert_allclose(slope.sum(), total / (2 * step), rtol=1e-5)


def test_equal_eigenvalues_need_a_dual_basis():
    """Rounding errors above the diagonal make LAPACK's left and right bases unrelated."""
    matrix = jnp.diag(jnp.array([2.0, 2.0, 1.0, 0.0, -1.0, -2.0])).at[0, 1].set(4e-16)
    expected = jnp.diag(jnp.array([0.5, 0.5, 0.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(slopes(matrix)[:2], jnp.stack([expected, expected]), atol=1e-9)


def test_jordan_blocks_of_zeros_have_finite_derivatives():
    blocks = ([[2.0]], np.diag([1.0, 1.0], 1), np.diag([1.0], 1))
    matrix = jax.scipy.linalg.block_diag(*map(jnp.asarray, blocks))
    gradient = slopes(matrix)
    assert jnp.all(jnp.isfinite(gradient)) and jnp.all(jnp.abs(gradient) < 1e3)
    np.testing.assert_allclose(gradient[0], jnp.zeros_like(matrix).at[0, 0].set(1.0), atol=1e-12)
    assert jnp.all(jnp.isfinite(slopes(0 * matrix)))


def test_second_derivatives_are_refused_rather_than_wrong():
    with pytest.raises(NotImplementedError):
        jax.jacfwd(slopes)(matrix_with([3, 2, 1, 0, -1, -2]))


def test_projectors_project_on_their_eigenspaces():
    matrix = matrix_with([2, 2, 1, 0.5, 0, -1])
    projectors = jax.jit(leading_projectors, static_argnums=1)(matrix, 3)
    np.testing.assert_allclose(projectors @ projectors, projectors, atol=1e-10)
    np.testing.assert_allclose(jnp.trace(projectors, axis1=1, axis2=2), [2, 2, 1], atol=1e-10)
    eigenvalues = jnp.array([2.0, 2.0, 1.0])[:, None, None]
    np.testing.assert_allclose(matrix @ projectors, eigenvalues * projectors, atol=1e-9)


def test_projectors_differentiate():
    matrix = matrix_with([2, 2, 1, 0, -1, -2], pair=0.5)
    assert_derivatives(lambda m: leading_projectors(m, 3).real, (matrix, direction()))


def test_batches_agree_with_single_matrices():
    batch = jnp.stack([matrix_with([3, 2, 1, 0, -1, -2], seed=seed) for seed in range(3)])
    one_by_one = jnp.stack([slopes(matrix) for matrix in batch])
    np.testing.assert_allclose(jax.vmap(slopes)(batch), one_by_one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_eigenvalues_scale_with_the_matrix(size):
    """LAPACK scales such matrices itself, and not all of its builds scale back."""
    matrix = jnp.asarray(np.random.default_rng(3).normal(size=(6, 6)))
    real, imag = values(matrix)
    for found, expected in zip(values(size * matrix), (real, imag), strict=True):
        np.testing.assert_allclose(found / size, expected, rtol=1e-12)
    found, right = eigenvectors(size * matrix)
    np.testing.assert_allclose(matrix @ right, right * (found / size), atol=1e-13)
    moved = jnp.einsum("kij,ij->k", slopes(size * matrix), matrix)
    np.testing.assert_allclose(moved, real, rtol=1e-12)
    assert not eigenvalues(jnp.zeros((2, 2))).any()
