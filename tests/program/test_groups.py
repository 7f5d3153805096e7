"""Groups of sites: one space in groups is several spaces, each with its part of the matrices."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from differences import central_differences

from spectrax.program.causal import Task, sweep
from spectrax.program.finite import Trainer
from spectrax.program.objects import Constant, Matrix, Space, Stencil, Vector, weight
from spectrax.program.sampled import SampledLimit

SHARES, VARIANCES, T = np.array([0.2, 0.5, 0.3]), np.array([3.0, 0.5, 0.1]), 6
DIMS = {"samples": 2.0, "hidden": 1.5}
# weights that forget a little
THETA = jnp.hstack([0.99 ** jnp.arange(T)[:, None], jnp.tril(jnp.full((T, T), 0.15), -1)])


def grouped(t):
    ends = {"X": Matrix("samples", "input"), "W": weight("hidden", "input", 0.9)}
    noise = Constant("input", 0.2 * jnp.eye(1), fresh=True)
    return ends | {
        "w": Vector("hidden", 1),
        "teacher": Constant("input", jnp.eye(1)),
        "noise": noise,
    }


def one_space(ops, t, variances=VARIANCES):
    """A linear network on inputs of three variances, with noise on what it reads."""
    X, W, root, g = ops["X"], ops["W"], jnp.sqrt(jnp.asarray(variances)), ops["w"].value
    delta = ops.scale(ops["teacher"] - W.T @ g / 3.0, root)
    h = ops.scale(X.T @ (X @ delta), root) + 0.5 * ops.recall("h", "input", 1) + ops["noise"]
    ops["w"].append(W @ h)
    W.append(g, h)
    ops.remember("h", h)
    pairs = [(delta, delta), (h, h), (h, delta)]
    ops.observe("numbers", jnp.concatenate([ops.inner(*pair).ravel() for pair in pairs]))


def parts(t):
    """Blocks of columns: entries of variance 1 / cols of all, spikes over the number of all."""
    found = {"w": Vector("hidden", 1)}
    for k, share in enumerate(SHARES):
        found |= {
            f"X{k}": Matrix("samples", f"input{k}", np.sqrt(share)),
            f"W{k}": weight("hidden", f"input{k}", 0.9 * np.sqrt(share)),
            f"teacher{k}": Constant(f"input{k}", jnp.eye(1)),
            f"noise{k}": Constant(f"input{k}", 0.2 * jnp.eye(1), fresh=True),
        }
    return found


def total(terms):
    return sum(terms[1:], terms[0])


def three_spaces(ops, t):
    K, roots, g = range(3), np.sqrt(VARIANCES), ops["w"].value
    X, W = [ops[f"X{k}"] for k in K], [ops[f"W{k}"] for k in K]
    delta = [(ops[f"teacher{k}"] - W[k].T @ g / 3.0) * roots[k] for k in K]
    Delta = total([X[k] @ delta[k] for k in K])
    last = [ops.recall(f"h{k}", f"input{k}", 1) for k in K]
    h = [(X[k].T @ Delta) * roots[k] + 0.5 * last[k] + ops[f"noise{k}"] for k in K]
    ops["w"].append(total([W[k] @ h[k] for k in K]))
    for k in K:
        W[k].append(g, h[k], SHARES[k] * jnp.ones(1))
    for k in K:
        ops.remember(f"h{k}", h[k])
    pairs = [(delta, delta), (h, h), (h, delta)]
    inner = [sum(SHARES[k] * ops.inner(x[k], y[k]) for k in K) for x, y in pairs]
    ops.observe("numbers", jnp.concatenate([x.ravel() for x in inner]))


def numbers(program, objects, dims, interpreter=None):
    task = Task(program, objects, DIMS | dims, THETA)
    if interpreter is not None:
        (limit,) = interpreter.prepare(task.plan, T)
        task = Task(program, objects, DIMS | dims, THETA, interpreter=limit)
    return sweep(task).seen["numbers"]


INPUT = {"input": Space(1.0, SHARES)}


@pytest.fixture(scope="module")
def exact():
    return jax.jit(partial(numbers, one_space, grouped))(INPUT)


def test_groups_are_spaces_of_their_own(exact):
    """K copies of the space and K blocks of every matrix: the same numbers."""
    apart = {f"input{k}": share for k, share in enumerate(SHARES)}
    found = jax.jit(partial(numbers, three_spaces, parts))(apart)
    np.testing.assert_allclose(found, exact, rtol=1e-11, atol=1e-13)


def test_the_sampled_limit_knows_groups(exact):
    limit = SampledLimit(256, key=jax.random.key(0))
    found = jax.jit(partial(numbers, one_space, grouped, interpreter=limit))(INPUT)
    np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-9)


def test_splitting_a_group_changes_nothing(exact):
    shares, variances = np.array([0.2, 0.4, 0.1, 0.3]), VARIANCES[[0, 1, 1, 2]]
    program = partial(one_space, variances=variances)
    found = jax.jit(partial(numbers, program, grouped))({"input": Space(1.0, shares)})
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-14)


def test_splitting_a_group_changes_no_population():
    """Also where fields are no linear combinations."""

    def program(ops, t, variances):
        W, x = ops["W"], ops.scale(ops["teacher"], jnp.asarray(variances))
        h = ops.elementwise(jnp.tanh, x + 0.5 * ops.recall("z", "input", 1))
        y = ops.elementwise(jnp.tanh, W @ h)
        z = W.T @ y
        W.append(y, h)
        ops.remember("z", z)
        ops.observe("numbers", jnp.stack([ops.inner(h, h), ops.inner(z, h), ops.inner(y, y)]))

    limit = SampledLimit(128, key=jax.random.key(0))
    found = [
        numbers(partial(program, variances=v), grouped, {"input": Space(1.0, s)}, limit)
        for v, s in (([2.0, 0.5], [0.3, 0.7]), ([2.0, 0.5, 0.5], [0.3, 0.3, 0.4]))
    ]
    np.testing.assert_allclose(*found, rtol=1e-11)


@pytest.mark.slow
def test_derivatives_in_factors_and_shares(exact):
    def total(p):
        program, shares = partial(one_space, variances=p[:3]), jnp.append(p[3:], 1 - p[3:].sum())
        return jnp.sum(jnp.sin(numbers(program, grouped, {"input": Space(1.0, shares)})))

    p = jnp.append(VARIANCES, SHARES[:2])
    value, slopes = jax.jit(jax.value_and_grad(total))(p)
    np.testing.assert_allclose(value, jnp.sum(jnp.sin(exact)), rtol=1e-9)
    expected = central_differences(jax.jit(total), p)
    np.testing.assert_allclose(slopes, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_networks_in_groups_tend_to_the_limit(exact):
    """Finite-size: within 4.5 standard errors, and the spread shrinks like the root of the size."""
    rates, seeds, spreads = jnp.full(T, 0.15), 24, []

    theta = jnp.hstack([jnp.ones((T, 1)), jnp.tril(jnp.full((T, T), 0.15), -1)])
    theory = sweep(Task(one_space, grouped, DIMS | INPUT, theta)).seen["numbers"]
    for size in (100, 400):
        sizes = tuple(
            {"samples": 2 * size, "hidden": size * 3 // 2, "input": tuple(sizes_of(size))}.items()
        )
        trainer = Trainer(one_space, grouped, lambda: optax.sgd(1.0), rates, sizes)

        def run(key, trainer=trainer):
            network = trainer.train(trainer.start(key), key, jnp.asarray(T))
            return network.seen["numbers"]

        found = jax.lax.map(run, jax.random.split(jax.random.key(size), seeds))
        spread = found.std(0, ddof=1)
        spreads.append(spread / (1 + jnp.abs(theory)))
        z = (found.mean(0) - theory) / (spread / np.sqrt(seeds))
        assert size < 400 or jnp.abs(z).max() < 4.5, f"{jnp.abs(z).max():.1f} standard errors"
    assert 1.5 < jnp.mean(spreads[0]) / jnp.mean(spreads[1]) < 2.7


def sizes_of(size):
    return np.round(size * SHARES).astype(int).tolist()


def test_wrong_groups_are_refused():
    with pytest.raises(ValueError, match="`weights` must add up to 1, got a sum of 0.9"):
        Space(1.0, np.array([0.4, 0.5]))
    with pytest.raises(ValueError, match="`weights` must be positive, got 0.0"):
        Space(1.0, np.array([0.0, 1.0]))

    def program(ops, t):
        ops.scale(ops["teacher"], np.ones(2))

    for space, shape in ((1.0, "(1,)"), (INPUT["input"], "(3,)")):
        with pytest.raises(ValueError, match=f"`profile` must have shape {re.escape(shape)} in"):
            Task(program, grouped, DIMS | {"input": space}, THETA)
    with pytest.raises(ValueError, match="`symmetric` must be False with a stencil"):
        Matrix("a", "a", symmetric=True, stencil=Stencil(((0,),), 1))
    with pytest.raises(ValueError, match="`cols` of a symmetric matrix must be 'a', got 'b'"):
        Matrix("a", "b", symmetric=True)
    with pytest.raises(ValueError, match="`fresh` must be False for a trained matrix"):
        Matrix("a", "b", trained=True, fresh=True)
