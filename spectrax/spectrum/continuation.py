r"""The physical solution of a self-consistent equation, followed down to the real axis.

Far above the axis plain iteration converges; from there Newton's method follows the solution.
"""

import jax
import jax.numpy as jnp

from spectrax.spectrum.linear import solve

HIGH, LOW = 30.0, 1e-7  # first height over the axis in units of the bound, last in those of z
FACTOR = 1.5  # between heights
PLAIN, STEPS, LAST = 100, 2, 8  # plain iterations; Newton steps at each height, at the end
BATCH = 128  # points solved side by side


def in_batches(law, function, z):
    """A function at many points, some at a time."""
    size = max(1, min(BATCH, 100_000 // law.size**2, len(z)))
    full = jnp.pad(z, (0, -len(z) % size), mode="edge").reshape(-1, size)  # one compilation
    found = jax.lax.map(jax.vmap(function), full)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(z)], found)


def descend(law, z):
    """Follow the solution from far above the axis down to z."""
    high, low = HIGH * (law.bound() + jnp.abs(z)), jnp.maximum(LOW * jnp.abs(z), 1e-30)
    linearised = law.linearised()

    def newton(g, z, steps):
        def step(_, g):
            T, jacobian = linearised(g, z)
            new = g - solve(jacobian, g - T)
            return jnp.where(jnp.isfinite(new).all(), new, g)

        return jax.lax.fori_loop(0, steps, step, g)

    def lower(state):
        g, above, height = state
        # Close to an atom or a divergence solutions go as powers of the height, which two steps of
        # Newton's method would not follow: start from the next term of a geometric sequence.
        ratio = g / jnp.where(above == 0, 1.0, above)
        guess = jnp.where((above != 0) & (jnp.abs(ratio - 1) < 1), g * ratio, g)
        return newton(guess, z + 1j * height, STEPS), g, height / FACTOR

    def go_on(state):
        return (low < state[2]) & (state[2] < jnp.inf)

    start = jnp.zeros(law.size, complex)
    g = jax.lax.fori_loop(0, PLAIN, lambda _, g: law.update(g, z + 1j * high), start)
    g, _, _ = jax.lax.while_loop(go_on, lower, (g, g, high))
    return newton(g, z, LAST)
