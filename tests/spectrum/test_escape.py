import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import deep_linear_kernels
from spectrum.helpers import (
    TRAININGS,
    assert_physical,
    case_kernels,
    moved,
    prefix,
    training,
    weights_of,
)

from spectrax.seam import TrainedWeights
from spectrax.spectrum import (
    escape_time,
    escape_time_of,
    margin_path,
    outlier_path,
    outliers,
    strength_path,
    strengths,
    transfer_matrix,
)
from spectrax.spectrum.trajectory import strengths_at

LONGEST = 40
LAYERS = [(i, l) for i, case in enumerate(TRAININGS) for l in range(case["depth"])]


def lengthened(weights, num_steps):
    """The same training, followed by steps that change nothing (one compilation for all)."""
    more = num_steps - weights.num_steps
    kernels = (weights.Ce, weights.Cf, weights.Re, weights.Rf)
    kernels = (jnp.pad(kernel, (0, more)) for kernel in kernels)
    coordinates = jnp.pad(weights.coordinates, ((0, more), (0, 0)), mode="edge")
    coordinates = jnp.pad(coordinates, ((0, 0), (0, more)))
    return TrainedWeights(*kernels, coordinates, weights.aspect, weights.sigma)


@pytest.mark.parametrize("index, layer", LAYERS)
def test_reference_trajectories_and_escape_times(index, layer):
    case = TRAININGS[index]
    expected, steps = case["layers"][layer], case["num_steps"]
    weights = lengthened(weights_of(case_kernels(index), layer), LONGEST)
    found = outlier_path(weights)
    np.testing.assert_allclose(
        found.strength[1 : steps + 1, 0], expected["top_strength"], atol=1e-6
    )
    np.testing.assert_allclose(
        found.location[1 : steps + 1, 0], expected["top_eigenvalue"], rtol=1e-6
    )
    time = expected["escape_time_linear_interpolation"]
    np.testing.assert_allclose(escape_time_of(weights), np.inf if time is None else time, rtol=1e-6)
    assert_physical(prefix(weights, 7))


def growing(rate=0.4, num_steps=6, aspect=0.5, sigma=1.0):
    """One classical spike that grows: strength aspect (rate t)² after t steps."""
    ones, none = jnp.ones((num_steps, num_steps)), jnp.zeros((num_steps, num_steps))
    made = jnp.tril(jnp.ones((num_steps + 1, num_steps)), -1)
    coordinates = jnp.concatenate([jnp.ones((num_steps + 1, 1)), rate * made], axis=1)
    return TrainedWeights(ones, ones, none, none, coordinates, aspect, sigma)


def test_a_growing_classical_spike_in_closed_form():
    t = np.arange(7)
    strength, critical = 0.5 * (0.4 * t) ** 2, 0.5**0.5
    weights = growing()
    np.testing.assert_allclose(strength_path(weights)[:, 0], strength, atol=1e-12)
    np.testing.assert_allclose(margin_path(weights), strength - critical, atol=1e-12)
    first = np.argmax(strength > critical)
    low, high = strength[first - 1] - critical, strength[first] - critical
    np.testing.assert_allclose(escape_time_of(weights), first - high / (high - low), rtol=1e-12)
    at_once = escape_time_of(growing(rate=2.0))  # the margin starts from minus the critical one
    np.testing.assert_allclose(at_once, critical / 2.0, rtol=1e-12)


def test_without_escape_the_time_is_infinite_and_its_derivative_zero():
    value, gradient = jax.value_and_grad(escape_time_of)(growing(rate=0.1))
    assert value == jnp.inf
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(gradient))


def test_escape_time_of_a_solution():
    class Solution:
        def weights(self, layer):
            return growing(rate=[0.4, 0.8][layer])

    assert escape_time(Solution(), 1) == escape_time_of(growing(rate=0.8))


