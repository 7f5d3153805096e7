"""Solvers and adjoints of one fixed point agree; failures are values."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import pytest

import spectrax as sx
from spectrax.program import causal
from spectrax.program.solvers import residual
from spectrax.training.order import Order
from spectrax.training.solve import _average

NAMES = ("alpha", "nu", "eta", "gamma0", "sigma", "momentum", "weight_decay", "label_noise")
POINT = jnp.array([3.0, 1.5, 0.04, 2.5, 1.1, 0.2, 0.01, 0.1])
T = 14


def model_at(point, depth=1, **options):
    return sx.DeepLinear(depth, T, **dict(zip(NAMES, point, strict=True)), **options)


def numbers(point):
    """Losses, and a strength and an outlier of each layer, all of one solve."""
    solution = sx.solve(model_at(point, depth=2))
    found = [sx.outliers(sx.spikes(solution, layer, T), 1) for layer in (0, 1)]
    spectrum = [jnp.concatenate([x.strength, x.location]) for x in found]
    return jnp.concatenate([solution.train_loss, solution.test_loss, *spectrum])


def central_differences(f, x, step=1e-4):
    """Fourth order: error of order step^4."""

    def at(i, h):
        return f(x.at[i].add(h * step))

    columns = [
        (8 * (at(i, 1) - at(i, -1)) - (at(i, 2) - at(i, -2))) / (12 * step) for i in range(x.size)
    ]
    return jnp.stack(columns, -1)


@cache
def forward_jacobian():
    return jax.jit(jax.jacfwd(numbers))(POINT)


@pytest.mark.slow
def test_forward_mode_is_the_derivative():
    exact = central_differences(jax.jit(numbers), POINT)
    np.testing.assert_allclose(forward_jacobian(), exact, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_reverse_mode_is_forward_mode():
    weights = jnp.linspace(0.5, 1.5, forward_jacobian().shape[0])
    reverse = jax.jit(jax.grad(lambda x: weights @ numbers(x)))(POINT)
    np.testing.assert_allclose(reverse, weights @ forward_jacobian(), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [jax.jacfwd, jax.grad])
def test_implicit_adjoint_is_the_causal_one(mode):
    def total(x, adjoint):
        solution = sx.solve(model_at(x), adjoint=adjoint)
        # tiny: the tolerances of the Krylov solver must not be absolute
        losses = solution.train_loss + solution.test_loss
        return 1e-9 * (jnp.sum(losses) + jnp.sum(solution.order.Rg[1]))

    causal, implicit = (
        jax.jit(mode(partial(total, adjoint=adjoint)))(POINT)
        for adjoint in (sx.CausalAdjoint(), sx.ImplicitAdjoint())
    )
    np.testing.assert_allclose(implicit, causal, rtol=1e-8)


@pytest.mark.slow
def test_residual_sees_a_wrong_kernel():
    solution = sx.solve(model_at(POINT))
    task, tapes = solution.model.task(), dict(solution.order.tapes)
    tapes["w"] = eqx.tree_at(lambda tape: tape.gram, tapes["w"], tapes["w"].gram * 1.001)
    history = causal.History(tapes, {}, jnp.ones(T, bool))
    size = float(jnp.max(jnp.abs(tapes["w"].gram)))
    assert residual(task, history) > 5e-4 * size / (1 + size)


@pytest.mark.slow
def test_gradient_in_a_schedule():
    options = dict(zip(NAMES, POINT, strict=True))

    def loss(eta):
        return sx.solve(sx.DeepLinear(1, T, **options | {"eta": eta})).test_loss[-1]

    schedule = jnp.linspace(0.05, 0.02, T)
    exact = central_differences(jax.jit(loss), schedule)
    found = jax.jit(jax.grad(loss))(schedule)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-9)
    assert found[-1] == 0.0  # the last update comes after the last loss


@pytest.mark.slow
def test_second_derivatives_forward_over_reverse():
    def loss(gamma0):
        return sx.solve(model_at(POINT.at[3].set(gamma0))).test_loss[-1]

    slope = jax.jit(jax.grad(loss))
    exact = (slope(2.5 + 1e-4) - slope(2.5 - 1e-4)) / 2e-4
    found = jax.jvp(jax.grad(loss), (jnp.asarray(2.5),), (jnp.asarray(1.0),))[1]
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    [
        optx.FixedPointIteration(1e-11, 1e-11),
        optx.Newton(1e-9, 1e-9, linear_solver=lx.GMRES(1e-3, 1e-3, restart=30)),
    ],
    ids=["iteration", "newton-krylov"],
)
def test_optimistix_finds_the_causal_solution(solver):
    swept = sx.solve(model_at(POINT))
    found = sx.solve(model_at(POINT), solver=solver)
    np.testing.assert_allclose(found.test_loss, swept.test_loss, rtol=1e-9)
    np.testing.assert_allclose(found.order.Rg[1], swept.order.Rg[1], atol=1e-9)


@pytest.mark.slow
def test_picard_iteration_overflows_where_the_sweep_does_not():
    rich = sx.DeepLinear(1, 60, alpha=2.0, nu=1.0, eta=0.1, gamma0=8.0)
    iterated = sx.solve(rich, solver=optx.FixedPointIteration(1e-9, 1e-9), throw=False)
    swept = sx.solve(rich)
    assert swept.stats["residual"] < 1e-10
    assert iterated.result == sx.RESULTS.unconverged
    assert jnp.all(jnp.isfinite(swept.test_loss))


def test_update_and_step_are_the_sweep():
    model = model_at(POINT)
    order, step = model.initial(), eqx.filter_jit(lambda model, order, t: model.step(order, t))
    for t in range(T):
        order = step(model, order, jnp.asarray(t))
    swept = sx.solve(model).order
    for name in ("Ch", "Rh"):
        for ours, theirs in zip(getattr(order, name), getattr(swept, name), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
    again = eqx.filter_jit(lambda model, order: model.update(order))(model, swept)
    np.testing.assert_allclose(again.Cg[1], swept.Cg[1], rtol=1e-12)


# divergence and batches


def test_divergence_names_its_step_and_spoils_nothing_before():
    bad = sx.solve(sx.DeepLinear(1, T, alpha=3.0, nu=1.0, eta=6.0, gamma0=2.5), throw=False)
    step = int(bad.stats["diverged_at"])
    fine = sx.solve(sx.DeepLinear(1, step, alpha=3.0, nu=1.0, eta=6.0, gamma0=2.5))
    assert bad.result == sx.RESULTS.divergent
    assert bad.message == f"The training diverged at step {step}."
    np.testing.assert_allclose(bad.test_loss[:step], fine.test_loss[:step], rtol=1e-12)
    assert jnp.all(bad.test_loss[step:] == jnp.inf)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(bad.order))
    path = sx.outlier_path(bad.weights(0))
    assert jnp.isfinite(path.location).all()
    assert not jnp.isnan(sx.escape_time(bad, 0))


def test_divergence_raises_unless_told_not_to():
    with pytest.raises(RuntimeError, match="The training diverged at step"):
        sx.solve(sx.DeepLinear(1, T, alpha=3.0, nu=1.0, eta=6.0, gamma0=2.5))


@pytest.mark.slow
def test_a_batch_with_divergent_elements_equals_the_loop():
    """64 settings under jit, vmap and grad; the divergent ones spoil nothing."""
    etas = jnp.geomspace(0.01, 10.0, 64)

    def loss(eta, nu):
        model = sx.DeepLinear(1, T, alpha=3.0, nu=nu, eta=eta, gamma0=2.5)
        solution = sx.solve(model, throw=False)
        strength = sx.strengths(sx.spikes(solution, 0, 6), 1)[0]
        good = solution.result == sx.RESULTS.successful
        return solution.test_loss[-1] + jnp.where(good, strength, 0.0), solution.stats[
            "diverged_at"
        ]

    both = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    one, many = jax.jit(both), jax.jit(jax.vmap(both, in_axes=(0, None)))
    (values, steps), slopes = many(etas, 1.5)
    assert (steps < T).sum() > 5 and (steps == T).sum() > 20
    for i in range(0, 64, 3):
        (value, step), slope = one(etas[i], 1.5)
        assert step == steps[i]
        np.testing.assert_allclose(values[i], value, rtol=1e-9)
        if step == T:
            np.testing.assert_allclose([s[i] for s in slopes], slope, rtol=1e-7, atol=1e-9)
    assert not np.isnan(np.asarray(values)).any()
    good = np.asarray(steps) == T
    assert all(np.isfinite(np.asarray(slope)[good]).all() for slope in slopes)


def test_vmap_of_solve_over_models():
    models = eqx.filter_vmap(lambda nu: model_at(POINT.at[1].set(nu)))(jnp.array([0.5, 1.0, 2.0]))
    solutions = jax.jit(jax.vmap(sx.solve))(models)
    single = sx.solve(model_at(POINT.at[1].set(2.0)))
    np.testing.assert_allclose(solutions.test_loss[2], single.test_loss, rtol=1e-10)


def same(many, ones, rtol=1e-9):
    """A batch of results is the results one by one, leaf by leaf."""
    for i, one in enumerate(ones):
        for ours, theirs in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=rtol, atol=1e-10)


@pytest.mark.slow
def test_attributes_and_spectra_of_a_batch_are_those_of_its_elements():
    nus = (0.5, 2.0)
    models = eqx.filter_vmap(lambda nu: model_at(POINT.at[1].set(nu)))(jnp.array(nus))
    batch = jax.jit(jax.vmap(sx.solve))(models)
    ones = [sx.solve(model_at(POINT.at[1].set(nu))) for nu in nus]
    assert batch.layers == ones[0].layers and batch.num_layers == 1
    assert batch.message == "2 of 2: The training was solved."
    for name in ("Ch", "Cg", "Rh", "Rg"):
        same(getattr(batch.order, name), [getattr(one.order, name) for one in ones])
    same(batch.weights(0), [one.weights(0) for one in ones])
    for function in (
        lambda s: sx.spikes(s, 0, 5),
        lambda s: sx.outliers(sx.spikes(s, 0, T), 2),
        lambda s: sx.transfer_matrix(sx.spikes(s, 0, 5)),
        lambda s: sx.margin_path(s.weights(0)),
        lambda s: sx.escape_time(s, 0),
    ):
        same(function(batch), [function(one) for one in ones])


def test_what_has_no_meaning_for_a_batch_is_refused():
    models = eqx.filter_vmap(lambda nu: model_at(POINT.at[1].set(nu)))(jnp.array([0.5, 2.0]))
    with pytest.raises(ValueError, match=r"`model` must be one model, got a batch of shape \(2,\)"):
        sx.solve(models)
    batch = jax.jit(jax.vmap(sx.solve))(models)
    with pytest.raises(ValueError, match="`solution` must not be a batch; use `jax.vmap`"):
        sx.ntk_law(batch, 2)


def test_traced_bad_value_becomes_a_result_code():
    result = jax.jit(lambda nu: sx.solve(model_at(POINT.at[1].set(nu))).result)(-1.0)
    assert result == sx.RESULTS.invalid


def test_an_average_of_scrambles_has_the_first_divergence_and_the_first_failure():
    """Means, standard errors, and of what went wrong the earliest."""
    model = sx.DeepLinear(1, 1, alpha=2.0, nu=1.0, eta=0.1, gamma0=2.0)
    order, coordinates = Order({}, model.plan(), model.layers, {}), jnp.eye(2)

    def planted(value, residual, stop, result):
        stats = {"residual": jnp.array(residual), "diverged_at": jnp.array(stop)}
        observed = {"test_error": jnp.full((1, 1, 1), value)}
        return sx.Solution(model, order, observed, coordinates, result, stats)

    results = sx.RESULTS.successful, sx.RESULTS.divergent, sx.RESULTS.invalid
    found = _average(list(map(planted, (1.0, 2.0, 6.0), (0.1, 0.3, 0.2), (9, 4, 7), results)))
    assert found.result == sx.RESULTS.divergent
    assert found.stats["diverged_at"] == 4 and found.stats["residual"] == 0.3
    np.testing.assert_allclose(found.observed["test_error"], 3.0)
    stderr = np.std([1.0, 2.0, 6.0], ddof=1) / 3**0.5
    np.testing.assert_allclose(found.stats["stderr"]["test_error"], stderr)


def test_new_values_do_not_recompile():
    solve = eqx.filter_jit(eqx.debug.assert_max_traces(sx.solve, max_traces=1))
    for gamma0 in (2.0, 2.1):
        solve(sx.DeepLinear(1, 3, alpha=2.0, nu=1.0, eta=0.1, gamma0=gamma0))


def test_single_precision_is_refused():
    model = sx.DeepLinear(1, 3, alpha=np.float32(2.0), nu=1.0, eta=0.1, gamma0=2.0)
    with pytest.raises(ValueError, match="single precision"):
        sx.solve(model)
