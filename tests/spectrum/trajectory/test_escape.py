import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import deep_linear_kernels
from spectrum.helpers import (
    TRAININGS,
    assert_physical,
    case_kernels,
    dot,
    exact_strengths,
    moved,
    prefix,
    scalars,
    training,
    weights_of,
)

import spectrax as sx
from spectrax.seam import TrainedWeights
from spectrax.spectrum import (
    escape_time,
    escape_time_of,
    margin_path,
    outlier_path,
    outliers,
    strength_path,
)
from spectrax.spectrum.trajectory._strengths import strengths_at

LONG, SHORT = 40, 12  # few shapes: few compilations
LAYERS = [(i, l) for i, case in enumerate(TRAININGS) for l in range(case["depth"])]

time_and_gradient = jax.jit(jax.value_and_grad(escape_time_of))
gradients_of_path = jax.jit(jax.jacrev(lambda weights: strength_path(weights)[:, 0]))


def with_coordinates(weights, coordinates):
    kernels = (weights.Ce, weights.Cf, weights.Re, weights.Rf)
    return TrainedWeights(*kernels, coordinates, weights.aspect, weights.sigma)


def lengthened(weights, num_steps):
    """The same training, followed by steps that change nothing."""
    more = num_steps - weights.num_steps
    coordinates = jnp.pad(weights.coordinates, ((0, more), (0, 0)), mode="edge")
    coordinates = jnp.pad(coordinates, ((0, 0), (0, more)))
    weights = jax.tree.map(lambda x: jnp.pad(x, (0, more)) if x.ndim else x, weights)
    return with_coordinates(weights, coordinates)


@pytest.mark.parametrize("index, layer", LAYERS)
def test_reference_trajectories_and_escape_times(index, layer):
    case = TRAININGS[index]
    expected, steps = case["layers"][layer], case["num_steps"]
    weights = lengthened(weights_of(case_kernels(index), layer), LONG)
    found = outlier_path(weights)
    strength, location = (x[1 : steps + 1, 0] for x in (found.strength, found.location))
    np.testing.assert_allclose(strength, expected["top_strength"], atol=1e-6)
    np.testing.assert_allclose(location, expected["top_eigenvalue"], rtol=1e-6)
    time = expected["escape_time_linear_interpolation"]
    np.testing.assert_allclose(escape_time_of(weights), np.inf if time is None else time, rtol=1e-6)
    assert_physical(prefix(weights, 7))


def growing(rate=0.4, aspect=0.5):
    """One classical spike that grows: strength aspect (rate t)² after t steps."""
    ones, none = jnp.ones((SHORT, SHORT)), jnp.zeros((SHORT, SHORT))
    made = jnp.tril(jnp.ones((SHORT + 1, SHORT)), -1)
    coordinates = jnp.concatenate([jnp.ones((SHORT + 1, 1)), rate * made], axis=1)
    return TrainedWeights(ones, ones, none, none, coordinates, *scalars(aspect, 1.0))


@pytest.mark.slow
def test_a_growing_classical_spike_in_closed_form():
    t = np.arange(SHORT + 1)
    strength, critical = 0.5 * (0.4 * t) ** 2, 0.5**0.5
    weights = growing()
    np.testing.assert_allclose(strength_path(weights)[:, 0], strength, atol=1e-12)
    np.testing.assert_allclose(margin_path(weights), strength - critical, atol=1e-12)
    first = np.argmax(strength > critical)
    low, high = strength[first - 1] - critical, strength[first] - critical
    time, gradient = time_and_gradient(weights)
    np.testing.assert_allclose(time, first - high / (high - low), rtol=1e-12)
    lines = [aspect * (0.4 * t) ** 2 - aspect**0.5 for aspect in (0.5 - 1e-6, 0.5 + 1e-6)]
    zeros = [first - line[first] / (line[first] - line[first - 1]) for line in lines]
    np.testing.assert_allclose(gradient.aspect, (zeros[1] - zeros[0]) / 2e-6, rtol=1e-5)
    at_once, _ = time_and_gradient(growing(rate=2.0))  # the margin starts from minus the critical
    np.testing.assert_allclose(at_once, critical / 2.0, rtol=1e-12)


def test_without_escape_the_time_is_infinite_and_its_derivative_zero():
    time, gradient = time_and_gradient(growing(rate=0.05))
    assert time == jnp.inf
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(gradient))


