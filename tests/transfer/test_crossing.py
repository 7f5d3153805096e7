"""The root finder of the edge of stability, on functions with known crossings."""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

from spectrax.transfer._crossing import GridCrossing, _bracket

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


STEEP = {
    "one side 1e13 times the other": (lambda x: jnp.expm1(200 * (x - 1.6)), 1.6),
    "the other side": (lambda x: -jnp.expm1(-200 * (x - 1.4)), 1.4),
    "a jump": (lambda x: jnp.where(x > 1.6, 1e9, -1.0), 1.6),
    "a flat place": (lambda x: (x - 1.6) ** 3, 1.6),
    "a step": (lambda x: jnp.arctan(1e6 * (x - 1.6)), 1.6),
    "small numbers": (lambda x: 1e-200 * (x**2 - 2.7), 2.7**0.5),
    "a parabola": (lambda x: x**2 - 2.7, 2.7**0.5),
    "a root on the grid": (lambda x: x - 1.5, 1.5),
}


@pytest.mark.parametrize("name", STEEP)
def test_a_crossing_is_found_whatever_the_sizes_on_its_two_sides(name):
    """To the last digits, in no more evaluations than bisection; smooth ones in about ten."""
    function, root = STEEP[name]
    found = find(lambda x: (function(x), x))
    np.testing.assert_allclose(found.value, root, rtol=1e-11)
    bisections = 13 + np.log2(0.25 / 1e-12)
    assert found.stats["num_steps"] < bisections + 2
    if name in ("a parabola", "small numbers", "a root on the grid"):
        assert found.stats["num_steps"] < 13 + 10


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
