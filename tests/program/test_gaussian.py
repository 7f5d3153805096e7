"""The Gaussian limit of programs, against closed forms and against sampled matrices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrax.program.causal import Task, sweep
from spectrax.program.finite import FiniteOps
from spectrax.program.objects import Constant, Matrix, Vector, weight


def solve_program(program, objects, dims, num_steps):
    theta = jnp.eye(num_steps + 1)[:1].repeat(num_steps, 0)  # nothing trained
    return sweep(Task(program, lambda t: objects, dims, theta))


def test_wishart_moments_are_those_of_marchenko_pastur():
    """<x, (A^T A)^k x> for k = 1, 2, 3, by applying A and A^T several times in one step."""
    rho, sigma = 0.7, 1.3

    def program(ops, t):
        A, x = ops["A"], ops["x"]
        y = A.T @ (A @ x)
        z = A.T @ (A @ y)
        ops.observe("moments", jnp.stack([ops.inner(x, y), ops.inner(x, z), ops.inner(y, z)]))

    objects = {"A": Matrix("rows", "cols", sigma), "x": Constant("cols", jnp.eye(1))}
    dims = {"rows": 3 * rho, "cols": 3.0}  # only ratios count
    found = solve_program(program, objects, dims, 2).seen["moments"]
    # Marchenko–Pastur moments of variance sigma^2 / cols: Narayana polynomials in rho
    s = sigma**2
    exact = [s * rho, s**2 * (rho + rho**2), s**3 * (rho + 3 * rho**2 + rho**3)]
    for step in range(2):  # the second step asks the very same of the same matrix
        np.testing.assert_allclose(found[step, :, 0, 0], exact, rtol=1e-12)


def test_products_of_square_matrices_have_fuss_catalan_moments():
    """<x, (P^T P)^2 x> for P = A B: Fuss–Catalan numbers 3, then 12 for (P^T P)^3."""

    def program(ops, t):
        A, B, x = ops["A"], ops["B"], ops["x"]

        def square(v):
            return B.T @ (A.T @ (A @ (B @ v)))

        y = square(x)
        z = square(y)
        ops.observe("moments", jnp.stack([ops.inner(x, y), ops.inner(y, y), ops.inner(y, z)]))

    objects = {"A": Matrix("a", "b"), "B": Matrix("b", "c"), "x": Constant("c", jnp.eye(1))}
    found = solve_program(program, objects, {"a": 1.0, "b": 1.0, "c": 1.0}, 1).seen["moments"]
    np.testing.assert_allclose(found[0, :, 0, 0], [1.0, 3.0, 12.0], rtol=1e-12)


def test_a_later_program_may_use_a_matrix_more_often():
    """Wishart moments of the matrix that an earlier program applied once: 1, 2, 5.

    A constant that only the later program knows, first in the alphabet, changes the layout too.
    A third program that applies the matrix once, again, meets the same matrix.
    """

    def first(ops, t):
        y = ops["A"] @ ops["x"]
        ops.observe("norm", ops.inner(y, y))

    def second(ops, t):
        A = ops["A"]
        y = A @ ops["x"]
        z = A @ (A.T @ y)
        new = A @ (A.T @ (A @ ops["a new one"]))
        pairs = [(y, y), (y, z), (z, z), (new, y), (new, new)]
        ops.observe("moments", jnp.stack([ops.inner(*pair) for pair in pairs]))

    one = Constant("b", jnp.eye(1))
    task = Task(
        first, lambda t: {"A": Matrix("a", "b"), "x": one}, {"a": 1.0, "b": 1.0}, jnp.eye(1, 2)
    )
    more = lambda t: {"a new one": one}  # noqa: E731
    task = task.followed_by(second, jnp.eye(2, 3), sweep(task).tapes, more)
    found = sweep(task)
    moments = found.seen["moments"][0, :, 0, 0]
    np.testing.assert_allclose(moments, [1.0, 2.0, 5.0, 0.0, 5.0], atol=1e-12)
    third = task.followed_by(first, jnp.eye(3, 4), found.tapes)
    np.testing.assert_allclose(sweep(third).seen["norm"], 1.0, rtol=1e-12)


def test_a_spike_lies_between_its_own_fields():
    """W meets x1, x2 and y1, y2 in each step and learns y2 x2' / cols, which rows see twice."""

    def program(ops, t):
        W, x, y = ops["W"], [ops["x1"], ops["x2"]], [ops["y1"], ops["y2"]]
        forward, backward = [W @ v for v in x], [W.T @ v for v in y]
        W.append(y[1], x[1])
        ops.observe("rows", jnp.block([[ops.inner(u, v) for v in forward] for u in y]))
        ops.observe("cols", jnp.block([[ops.inner(u, v) for v in backward] for u in x]))

    def objects(t):
        ends = {f"x{k}": Constant("cols", jnp.eye(1)) for k in (1, 2)}
        ends |= {f"y{k}": Constant("rows", jnp.eye(1)) for k in (1, 2)}
        return {"W": weight("rows", "cols"), **ends}

    coordinates = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.3, 0.0]])
    seen = sweep(Task(program, objects, {"rows": 2.0, "cols": 1.0}, coordinates)).seen
    spike = 0.3 * np.diag([0.0, 1.0])
    np.testing.assert_allclose(seen["rows"], [0 * spike, spike], atol=1e-12)
    np.testing.assert_allclose(seen["cols"], [0 * spike, 2 * spike], atol=1e-12)