def family(num_steps, layer, **fixed):
    def build(eta=0.03, gamma0=4.0):
        kernels = deep_linear_kernels(
            2, num_steps, alpha=4.0, nu=2.0, eta=eta, gamma0=gamma0, **fixed
        )
        return weights_of(kernels, layer)

    return build


def along(gradient, slope):
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(slope), strict=True)
    return sum(jnp.vdot(g, s) for g, s in pairs)


@pytest.mark.parametrize("parameter, value", [("eta", 0.03), ("gamma0", 4.0)])
def test_escape_time_differentiates(parameter, value):
    build = family(12, 0)
    low, high, slope = moved(build, parameter, value, 1e-5 * value)
    expected = (escape_time_of(high) - escape_time_of(low)) / (2e-5 * value)
    weights = build()
    forward = jax.jit(lambda w, s: jax.jvp(escape_time_of, (w,), (s,))[1])(weights, slope)
    np.testing.assert_allclose(forward, expected, rtol=1e-5)
    gradient = jax.jit(jax.grad(escape_time_of))(weights)
    np.testing.assert_allclose(along(gradient, slope), forward, rtol=1e-10)


def exact_slopes(low, high, steps, width):
    def strength(weights, step):
        return np.linalg.eigvals(transfer_matrix(prefix(weights, step))).real.max()

    return [(strength(high, step) - strength(low, step)) / width for step in steps]


def test_strengths_differentiate_at_every_step_real_or_complex():
    low, high, slope = moved(family(12, 0), "eta", 0.03, 1e-6)
    weights = family(12, 0)()
    steps = jnp.arange(1, 13)
    imaginary = strengths_at(weights, steps)[1][:, 0]
    assert imaginary[1] != 0 and jnp.all(imaginary[3:] == 0)
    moves = jax.jvp(lambda w: strength_path(w)[1:, 0], (weights,), (slope,))[1]
    expected = exact_slopes(low, high, range(1, 13), 2e-6)
    np.testing.assert_allclose(moves[1:], expected[1:], rtol=1e-5)  # at t = 1 the strength is zero


def test_strengths_differentiate_in_compressed_fields():
    """Many more steps than the spikes' rank: eigenvectors are lifted to the whole training."""
    low, high, slope = moved(family(LONGEST, 1), "gamma0", 4.0, 1e-5)
    weights = family(LONGEST, 1)()
    steps = jnp.array([34, 40])

    def top(weights):
        return strengths_at(weights, steps)[0][:, 0]

    gradients = jax.jit(jax.jacrev(top))(weights)
    expected = exact_slopes(low, high, (34, 40), 2e-5)
    for row in range(2):
        gradient = jax.tree.map(lambda leaf, row=row: leaf[row], gradients)
        np.testing.assert_allclose(along(gradient, slope), expected[row], rtol=1e-5)


def test_momentum_and_decay_change_the_scale_of_the_initial_matrix():
    weights = training(num_steps=12)
    scale = 0.97 ** jnp.arange(13)
    coordinates = weights.coordinates.at[:, 0].set(scale)
    kernels = (weights.Ce, weights.Cf, weights.Re, weights.Rf)
    weights = TrainedWeights(*kernels, coordinates, weights.aspect, weights.sigma)
    found = outlier_path(weights)
    for step in (4, 12):
        alone = outliers(weights.at(step), 1)
        np.testing.assert_allclose(found.strength[step], alone.strength, rtol=1e-9)
        np.testing.assert_allclose(found.location[step], alone.location, rtol=1e-9)
    forgotten = TrainedWeights(
        *kernels, coordinates.at[9, 0].set(0.0), weights.aspect, weights.sigma
    )
    found, gradient = jax.value_and_grad(lambda w: strength_path(w).sum())(forgotten)
    assert jnp.isfinite(found)
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_below_the_bulk_as_for_single_spikes():
    ones, none = jnp.ones((2, 2)), jnp.zeros((2, 2))
    coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, -0.6, 0.0], [1.0, -0.3, -0.6]])
    weights = TrainedWeights(ones, ones, none, ones, coordinates, aspect=3.0, sigma=1.0)
    found = outlier_path(weights, 2, side="below")
    for step in (1, 2):
        alone = outliers(weights.at(step), 2, side="below")
        np.testing.assert_allclose(found.location[step], alone.location, rtol=1e-10)
        np.testing.assert_array_equal(found.escaped[step], alone.escaped)
    assert found.escaped[1:, 0].all() and not found.escaped[0].any()


