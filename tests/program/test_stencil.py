"""Stencils: a matrix that acts on the index axis is one matrix for each offset, in one piece."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

import spectrax as sx
from spectrax.program.causal import Task, sweep
from spectrax.program.field import Field
from spectrax.program.finite import FiniteOps, unfolded
from spectrax.program.objects import Constant, Stencil, Vector, weight

T, SAMPLES, LENGTH = 4, 2, 3
PLACE = np.arange(SAMPLES * LENGTH).reshape(SAMPLES, LENGTH)


def table(stride=1):
    """Offsets -1, 0, 1 with zero padding."""
    padded = np.pad(PLACE, ((0, 0), (1, 1)), constant_values=-1)
    columns = [padded[:, d : d + LENGTH : stride].ravel().tolist() for d in range(3)]
    return tuple(map(tuple, columns))


def shift(row):
    """S_d as a matrix for `mix`, (inputs, outputs)."""
    out = np.zeros((PLACE.size, len(row)))
    for output, place in enumerate(row):
        if place >= 0:
            out[place, output] = 1.0
    return out


STRIDE = 2
TABLE = table(STRIDE)
NEW = len(TABLE[0])
GRAM = np.random.default_rng(0).normal(size=(PLACE.size, PLACE.size))
GRAM = GRAM @ GRAM.T / PLACE.size
DIMS = {"rows": 1.5, "cols": 1.0}
THETA = jnp.hstack([0.98 ** jnp.arange(T)[:, None], jnp.tril(jnp.full((T, T), 0.02), -1)])


def ends():
    return {"x": Constant("cols", jnp.asarray(GRAM)), "w": Vector("rows", NEW)}


def whole(t, sigma=0.9):
    return ends() | {"W": weight("rows", "cols", sigma, stencil=Stencil(TABLE, PLACE.size))}


def in_parts(t):
    return ends() | {f"W{d}": weight("rows", "cols", 0.9) for d in range(3)}


def network(apply, apply_transposed, append):
    """Two applications in each direction; the second gradient has numbers of its own."""

    def program(ops, t):
        x, g = ops["x"] + 0.3 * ops.recall("z", "cols", PLACE.size), ops["w"].value
        y = apply(ops, x)
        v = g + 0.2 * y
        z = apply_transposed(ops, v)
        again = apply(ops, z)
        append(ops, v, x, jnp.linspace(0.5, 1.5, NEW) * (1 + 0.1 * t))
        append(ops, v, z, None)
        ops["w"].append(again)
        ops.remember("z", z)
        pairs = [(y, y), (z, x), (z, z), (again, v), (again, again)]
        ops.observe("numbers", jnp.concatenate([ops.inner(*pair).ravel() for pair in pairs]))

    return program


one_matrix = network(
    lambda ops, x: ops["W"] @ x,
    lambda ops, g: ops["W"].T @ g,
    lambda ops, g, h, m: ops["W"].append(g, h, m),
)


def matrices():
    """The same with a matrix for each offset, whose inputs are kept to be appended."""
    root, met = np.sqrt(3.0), {}

    def total(terms):
        return sum(terms[1:], terms[0])

    def apply(ops, x):
        met[id(x)] = [x.mix(shift(row) / root) for row in TABLE]
        met["keep", id(x)] = x
        return total([ops[f"W{d}"] @ y for d, y in enumerate(met[id(x)])])

    def apply_transposed(ops, g):
        return total([(ops[f"W{d}"].T @ g).mix(shift(r).T / root) for d, r in enumerate(TABLE)])

    def append(ops, g, h, m):
        for d, y in enumerate(met[id(h)]):
            ops[f"W{d}"].append(g, y, m)

    return network(apply, apply_transposed, append)


def numbers(program, objects):
    return sweep(Task(program, objects, DIMS, THETA)).seen["numbers"]


def test_one_matrix_with_a_stencil_is_a_matrix_for_each_offset():
    found = numbers(one_matrix, whole)
    np.testing.assert_allclose(found, numbers(matrices(), in_parts), rtol=1e-10, atol=1e-12)


def test_a_stencil_of_one_offset_that_reads_everything_is_none():
    """A permutation of the index axis."""
    order = np.random.default_rng(1).permutation(PLACE.size)[:NEW]
    stencil = Stencil((tuple(order.tolist()),), PLACE.size)

    def objects(t, plain):
        given = weight("rows", "cols", 0.9, stencil=None if plain else stencil)
        return ends() | {"W": given}

    pick = np.eye(PLACE.size)[:, order]
    plain = network(
        lambda ops, x: ops["W"] @ x.mix(pick),
        lambda ops, g: (ops["W"].T @ g).mix(pick.T),
        lambda ops, g, h, m: None,
    )
    other = network(
        lambda ops, x: ops["W"] @ x, lambda ops, g: ops["W"].T @ g, lambda ops, g, h, m: None
    )
    found = [numbers(program, partial(objects, plain=p)) for program, p in ((plain, 1), (other, 0))]
    np.testing.assert_allclose(*found, rtol=1e-11, atol=1e-13)


@pytest.mark.slow
def test_derivatives_with_a_stencil():
    def total(sigma):
        return jnp.sum(jnp.sin(numbers(one_matrix, partial(whole, sigma=sigma[0]))))

    slope = jax.jit(jax.grad(total))(jnp.array([0.9]))
    expected = central_differences(jax.jit(total), jnp.array([0.9]))
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


def test_finite_matrices_convolve():
    """Against NumPy: forward, transposed, gradient, and all offsets side by side."""
    sizes, rng = {"rows": 3, "cols": 4}, np.random.default_rng(0)
    ops = FiniteOps(whole(0), sizes, jax.random.key(0), jnp.asarray(0), {})
    x, g = rng.normal(size=(PLACE.size, 4)), rng.normal(size=(NEW, 3))
    h, m = Field("cols", jnp.asarray(x)), rng.normal(size=NEW)
    y, z = ops["W"] @ h, ops["W"].T @ Field("rows", jnp.asarray(g))
    W, S = np.asarray(ops.store["W"]), [shift(row) for row in TABLE]  # (3, rows, cols)
    assert W.shape == (3, 3, 4)
    root = np.sqrt(3.0)
    np.testing.assert_allclose(
        y.data, sum(s.T @ x @ w.T for s, w in zip(S, W, strict=True)) / root, rtol=1e-12
    )
    np.testing.assert_allclose(
        z.data, sum(s @ g @ w for s, w in zip(S, W, strict=True)) / root, rtol=1e-12
    )
    ops["W"].append(Field("rows", jnp.asarray(g)), h, jnp.asarray(m))
    gradient = [-(m[:, None] * g).T @ (s.T @ x) / root / 4 for s in S]
    np.testing.assert_allclose(ops.gradients["W"], gradient, rtol=1e-12, atol=1e-15)
    E = np.hstack([s.T @ x for s in S])  # what each output reads
    np.testing.assert_allclose(E @ unfolded(ops.store["W"]).T, y.data, rtol=1e-12)


def test_wrong_stencils_are_refused():
    with pytest.raises(ValueError, match="`table` must read each of 3 inputs at most once"):
        Stencil(((0, 0),), 3)
    with pytest.raises(ValueError, match="`table` must read each of 3 inputs"):
        Stencil(((0, 3),), 3)

    def program(ops, t):
        ops["W"] @ ops["x"].mix(np.eye(PLACE.size)[:, :2])

    with pytest.raises(ValueError, match="`W` takes fields of size 6, got 2"):
        Task(program, whole, DIMS, THETA)
    limit = sx.SampledLimit(256, key=jax.random.key(0))
    task = Task(one_matrix, whole, DIMS, THETA)
    sampled = Task(one_matrix, whole, DIMS, THETA, interpreter=limit.prepare(task.plan, T)[0])
    with pytest.raises(ValueError, match="`W` has a stencil, which SampledLimit does not know"):
        sweep(sampled)