def test_the_past_is_read_field_by_field():
    """x_t = c + x_0 + ... + x_(t-1) doubles at every step; later rows of the past are empty."""

    def program(ops, t):
        past = ops.history("x", "cols", 4)
        x = ops["c"] + past.mix(jnp.ones((4, 1)))
        ops.remember("x", x)
        ops.observe("norms", jnp.append(ops.inner(past, past).diagonal(), ops.inner(x, x)))

    objects = {"c": Constant("cols", jnp.eye(1))}
    found = solve_program(program, objects, {"cols": 1.0}, 4).seen["norms"]
    powers = 4.0 ** np.arange(4)
    np.testing.assert_allclose(found[:, :4], np.tril(np.ones((4, 4)), -1) * powers, rtol=1e-12)
    np.testing.assert_allclose(found[:, 4], powers, rtol=1e-12)


def strange_objects(t):
    return {
        "W": weight("rows", "cols", 0.9),
        "A": Matrix("rows", "rows"),
        "w": Vector("rows", 2),
        "x": Constant("cols", jnp.array([[1.0, 0.4], [0.4, 0.8]])),
    }


def strange_program(ops, t):
    """Two matrices, several calls a step, fields of size two and one, memory, and spikes."""
    W, A, w, x = (ops[name] for name in ("W", "A", "w", "x"))
    g = w.value + 0.3 * (A @ w.value)
    h = 0.5 * (W.T @ g) + x
    last = ops.recall("last", "cols", 1)
    one = h.mix(jnp.array([[1.0], [-0.5]])) + 0.2 * last
    ops.remember("last", ops.project_out("last", one) * 0.5)
    u = W @ one
    v = W @ h
    W.append(g, h)
    w.append(v + u.mix(jnp.array([[0.3, 0.1]])) + 0.1 * (A.T @ v))
    ops.observe("numbers", jnp.concatenate([ops.inner(v, w.value).ravel(), ops.inner(one, one)[0]]))


THETA = jnp.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.9, 0.2, 0.0, 0.0, 0.0],
        [0.85, 0.15, 0.25, 0.0, 0.0],
        [0.8, 0.1, 0.2, -0.3, 0.0],
    ]
)


@partial(jax.jit, static_argnums=0)
def strange_sample(size, key):
    """The same program on sampled matrices, weights assembled from their coordinates."""
    sizes = {"rows": round(1.5 * size), "cols": size}
    store, pairs, memory, out = {}, [], {}, []
    for t in range(4):
        ops = FiniteOps(
            strange_objects(t), sizes, key, jnp.asarray(t), dict(store), memory or {"last": None}
        )
        if t == 0:
            ops.memory = {"last": jnp.zeros((4, 1, size))}
            strange_program(ops, jnp.asarray(t))
            store = {k: ops.store[k] for k in ("W", "A", "w", "x")}
            start = dict(store)
            memory = ops.memory
        else:
            W = THETA[t, 0] * start["W"] - sum(THETA[t, s + 1] * pairs[s][0] for s in range(t))
            w = THETA[t, 0] * start["w"] - sum(THETA[t, s + 1] * pairs[s][1] for s in range(t))
            ops.store |= {"W": W, "w": w}
            strange_program(ops, jnp.asarray(t))
        pairs.append((ops.gradients["W"], ops.gradients["w"]))
        memory = {"last": memory["last"].at[t].set(ops.records["last"][0])}
        out.append(ops.seen["numbers"])
    return jnp.stack(out)


@pytest.mark.slow
@pytest.mark.parametrize("size", [300, 600])
def test_any_linear_program_is_the_limit_of_its_own_samples(size):
    """Finite-size: repeated calls, index mixing, memory and spikes, at two sizes."""
    task = Task(strange_program, strange_objects, {"rows": 1.5, "cols": 1.0}, THETA)
    theory = sweep(task).seen["numbers"]
    seeds = jax.random.split(jax.random.key(2), 12)
    samples = jnp.stack([strange_sample(size, seed) for seed in seeds])
    stderr = samples.std(0, ddof=1) / np.sqrt(len(seeds))
    deviation = jnp.abs(samples.mean(0) - theory) / stderr
    assert deviation.max() < 4.5, f"N = {size}, 12 seeds: {deviation.max():.1f} standard errors"
    # the error shrinks with the size: spread over seeds is of order 1/sqrt(size) times the values
    spread = samples.std(0, ddof=1) / (1 + jnp.abs(theory))
    assert spread.max() < 6 / np.sqrt(size)


def test_fields_of_different_spaces_do_not_mix():
    def program(ops, t):
        (ops["A"] @ ops["x"]) + ops["x"]

    objects = {"A": Matrix("rows", "cols"), "x": Constant("cols", jnp.eye(1))}
    with pytest.raises(ValueError, match="Cannot add a field of space `rows`"):
        solve_program(program, objects, {"rows": 1.0, "cols": 1.0}, 1)


def test_matrix_refuses_a_field_of_another_space():
    def program(ops, t):
        ops["A"] @ ops["x"]

    objects = {"A": Matrix("rows", "cols"), "x": Constant("rows", jnp.eye(1))}
    with pytest.raises(ValueError, match="`A` takes fields of space `cols`, got `rows`"):
        solve_program(program, objects, {"rows": 1.0, "cols": 1.0}, 1)