def test_classes_with_correlated_teachers():
    gram = np.array([[1.0, 0.4], [0.4, 1.0]])
    weights = training(num_steps=8, num_classes=2, teacher_gram=tuple(map(tuple, gram)))
    path = strength_path(weights, 3)
    for step in (3, 8):
        np.testing.assert_allclose(path[step], strengths(prefix(weights, step), 3), rtol=1e-9)
    assert path[8, 0] > 1.05 * path[8, 1] > 0


def test_class_copies_share_derivatives_with_a_single_class():
    single, copies = (training(num_steps=8, num_classes=c) for c in (1, 2))

    def gradient(weights):
        return jax.grad(lambda w: strength_path(w, 2 // w.num_classes).sum())

    one = jax.grad(lambda w: strength_path(w, 1)[8, 0])(single)
    two = jax.grad(lambda w: strength_path(w, 2)[8, 0])(copies)
    np.testing.assert_allclose(strength_path(copies, 2)[8], strength_path(single)[8, 0], rtol=1e-9)
    summed = two.Ce.reshape(8, 2, 8, 2).trace(axis1=1, axis2=3)  # the same change in both copies
    np.testing.assert_allclose(summed, one.Ce, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(two.coordinates, one.coordinates, rtol=1e-7, atol=1e-10)


def test_a_diverged_element_spoils_no_batch():
    good = training(num_steps=12)
    broken = jax.tree.map(lambda leaf: leaf.at[-1].set(jnp.nan) if leaf.ndim else leaf, good)
    huge = jax.tree.map(lambda leaf: 1e200 * leaf, good)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), broken, good, huge)
    times, gradients = jax.jit(jax.vmap(jax.value_and_grad(escape_time_of)))(batch)
    alone, gradient = jax.value_and_grad(escape_time_of)(good)
    assert times[0] == jnp.inf
    np.testing.assert_allclose(times[1], alone, rtol=1e-12)
    for all_, one in zip(jax.tree.leaves(gradients), jax.tree.leaves(gradient), strict=True):
        assert jnp.all(jnp.isfinite(all_[:2])) and jnp.all(all_[0] == 0)
        np.testing.assert_allclose(all_[1], one, rtol=1e-9, atol=1e-12)


def test_the_count_is_checked():
    with pytest.raises(
        ValueError, match="^Argument `count` must be an integer from 1 to 12, got 0"
    ):
        strength_path(growing(), 0)


@pytest.mark.slow
@pytest.mark.parametrize("data, num_steps", [("full_batch", 150), ("online", 150)])
def test_long_trainings_agree_with_uncompressed_spikes(data, num_steps):
    weights = training(num_steps=num_steps, nu=1.0, data=data)
    steps = jnp.array([20, 33, 70, num_steps])
    found = strengths_at(weights, steps)[0][:, 0]
    exact = [np.linalg.eigvals(transfer_matrix(prefix(weights, int(s)))).real.max() for s in steps]
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.slow
def test_batches_of_long_trainings_agree_with_single_ones():
    batch = [training(num_steps=36, eta=eta) for eta in (0.02, 0.03)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batch)
    evaluate = jax.jit(jax.value_and_grad(lambda w: escape_time_of(w) + strength_path(w)[-1, 0]))
    values, gradients = jax.jit(jax.vmap(evaluate))(together)
    for i, weights in enumerate(batch):
        value, gradient = evaluate(weights)
        np.testing.assert_allclose(values[i], value, rtol=1e-9)
        np.testing.assert_allclose(gradients.Ce[i], gradient.Ce, rtol=1e-6, atol=1e-9)
