r"""The physical solution of a self-consistent equation, followed down to the real axis.

Far above the axis plain iteration converges; from there Newton's method follows the solution.
"""

import jax
import jax.numpy as jnp

from spectrax.spectrum.linear import solve

HIGH, LOW = 30.0, 1e-7  # first height over the axis in units of the bound, last in those of z
FACTOR = 1.5  # between heights
PLAIN, STEPS, LAST = 100, 2, 8  # plain iterations; Newton steps at each height, at the end
CLOSE, FINEST = 1e-2, 1.01  # last Newton step, relative, and factor from which all is accepted
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
        def step(_, state):
            g = state[0]
            T, jacobian = linearised(g, z)
            new = g - solve(jacobian, g - T)
            return jnp.where(jnp.isfinite(new).all(), new, g), g

        return jax.lax.fori_loop(0, steps, step, (g, g))

    def lower(state):
        g, above, height, factor, before = state
        # Close to an atom or a divergence solutions go as powers of the height, which two steps of
        # Newton's method would not follow: start from the next term of a geometric sequence.
        ratio = g / jnp.where(above == 0, 1.0, above)
        near = (above != 0) & (jnp.abs(ratio - 1) < 1)
        power = jnp.log(factor) / jnp.log(before)
        guess = g * jnp.exp(power * jnp.log(jnp.where(near, ratio, 1.0)))
        new, last = newton(guess, z + 1j * height / factor, STEPS)
        small = 1e-6 * jnp.max(jnp.abs(new))
        arrived = (jnp.abs(new - last) <= CLOSE * (jnp.abs(new) + small)).all()
        fine = (arrived & (law.transform(new).imag <= 0)) | (factor < FINEST)
        gone = new, g, height / factor, jnp.minimum(factor**2, FACTOR), factor
        back = g, above, height, jnp.sqrt(factor), before  # too far: another branch is near
        return jax.tree.map(lambda a, b: jnp.where(fine, a, b), gone, back)

    def go_on(state):
        return (low < state[2]) & (state[2] < jnp.inf)

    start = jnp.zeros(law.size, complex)
    g = jax.lax.fori_loop(0, PLAIN, lambda _, g: law.update(g, z + 1j * high), start)
    factor = jnp.full_like(high, FACTOR)
    g = jax.lax.while_loop(go_on, lower, (g, g, high, factor, factor))[0]
    return newton(g, z, LAST)[0]
