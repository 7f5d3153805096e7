"""Real strengths as roots of the eigenvalues of Y, see `inertia`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from spectrax.seam import CoupledSpikes, SymmetricSpikes
from spectrax.spectrum.spikes._quadratic_form import quadratic_form
from spectrax.spectrum.spikes.transfer_matrix import critical_strength

TINY = 1e-100  # strength at which spikes without noise are counted
ROOT, STEPS = 1e-15, 80  # relative tolerance of a strength, and how many steps it may take
# Below the threshold inertia counts nothing: a root is looked for between these strengths, in units
# of the critical one.
LADDER = (1.0, 0.99, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.03, 0.01)


def threshold(spikes):
    """The critical strength, positive where there is no noise either."""
    return jnp.maximum(critical_strength(spikes), TINY)


def eigenvalue(inertia, tau, place):
    """The eigenvalue of Y of that place from below, its vector, its slope in the strength."""
    matrix, move = jax.jvp(inertia.matrix, (tau,), (jnp.ones_like(tau),))
    values, vectors = jnp.linalg.eigh(matrix)
    u = vectors[:, place]
    return values[place], u, u @ move @ u


def real_strengths(
    spikes: CoupledSpikes | SymmetricSpikes, count: int, sign: float, *, beyond: bool = False
) -> tuple[Float[Array, " count"], Array]:
    r"""Largest (sign = 1) or lowest (-1) real strengths, with derivatives by the null vector.

    Beyond the threshold these are all, in order. Above the bulk the roots go on below the
    threshold, down to a hundredth of it: there the first is the largest real strength. Where the
    leading strengths are complex, further ones are real or there is none.

    Args:
        spikes: usable spikes.
        count: how many.
        sign: which.
        beyond: only strengths beyond the threshold.

    Returns:
        Strengths, zero where there is none; whether there is one.
    """
    inertia, (root, found) = roots(spikes, count, sign, beyond=beyond)

    def moving(place, safe):
        value, u, slope = eigenvalue(inertia, safe, place)
        form = inertia.form(spikes, safe, inertia.lift(safe, value, u))
        return safe - (form - jax.lax.stop_gradient(form)) / jnp.where(slope == 0, 1.0, slope)

    safe = jnp.where(found, root, sign * 2 * threshold(inertia.spikes))
    moved = jax.vmap(moving)(_places(inertia, count, sign), safe)
    return jnp.where(found, moved, 0.0), found


def null_vectors(spikes: CoupledSpikes, count: int, sign: float):
    r"""Real strengths, zero where there is none, and right vectors (a, c) of $\mathcal{T}$."""
    inertia, (root, found) = roots(spikes, count, sign)

    def vector(place, safe):
        v = inertia.lift(safe, jnp.zeros(()), eigenvalue(inertia, safe, place)[1])
        return v.a, v.c

    safe = jnp.where(found, root, sign * 2 * threshold(inertia.spikes))
    a, c = jax.vmap(vector)(_places(inertia, count, sign), safe)
    return jnp.where(found, root, 0.0), a, c


def roots(spikes, count: int, sign: float, *, beyond: bool = False):
    """Y, its roots, and whether there are such."""
    inertia = quadratic_form(spikes)
    rungs = LADDER if sign > 0 and not beyond else LADDER[:1]
    near = sign * threshold(inertia.spikes) * jnp.array(rungs)
    places = _places(inertia, count, sign)
    values = jax.vmap(lambda tau: jnp.linalg.eigvalsh(inertia.matrix(tau)))(near)

    def one(place):
        inside = (sign * values[:, place] < 0) & (place >= 0)
        rung = jnp.argmax(inside)
        far = jnp.where(rung == 0, inertia.far(sign < 0), near[rung - 1])
        root = _root(inertia, place, sign, near[rung], far)
        return root, jnp.any(inside)

    return inertia, jax.vmap(one)(places)


def _places(inertia, count, sign):
    return inertia.lowest_place() - jnp.arange(count) if sign < 0 else jnp.arange(count)


def _root(inertia, place: Int[Array, ""], sign: float, near, far):
    """Where the eigenvalue of a place crosses zero between two strengths.

    At the near end it is negative (times the sign), at the far end it is not.
    """

    def step(state):
        near, far, tau, _, number = state
        value, _, slope = eigenvalue(inertia, tau, place)
        inside = sign * value < 0
        near, far = jnp.where(inside, tau, near), jnp.where(inside, far, tau)
        new = tau - value / jnp.where(slope == 0, 1.0, slope)
        low, high = jnp.minimum(near, far), jnp.maximum(near, far)
        new = jnp.where((new > low) & (new < high), new, (near + far) / 2)
        return near, far, new, jnp.abs(new - tau), number + 1

    def going(state):
        _, _, tau, move, number = state
        return (move > ROOT * jnp.abs(tau)) & (number < STEPS)

    start = (near, far, (near + far) / 2, jnp.abs(far - near), 0)
    return jax.lax.while_loop(going, step, start)[2]
