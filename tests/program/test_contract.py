"""One program, three meanings: the interpreters agree, and each can be compiled, batched, derived.

Toy programs with everything that a program may do: fresh matrices and constants, moments that
depend on time, memory, several spikes a step, more than 96 steps, twelve layers.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences
from jaxtyping import Array, Float

from spectrax.program.abstract_pass import make_plan
from spectrax.program.causal import Task
from spectrax.program.coordinates import coordinates, heavy_ball
from spectrax.program.finite import Trainer
from spectrax.program.gaussian import GaussianLimit
from spectrax.program.objects import Constant, Matrix, Objects, Vector, weight
from spectrax.program.sampled import SampledLimit
from spectrax.program.solvers import CausalAdjoint, CausalSweep, ImplicitAdjoint, limit, residual

PAIR = np.array([[1.0, 0.4], [0.4, 0.8]])


class Toy(eqx.Module):
    """A program with one hyperparameter."""

    case: "Case" = eqx.field(static=True)
    p: Float[Array, ""]

    def objects(self, t) -> Objects:
        return self.case.objects(t, self.p)

    def program(self, ops, t) -> None:
        self.case.function(ops, t, self.p)


class Case(NamedTuple):
    """A toy program, what is random in it, its steps, its spaces, sites of the sampled limit."""

    function: Callable
    objects: Callable
    num_steps: int
    dims: tuple[tuple[str, float], ...]
    num_sites: int = 256


def of_everything(t, p):
    """Fresh matrix and constants, moments in time."""
    return {
        "W": weight("rows", "cols", 0.9),
        "A": Matrix("rows", "cols", p * (1 + 0.2 * t), fresh=True),
        "w": Vector("rows", 2, 1.1 + 0.3 * t),  # drawn once, so with its moments at 0
        "x": Constant("cols", (1.0 + t) * jnp.eye(1)),  # likewise
        "noise": Constant("cols", (1 + 0.5 * t) * PAIR, fresh=True),
    }


def everything(ops, t, p):
    """Memory, two spikes of unlike size, a vector."""
    W, A, w, x, noise = (ops[name] for name in ("W", "A", "w", "x", "noise"))
    one = x + 0.5 * ops.recall("last", "cols", 1) + noise.mix(jnp.array([[1.0], [-0.5]]))
    g = w.value
    h = 0.5 * (W.T @ g) + noise
    v = A @ h + 0.3 * (W @ h)
    y = v.mix(jnp.array([[0.5], [0.2]])) + W @ one
    z = W.T @ y
    back = A.T @ v
    W.append(g, h)
    W.append(y, one, p * jnp.array([0.3]))
    w.append(v + (W @ z).mix(jnp.array([[0.3, 0.1]])))
    ops.remember("last", ops.project_out("last", one) * 0.5 + 0.1 * z)
    pairs = [(v, g), (one, one), (back, h), (z, one), (noise, one)]
    ops.observe("numbers", jnp.concatenate([ops.inner(*pair).ravel() for pair in pairs]))


def of_long(t, p):
    noise = Constant("cols", (1 + 0.02 * t) * jnp.eye(1), fresh=True)
    return {"A": Matrix("rows", "cols", 0.8), "noise": noise}


def long(ops, t, p):
    """More steps than one tape is long: all earlier fields, a matrix that remembers them."""
    A, noise = ops["A"], ops["noise"]
    past = ops.history("x", "cols", LONG).mix(p * jnp.ones((LONG, 1)) / LONG)
    x = noise + past
    y = A.T @ (A @ (noise + 0.2 * past))
    ops.remember("x", x + 0.2 * y)
    ops.observe("numbers", jnp.stack([ops.inner(x, x), ops.inner(x, y), ops.inner(y, y)]).ravel())


def of_deep(t, p):
    """Twelve trained layers, whose names do not sort as they count."""
    space = [f"hidden{k}" for k in range(DEPTH + 1)]
    layers = {f"W{k}": weight(space[k + 1], space[k], 1 - 0.02 * k) for k in range(DEPTH)}
    return {**layers, "w": Vector(space[-1], 1), "x": Constant(space[0], jnp.eye(1))}


def deep(ops, t, p):
    """A forward and a backward pass."""
    W, w = [ops[f"W{k}"] for k in range(DEPTH)], ops["w"]
    h = [ops["x"]]
    for layer in W:
        h.append(layer @ h[-1])
    g = [w.value]
    for layer in reversed(W):
        g.insert(0, layer.T @ g[0])
    for k, layer in enumerate(W):
        layer.append(g[k + 1], h[k], (p + 0.05 * k) * jnp.ones(1))
    w.append(h[-1])
    numbers = [ops.inner(x, x) for x in (*h, *g)] + [ops.inner(h[-1], w.value)]
    ops.observe("numbers", jnp.stack(numbers).ravel())


def of_small(t, p):
    return {
        "W": weight("rows", "cols", 0.7),
        "A": Matrix("rows", "cols", p * (1 + 0.2 * t), fresh=True),
        "noise": Constant("cols", (0.3 + 0.2 * t) * jnp.eye(1), fresh=True),
    }


def small(ops, t, p, activate=lambda ops, x: x):
    """A network that runs on fresh noise, forgets some of it, and learns what it returns."""
    W, A, noise = ops["W"], ops["A"], ops["noise"]
    x = activate(ops, p * ops.recall("x", "cols", 1) + noise)
    y = activate(ops, W @ x + A @ x)
    z = W.T @ y
    W.append(y, x)
    ops.remember("x", 0.3 * z + 0.5 * x)
    ops.observe("numbers", jnp.stack([ops.inner(*pair) for pair in ((y, y), (x, z), (z, z))]))


def nonlinear(ops, t, p):
    """The same with an activation."""
    small(ops, t, p, lambda ops, x: ops.elementwise(lambda x: jnp.tanh(2 * x), x))


LONG, DEPTH = 100, 12
TWO = (("rows", 1.5), ("cols", 1.0))
CASES = {
    "small": Case(small, of_small, 4, TWO),
    "everything": Case(everything, of_everything, 4, TWO),
    "long": Case(long, of_long, LONG, (("rows", 1.25), ("cols", 1.0)), num_sites=1024),
    "deep": Case(deep, of_deep, 3, tuple((f"hidden{k}", 1.0) for k in range(DEPTH + 1))),
    "nonlinear": Case(nonlinear, of_small, 4, TWO, num_sites=8192),
}
TIER = dict.fromkeys(("everything", "long", "deep"), [pytest.mark.nightly])
TIER["nonlinear"] = [pytest.mark.slow]
P = 0.6


def tiered(*names):
    """Cases with the marks of how long they take."""
    return [pytest.param(name, marks=TIER.get(name, [pytest.mark.slow])) for name in names]


def optimizer():
    return heavy_ball(0.3, 0.02)


def rates(case: Case):
    return jnp.linspace(0.2, 0.1, case.num_steps)


def limits(case: Case, kind: str, adjoint=CausalAdjoint()) -> Callable:
    """p -> what the program observes, (steps, numbers), and how far it is from self-consistent."""
    theta = coordinates(optimizer(), rates(case))[:-1]
    toy = Toy(case, jnp.asarray(P))
    plan = make_plan([toy.program], toy.objects, dict(case.dims))
    interpreter = GaussianLimit()
    if kind == "sampled":
        interpreter = SampledLimit(case.num_sites, key=jax.random.key(0))
    (prepared,) = interpreter.prepare(plan, case.num_steps)

    def value(p):
        given = Toy(case, p).program, Toy(case, p).objects, dict(case.dims), theta
        task = Task(*given, interpreter=prepared)
        history = limit(task, solver=CausalSweep(), adjoint=adjoint)
        return history.seen["numbers"].reshape(case.num_steps, -1), residual(task, history)

    return value


def network(case: Case, size: int) -> Callable:
    """(p, key) -> what the program observes in a finite network."""
    sizes = tuple((space, round(size * ratio)) for space, ratio in case.dims)

    def value(p, key):
        given = Toy(case, p).program, Toy(case, p).objects, optimizer, rates(case)
        trainer = Trainer(*given, sizes)
        trained = trainer.train(trainer.start(key), key, jnp.asarray(case.num_steps))
        return trained.seen["numbers"].reshape(case.num_steps, -1)

    return value


@pytest.mark.parametrize("name", tiered("everything", "long", "deep"))
def test_the_sampled_limit_of_linear_programs_is_the_gaussian_one(name):
    found = [jax.jit(limits(CASES[name], kind))(jnp.asarray(P)) for kind in ("gaussian", "sampled")]
    (exact, gap), (sampled, sampled_gap) = found
    assert max(gap, sampled_gap) < 1e-12
    np.testing.assert_allclose(sampled, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", tiered(*CASES))
def test_networks_tend_to_the_limit(name):
    """Finite-size: within 4.5 standard errors, and the spread shrinks like the root of the size."""
    case, seeds = CASES[name], 16
    kind = "sampled" if name == "nonlinear" else "gaussian"
    theory, _ = jax.jit(limits(case, kind))(jnp.asarray(P))
    spreads = []
    for size in (100, 400):
        keys, value = jax.random.split(jax.random.key(size), seeds), network(case, size)
        found = jax.lax.map(partial(value, jnp.asarray(P)), keys)
        spread = found.std(0, ddof=1)
        spreads.append(spread / (1 + jnp.abs(theory)))
        z = (found.mean(0) - theory) / (spread / np.sqrt(seeds))
        # of order 1/size beside 1/sqrt(size * seeds): seen at the smaller size only
        assert size < 400 or jnp.abs(z).max() < 4.5, f"{jnp.abs(z).max():.1f} standard errors"
    assert 1.5 < jnp.mean(spreads[0]) / jnp.mean(spreads[1]) < 2.7


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=TIER.get(name, [pytest.mark.slow]))
        for name in CASES
        for kind in ("gaussian", "sampled")
        if (name, kind) != ("nonlinear", "gaussian")
    ],
)
def test_limits_compile_batch_and_derive(name, kind):
    value = limits(CASES[name], kind)

    def total(p):
        numbers = value(p)[0]
        return jnp.sum(jnp.sin(numbers) * jnp.linspace(1.0, 2.0, numbers.shape[-1]))

    points = jnp.array([P, 0.9 * P])
    totals, slopes = jax.jit(jax.vmap(jax.value_and_grad(total)))(points)
    each = jax.jit(total)
    np.testing.assert_allclose(totals, [each(p) for p in points], rtol=1e-10)
    for p, slope in zip(points, slopes, strict=True):
        exact = central_differences(lambda q: each(q[0]), p[None])
        np.testing.assert_allclose(slope, exact[0], rtol=1e-5)


@pytest.mark.parametrize("name", tiered(*CASES))
def test_networks_compile_batch_and_derive(name):
    """Derivatives of a training in forward mode: its loop has no fixed length."""
    run = network(CASES[name], 20)

    def total(p):
        return jnp.sum(jnp.sin(run(p, jax.random.key(1))))

    points = jnp.array([P, 0.9 * P])
    slopes = jax.jit(jax.vmap(jax.jacfwd(total)))(points)
    each = jax.jit(total)
    np.testing.assert_allclose(jax.vmap(total)(points), [each(p) for p in points], rtol=1e-10)
    for p, slope in zip(points, slopes, strict=True):
        exact = central_differences(lambda q: each(q[0]), p[None])
        np.testing.assert_allclose(slope, exact[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "adjoint"),
    [
        ("gaussian", CausalAdjoint()),
        ("sampled", CausalAdjoint()),
        ("gaussian", ImplicitAdjoint()),
    ],
)
def test_steps_of_a_walk_add_up(kind, adjoint):
    """<x_t^2> = sum of the variances of the steps: 1 + t for equal ones, not (1 + t)^2.

    A variance of zero has the same derivative as any other.
    """

    def objects(t, p):
        variances = {"even": 1.0, "growing": p * (1 + t)}
        return {k: Constant("a", v * jnp.eye(1), fresh=True) for k, v in variances.items()}

    def walk(ops, t, p):
        x = ops.recall("x", "a", 1) + ops["even"] + ops["growing"]
        ops.remember("x", x)
        ops.observe("numbers", ops.inner(x, x))

    value = limits(Case(walk, objects, 4, (("a", 1.0),)), kind, adjoint)
    growth = np.cumsum(1.0 + np.arange(4))
    run = jax.jit(lambda p: jax.jvp(lambda p: value(p)[0][:, 0], (p,), (jnp.ones_like(p),)))
    for p in (jnp.array(0.5), jnp.array(0.0)):
        found, slope = run(p)
        np.testing.assert_allclose(found, 1 + np.arange(4) + p * growth, rtol=1e-12)
        np.testing.assert_allclose(slope, growth, rtol=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "sampled"])
def test_a_fresh_matrix_forgets(kind):
    """A_t^T A_t of variance s_t: each step has its own Marchenko–Pastur moment, s_t^2 rho."""
    rho = 0.7

    def objects(t, p):
        A = Matrix("rows", "cols", p * jnp.sqrt(1.0 + t), fresh=True)
        return {"A": A, "x": Constant("cols", jnp.eye(1))}

    def program(ops, t, p):
        A, x = ops["A"], ops["x"]
        y = A.T @ (A @ x)
        last = ops.recall("y", "cols", 1)
        ops.remember("y", y)
        numbers = [ops.inner(x, y), ops.inner(y, y), ops.inner(last, y), ops.inner(last, last)]
        ops.observe("numbers", jnp.stack(numbers).ravel())

    case = Case(program, objects, 3, (("rows", rho), ("cols", 1.0)))
    found, _ = jax.jit(limits(case, kind))(jnp.asarray(1.2))
    s = 1.2**2 * (1 + np.arange(3))
    square = s**2 * (rho + rho**2)
    before = np.concatenate([[0.0], s[:-1]])
    across = before * s * rho**2  # of independent matrices: the product of the means
    expected = np.stack([s * rho, square, across, np.concatenate([[0.0], square[:-1]])], -1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "sampled"])
def test_a_weight_without_spikes_is_a_matrix(kind):
    """Nothing is ever appended: it only decays, with a of its coordinates."""

    def objects(t, p):
        return {"W": weight("rows", "cols", p), "x": Constant("cols", jnp.eye(1))}

    def program(ops, t, p):
        W, x = ops["W"], ops["x"]
        y = W.T @ (W @ x)
        ops.observe("numbers", jnp.stack([ops.inner(x, y), ops.inner(y, y)]).ravel())

    case = Case(program, objects, 3, (("rows", 0.7), ("cols", 1.0)))
    found, _ = jax.jit(limits(case, kind))(jnp.asarray(1.2))
    s = 1.2**2 * np.asarray(coordinates(optimizer(), rates(case)))[:3, 0] ** 2
    np.testing.assert_allclose(found, np.stack([0.7 * s, s**2 * (0.7 + 0.49)], -1), rtol=1e-9)