def test_escape_time_of_a_solution():
    class Solution:
        def weights(self, layer):
            return growing(rate=[0.4, 0.8][layer])

    assert escape_time(Solution(), 1) == time_and_gradient(growing(rate=0.8))[0]


def family(num_steps, layer):
    def build(eta=0.03, gamma0=4.0):
        kernels = deep_linear_kernels(2, num_steps, alpha=4.0, nu=2.0, eta=eta, gamma0=gamma0)
        return weights_of(kernels, layer)

    return build


@pytest.mark.parametrize("parameter, value", [("eta", 0.03), ("gamma0", 4.0)])
def test_escape_time_differentiates(parameter, value):
    build = family(SHORT, 0)
    low, high, slope = moved(build, parameter, value, 1e-5 * value)
    difference = time_and_gradient(high)[0] - time_and_gradient(low)[0]
    weights = build()
    forward = tangent_of_time(weights, slope)
    np.testing.assert_allclose(forward, difference / (2e-5 * value), rtol=1e-5)
    np.testing.assert_allclose(dot(time_and_gradient(weights)[1], slope), forward, rtol=1e-10)


@jax.jit
def tangent_of_time(weights, slope):
    return jax.jvp(escape_time_of, (weights,), (slope,))[1]


def exact_slopes(build, parameter, value, steps, width):
    """Central differences of the uncompressed strengths."""
    low, high = (build(**{parameter: value + shift}) for shift in (-width, width))
    ends = [[exact_strengths(end, step)[0] for step in steps] for end in (low, high)]
    return np.subtract(*ends[::-1]) / (2 * width)


def contract(gradients, slope):
    """One derivative for each row of the gradients."""
    pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(slope), strict=True)
    return sum(np.tensordot(g, s, s.ndim) for g, s in pairs)


def test_strengths_differentiate_at_every_step_real_or_complex():
    build, steps = family(SHORT, 0), range(2, SHORT + 1)  # at t = 1 the strength is a double zero
    *_, slope = moved(build, "eta", 0.03, 1e-7)
    assert strengths_at(build(), jnp.array([2, 12]))[1].astype(bool).tolist() == [[True], [False]]
    found = contract(gradients_of_path(build()), slope)[2:]
    np.testing.assert_allclose(found, exact_slopes(build, "eta", 0.03, steps, 1e-7), rtol=1e-5)


@pytest.mark.slow
def test_strengths_differentiate_in_compressed_fields():
    """Many more steps than the spikes' rank: eigenvectors are lifted to the whole training."""
    build, steps = family(LONG, 1), (34, LONG)

    @jax.jit
    def everything(weights, slope):
        def top(weights):
            return strengths_at(weights, jnp.array(steps))[0][:, 0]

        return jax.jvp(top, (weights,), (slope,))[1], jax.jacrev(top)(weights)

    *_, slope = moved(build, "gamma0", 4.0, 1e-5)
    forward, gradients = everything(build(), slope)
    expected = exact_slopes(build, "gamma0", 4.0, steps, 1e-5)
    np.testing.assert_allclose(forward, expected, rtol=1e-5)
    np.testing.assert_allclose(contract(gradients, slope), forward, rtol=1e-9)


def test_the_initial_matrix_may_change_its_scale():
    weights = training(num_steps=SHORT)
    coordinates = weights.coordinates.at[:, 0].set(0.97 ** jnp.arange(SHORT + 1))
    weights = with_coordinates(weights, coordinates)
    found = outlier_path(weights)
    for step in (4, SHORT):
        np.testing.assert_allclose(found.strength[step], exact_strengths(weights, step), rtol=1e-9)
    alone = outliers(weights.at(SHORT), 1)
    np.testing.assert_allclose(found.location[SHORT], alone.location, rtol=1e-9)
    forgotten = with_coordinates(weights, coordinates.at[9, 0].set(0.0))
    assert jnp.all(jnp.isfinite(strength_path(forgotten)))
    for leaf in jax.tree.leaves(gradients_of_path(forgotten)):
        assert jnp.all(jnp.isfinite(leaf))


