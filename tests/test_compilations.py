"""The counter counts."""

import jax
import jax.numpy as jnp
from compilations import compilations


def test_a_new_function_counts_and_a_known_one_does_not():
    x, function = jnp.ones(7), jax.jit(lambda x: jnp.sin(x) + 1.25)
    with compilations() as first:
        function(x)
    with compilations() as second:
        function(x + 0 * x)
        function(2 * x)
    with compilations() as other_shape:
        function(jnp.ones(8))
    assert first.number == 1
    assert second.number <= 2  # the products and sums around it
    with compilations() as third:
        function(x + 0 * x)
        function(2 * x)
    assert third.number == 0 < other_shape.number
