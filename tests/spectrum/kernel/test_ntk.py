"""The tangent kernel: numbers of the theory page, limits, finite kernels, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

import spectrax as sx
from spectrax.spectrum.kernel import ntk as kernels
from spectrax.spectrum.kernel._jacobi import settled, top_of_jacobi


def solved(depth, num_steps, eta, gamma0, **options):
    options = {"alpha": 4.0, "nu": 1.0} | options
    return sx.solve(sx.DeepLinear(depth, num_steps, eta=eta, gamma0=gamma0, **options))


@pytest.mark.parametrize(
    ("nu", "mup", "ntk"),
    [
        (1.0, 6.85, 6.85),
        (2.0, 6.46, 5.08),
        (4.0, 6.35, 3.95),
        (8.0, 6.31, 3.23),
        (32.0, 6.28, 2.50),
    ],
)
def test_sharpness_of_the_theory_page(nu, mup, ntk):
    found = [
        sx.ntk_top(solved(1, 80, 0.05, 3.0, nu=nu, parameterization=p), 79)
        for p in (sx.mup, sx.ntk)
    ]
    np.testing.assert_allclose(found, [mup, ntk], atol=0.006)


@pytest.mark.parametrize(
    ("depth", "eta", "gamma0", "step", "value"),
    [
        (2, 0.03, 4.0, 13, 20.4574),
        pytest.param(3, 0.012, 6.0, 13, 60.731, marks=pytest.mark.slow),
    ],
)
def test_krylov_values_of_the_theory_page(depth, eta, gamma0, step, value):
    found = sx.ntk_top(solved(depth, step + 1, eta, gamma0), step)
    np.testing.assert_allclose(found, value, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 2])
def test_shift_formula_is_the_krylov_probe(classes):
    gram = jnp.array([[1.0, 0.3], [0.3, 1.0]])[:classes, :classes]
    solution = solved(1, 12, 0.1, 4.0, num_classes=classes, teacher_gram=gram)
    trained = kernels._extend(solution, False)
    probe = kernels._by_lanczos(solution, trained, 12, kernel="population", num=24)
    np.testing.assert_allclose(probe, sx.ntk_top(solution, 12), rtol=1e-8)


@pytest.mark.slow
def test_late_in_training_the_sharpness_is_as_smooth_as_early():
    """Fields of late steps are tiny: nothing may be read off them."""
    solution = solved(1, 60, 0.19, 2.0)
    path = sx.ntk_path(solution, kernel="train")
    assert np.abs(np.diff(path, 2))[20:].max() < 1e-3
    longer = sx.ntk_top(solution, 59, kernel="train", num=40)  # of the probe
    np.testing.assert_allclose(path[-1], longer, rtol=1e-6)


@pytest.mark.slow
def test_after_the_last_update_is_one_step_of_a_longer_training():
    short, long = solved(2, 5, 0.03, 4.0), solved(2, 6, 0.03, 4.0)
    np.testing.assert_allclose(sx.ntk_top(short, 5), sx.ntk_top(long, 5), rtol=1e-10)


@pytest.mark.parametrize(
    ("depth", "kernel"),
    [(1, "population"), pytest.param(2, "train", marks=pytest.mark.slow)],
)
def test_a_traced_step_is_the_concrete_one(depth, kernel):
    """The last one too, for which the tapes have no row of fields."""
    solution = solved(depth, 5, 0.03, 4.0)
    traced = jax.jit(lambda step: sx.ntk_top(solution, step, kernel=kernel))
    steps = [0, 4, 5]
    concrete = [sx.ntk_top(solution, step, kernel=kernel) for step in steps]
    np.testing.assert_allclose([traced(step) for step in steps], concrete, rtol=1e-9)


@pytest.mark.slow
def test_samples_without_number_see_the_population():
    """The difference falls like the root of D/P."""
    gaps = []
    for alpha in (1e2, 1e4):
        solution = solved(1, 8, 0.1, 4.0, alpha=alpha)
        train, population = (sx.ntk_top(solution, 7, kernel=k) for k in ("train", "population"))
        gaps.append(abs(float(train / population) - 1))
    assert gaps[1] < 0.05 and gaps[1] < 0.2 * gaps[0], gaps


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["population", "train"])
def test_without_learning_the_sharpness_is_the_edge_of_the_bulk(kernel):
    solution = solved(2, 4, 1e-6, 0.5, nu=2.0)
    edge = sx.ntk_law(solution, 3, kernel=kernel).top()
    np.testing.assert_allclose(sx.ntk_top(solution, 3, kernel=kernel), edge, rtol=1e-12)


@pytest.mark.slow
def test_sharpness_differentiates():
    def sharpness(p):
        options = {"nu": p[2], "sigma": p[3], "alpha": p[4]}
        return sx.ntk_top(solved(2, 6, p[0], p[1], **options), 5, kernel="train")

    p = jnp.array([0.03, 4.0, 1.5, 1.1, 4.0])
    slope, value = jax.grad(sharpness)(p), jax.jit(sharpness)
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


def test_a_jacobi_matrix_with_one_changed_entry():
    """Semi-infinite, a = 0, b = 1, a_0 = x: eigenvalue x + 1/x if x > 1, else the edge 2."""
    b = jnp.ones(8)
    for x, top in ((2.0, 2.5), (1.2, 1.2 + 1 / 1.2), (0.9, 2.0)):
        a = jnp.zeros(8).at[0].set(x)
        np.testing.assert_allclose(top_of_jacobi(a, b, jnp.array(2.0)), top, rtol=1e-12)
    slope = jax.grad(lambda x: top_of_jacobi(jnp.zeros(8).at[0].set(x), b, jnp.array(2.0)))(2.0)
    np.testing.assert_allclose(slope, 0.75, rtol=1e-10)


def test_coefficients_that_lost_their_digits_are_not_used():
    k = jnp.arange(24)
    noise = 1e-16 * 4.0**k * (-1.0) ** k
    a, b = 3 + 0.3**k + noise, 1 + 0.2**k - noise
    settled_a, settled_b = settled(a, b)
    np.testing.assert_allclose([settled_a[-1], settled_b[-1]], [3.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(settled_a[:5], a[:5])


@pytest.mark.slow
def test_diverged_steps_are_infinitely_sharp():
    model = sx.DeepLinear(2, 60, alpha=4.0, nu=1.0, eta=3.0, gamma0=4.0)
    solution = sx.solve(model, throw=False)
    path, diverged = sx.ntk_path(solution), int(solution.stats["diverged_at"])
    assert diverged < 60
    assert not np.isnan(path).any() and np.isinf(path[diverged:]).all()
    assert np.isinf(sx.ntk_top(solution, diverged)) and np.isinf(sx.ntk_top(solution, 60))


def test_bad_requests():
    solution = solved(1, 3, 0.1, 4.0, data="online")
    with pytest.raises(ValueError, match="`kernel` must be 'population' for online data"):
        sx.ntk_top(solution, 2, kernel="train")
    for function in (sx.ntk_top, sx.ntk_law):
        with pytest.raises(ValueError, match="`step` must be an integer between 0 and 3, got 4"):
            function(solution, 4)
    with pytest.raises(ValueError, match="`kernel` must be 'population' or 'train', got 'test'"):
        sx.ntk_path(solution, kernel="test")
    with pytest.raises(ValueError, match="`solution` must have one class, got 2"):
        sx.ntk_law(solved(1, 3, 0.1, 4.0, num_classes=2), 1)


def test_decay_shrinks_the_bulk_of_the_kernel_by_its_square():
    """Depth 1: G + (1 - decay)^(2 t) × Marchenko-Pastur / nu."""
    nu, decay, steps = 2.0, 0.1, 4
    solution = solved(1, steps, 0.1, 1.0, nu=nu, weight_decay=decay)
    law = sx.ntk_law(solution, steps - 1)
    shrunk = (1 - decay) ** (2 * (steps - 1))
    np.testing.assert_allclose(
        law.top() - law.shift[0], shrunk * (1 + nu**0.5) ** 2 / nu, rtol=1e-9
    )


def test_coefficients_settle_at_the_end_of_their_quietest_stretch():
    """Four equal ones, found by three changes: what they were before does not count."""
    a = jnp.array([1.0, 4.0, 2.0, 3.0, 3.0 + 4e-9, 3.0 + 5e-9, 3.0 + 5.1e-9, 9.0, 1.0, 5.0])
    settled_a, _ = settled(a, jnp.ones(10))
    np.testing.assert_allclose(settled_a[-1], 3.0 + 5.1e-9, rtol=1e-12)


@pytest.mark.parametrize("rest", [(0.0, 0.0), (np.nan, 1.0), (np.inf, 1.0)])
def test_coefficients_behind_the_end_of_the_iteration_are_not_settled(rest):
    """Where the fields are exhausted b is 0, and nothing changes any more."""
    k = jnp.arange(12)
    a, b = (jnp.where(k < 8, 2 + 0.3**k, x) for x in rest)
    settled_a, settled_b = settled(a, b)
    for found in (settled_a, settled_b):
        np.testing.assert_allclose(found[7:], 2 + 0.3**7, rtol=1e-12)


@pytest.mark.slow
def test_without_learning_the_sharpness_of_two_classes_is_that_of_one():
    one, two = (sx.ntk_top(solved(2, 4, 1e-6, 0.5, nu=2.0, num_classes=c), 3) for c in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-3)