def test_the_unit_of_the_weights_does_not_matter():
    """W and 1e-3 W, whose fields respond 1e3 times as much: every tolerance is a relative one."""
    weights, s = training(num_steps=LONG, eta=0.01, gamma0=2.0), 1e-3
    small = TrainedWeights(
        *(weights.Ce, weights.Cf, weights.Re / s, weights.Rf / s),
        weights.coordinates.at[:, 1:].multiply(s),
        *(weights.aspect, weights.sigma * s),
    )
    found, scaled = outlier_path(weights), outlier_path(small)
    np.testing.assert_allclose(scaled.strength, s**2 * found.strength, rtol=1e-9)
    np.testing.assert_allclose(scaled.location, s**2 * found.location, rtol=1e-9)


@pytest.mark.slow
def test_every_size_of_problem_can_be_built():
    """Traced only: more fields than the largest room, more strengths than the smallest has."""
    n = 140
    none, coordinates = jnp.zeros((n, n)), jnp.zeros((n + 1, n + 1))
    weights = TrainedWeights(none, none, none, none, coordinates, 1.0, 1.0)

    def tangent(weights, count):
        def strengths(weights):
            return strengths_at(weights, jnp.array([n]), count)[0]

        return jax.jvp(strengths, (weights,), (weights,))[1]

    for count in (1, 60):
        traced = jax.make_jaxpr(lambda weights, num=count: tangent(weights, num))(weights)
        assert traced.out_avals[0].shape == (1, count)
    traced = jax.make_jaxpr(lambda weights: strengths_at(weights, jnp.array([n])))(weights)
    for size in (32, n):  # early steps or few fields, and all fields: two eigenvalues for each
        assert f"f64[1,{2 * size},{2 * size}]" in str(traced)


def test_below_the_bulk_as_for_single_spikes():
    """The spike of `own_image` again, added in two steps."""
    ones, none = jnp.ones((2, 2)), jnp.zeros((2, 2))
    coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, -0.6, 0.0], [1.0, -0.3, -0.6]])
    weights = TrainedWeights(ones, ones, none, none.at[:, 0].set(1.0), coordinates, 3.0, 1.0)
    found = outlier_path(weights, 1, side="below")
    np.testing.assert_allclose(found.strength[1:, 0], [-2.52, -2.97], rtol=1e-10)
    np.testing.assert_allclose(found.location[:, 0], [4 - 12**0.5, 0.2895, 0.0199], atol=5e-5)
    assert found.escaped[:, 0].tolist() == [False, True, True]


def test_classes_with_correlated_teachers():
    weights = training(num_steps=6, num_classes=2, teacher_gram=((1.0, 0.4), (0.4, 1.0)))
    path = strength_path(weights, 2)
    for step in (3, 6):
        np.testing.assert_allclose(path[step], exact_strengths(weights, step, 2), rtol=1e-9)
    assert path[6, 0] > 1.05 * path[6, 1] > 0


