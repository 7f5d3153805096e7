"""The root finder of the edge of stability, on functions with known crossings."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

from spectrax.transfer.crossing import GridCrossing, _bracket

GRID = jnp.linspace(0.0, 3.0, 13)


def find(function):
    solver = GridCrossing(rtol=1e-12, atol=1e-12)
    options = {"grid": GRID}
    return optx.root_find(
        lambda x, _: function(x), solver, GRID[0], None, options, has_aux=True, throw=False
    )


def test_the_crossing_of_lowest_score():
    """sin turns positive at 0.7 + 2πk/5; downward crossings do not count."""

    def function(x):
        return jnp.sin(5 * (x - 0.7))

    roots = 0.7 + 2 * np.pi / 5 * np.arange(2)
    for score, root in ((lambda x: x, roots[0]), (lambda x: -x, roots[1])):
        found = find(lambda x, score=score: (function(x), score(x)))
        assert found.stats["found"]
        np.testing.assert_allclose(found.value, root, rtol=1e-11)


def test_of_two_crossings_the_one_with_the_lowest_score_at_an_end():
    """The other ends do not matter: here the worst of all is at the best crossing."""
    values, scores = jnp.array([-1.0, 2.0, -3.0, 4.0]), jnp.array([9.0, 1.0, 3.0, 2.0])
    *found, exists = _bracket(jnp.arange(4.0), values, scores)
    assert [float(x) for x in found] == [0.0, 1.0, -1.0, 2.0] and exists


def test_a_crossing_at_the_end_of_a_flat_stretch_is_found_to_the_last_digit():
    """Where false position alone keeps one end of the bracket and creeps."""
    found = find(lambda x: ((x - 1.6) ** 9 + 1e-9, x))
    np.testing.assert_allclose(found.value, 1.5, rtol=1e-9)
    assert found.result == optx.RESULTS.successful and found.stats["num_steps"] < 60


def test_infinite_values_are_positive():
    def function(x):
        return jnp.where(x > 1.9, jnp.nan, x**3 - 4.0), x

    found = find(function)
    np.testing.assert_allclose(found.value, 4.0 ** (1 / 3), rtol=1e-11)
    jump = find(lambda x: (jnp.where(x > 1.23, jnp.inf, -1.0), x))
    np.testing.assert_allclose(jump.value, 1.23, rtol=1e-10)


def test_without_a_crossing_the_end_to_which_the_function_points():
    for sign, end in ((1.0, 0.0), (-1.0, 3.0)):
        found = find(lambda x, sign=sign: (sign * (1.0 + x), x))
        assert not found.stats["found"]
        assert found.value == end


def test_elements_of_a_batch_do_not_meet():
    def root(a):
        return find(lambda x: (jnp.where(a > 0, x**2 - a, jnp.nan), x)).value

    values = jnp.array([2.0, 0.5, -1.0, 7.0])
    np.testing.assert_allclose(
        jax.vmap(root)(values)[jnp.array([0, 1, 3])],
        values[jnp.array([0, 1, 3])] ** 0.5,
        rtol=1e-11,
    )