@pytest.mark.slow
def test_class_copies_have_the_strength_and_derivative_of_a_single_class():
    single, copies = (training(num_steps=6, num_classes=c) for c in (1, 2))
    path, pair = strength_path(single, 1), strength_path(copies, 2)
    np.testing.assert_allclose(pair[6], path[6, 0], rtol=1e-9)
    one = jax.jit(jax.grad(lambda w: strength_path(w, 1)[6, 0]))(single)
    for count in (1, 2):  # asked for one, its equal counts as well
        two = jax.jit(jax.grad(lambda w, num=count: strength_path(w, num)[6, 0]))(copies)
        for c in (0, 1):  # each copy moves their mean by half
            of_copy = two.Ce.reshape(6, 2, 6, 2)[:, c, :, c]
            np.testing.assert_allclose(of_copy, one.Ce / 2, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(two.coordinates, one.coordinates, rtol=1e-7, atol=1e-10)


def test_the_last_steps_of_two_classes_have_all_their_fields():
    """More fields than steps, next to the size at which fields are compressed."""
    weights = training(num_steps=20, num_classes=2, teacher_gram=((1.0, 0.4), (0.4, 1.0)))
    grow = weights.coordinates * jnp.linspace(0.5, 1.0, 21)  # of newest and oldest alike

    def along(t):
        return with_coordinates(weights, weights.coordinates + t * grow)

    slope = jax.jvp(lambda t: strengths_at(along(t), jnp.array([18]))[0][0, 0], (0.0,), (1.0,))[1]
    low, high = (exact_strengths(along(t), 18)[0] for t in (-1e-6, 1e-6))
    np.testing.assert_allclose(slope, (high - low) / 2e-6, rtol=1e-6)


def test_a_diverged_element_spoils_no_batch():
    good = training(num_steps=SHORT, layer=0)
    broken = jax.tree.map(lambda x: x.at[-1].set(jnp.nan) if x.ndim else x, good)
    huge = jax.tree.map(lambda x: 1e200 * x if x.ndim else x, good)
    huge = with_coordinates(huge, good.coordinates)
    batch = jax.tree.map(lambda *x: jnp.stack(x), broken, good, huge)
    times, gradients = jax.vmap(time_and_gradient)(batch)
    time, gradient = time_and_gradient(good)
    assert times[0] == jnp.inf
    np.testing.assert_allclose(times[1], time, rtol=1e-12)
    for mixed, alone in zip(jax.tree.leaves(gradients), jax.tree.leaves(gradient), strict=True):
        assert jnp.all(mixed[0] == 0) and jnp.all(jnp.isfinite(mixed))
        np.testing.assert_allclose(mixed[1], alone, rtol=1e-9, atol=1e-12)


def test_the_count_is_checked():
    with pytest.raises(
        ValueError, match="^Argument `count` must be an integer from 1 to 24, got 0"
    ):
        strength_path(growing(), 0)


@pytest.mark.slow
@pytest.mark.parametrize("data", ["full_batch", "online"])
def test_long_trainings_agree_with_uncompressed_spikes(data):
    weights = training(num_steps=150, nu=1.0, data=data)
    steps = (20, 33, 70, 150)
    found = strengths_at(weights, jnp.array(steps))[0][:, 0]
    exact = [exact_strengths(weights, step)[0] for step in steps]
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.slow
def test_batches_of_long_trainings_agree_with_single_ones():
    batch = [training(num_steps=36, eta=eta) for eta in (0.02, 0.03)]
    together = jax.tree.map(lambda *x: jnp.stack(x), *batch)

    def observed(weights):
        return escape_time_of(weights) + strength_path(weights)[-1, 0]

    evaluate = jax.jit(jax.value_and_grad(observed))
    values, gradients = jax.jit(jax.vmap(evaluate))(together)
    for i, weights in enumerate(batch):
        value, gradient = evaluate(weights)
        np.testing.assert_allclose(values[i], value, rtol=1e-9)
        np.testing.assert_allclose(gradients.Ce[i], gradient.Ce, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameterization", "first", "times"),
    [
        (sx.mup, [13, 9, 7, 7, 7], [12.51, 8.19, 6.99, 6.58, 6.26]),
        (sx.ntk, [13, np.inf, np.inf, np.inf, np.inf], [12.51, np.inf, np.inf, np.inf, np.inf]),
    ],
)
def test_escape_over_widths_of_the_theory_page(parameterization, first, times):
    """In muP wide networks escape together, in NTK parameterization they never do."""

    @jax.jit
    @jax.vmap
    def escape(nu):
        options = {"eta": 0.03, "gamma0": 4.0, "parameterization": parameterization}
        model = sx.DeepLinear(2, 40, alpha=4.0, nu=nu, **options)
        return sx.escape_time(sx.solve(model, throw=False), layer=1)

    found = escape(jnp.array([1.0, 2.0, 4.0, 8.0, 32.0]))
    np.testing.assert_allclose(found, times, atol=0.006)
    np.testing.assert_array_equal(np.ceil(found), first)


def test_idle_steps_delay_the_escape_by_as_many():
    """Also across the steps that are searched together."""
    T = 20
    t, s = np.arange(T + 1)[:, None], np.arange(T)
    ones, zeros = jnp.ones((T, T)), jnp.zeros((T, T))

    @jax.jit
    def time(coordinates):
        return escape_time_of(TrainedWeights(ones, ones, zeros, zeros, coordinates, 1.0, 1.0))

    for idle in (0, 14, 15, 16, 17):
        spikes = np.where((s >= idle) & (s < t), 0.8, 0.0)
        found = time(jnp.asarray(np.hstack([np.ones((T + 1, 1)), spikes])))
        np.testing.assert_allclose(found, idle + 1.1875, rtol=1e-9)
