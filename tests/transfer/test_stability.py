"""The edge of stability: definition, simulation, derivatives, what cannot be asked."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from differences import central_differences

import spectrax as sx
from spectrax.transfer import stability
from spectrax.transfer.stability import initial_sharpness, with_eta


def online(p, num_steps=8):
    names = ("gamma0", "sigma", "nu", "alpha")
    options = dict(zip(names, p, strict=True))
    return sx.DeepLinear(1, num_steps, eta=0.1, data="online", **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "weight_decay": 0.02}])
def test_at_the_largest_stable_rate_the_sharpness_just_reaches_the_bound(options):
    model = sx.DeepLinear(1, 10, alpha=4.0, nu=1.0, eta=0.1, gamma0=3.0, **options)
    eta = sx.max_stable_lr(model)
    bound = 2 * (1 + model.momentum) - model.weight_decay
    path = sx.ntk_path(sx.solve(with_eta(model, eta)), kernel="train")
    np.testing.assert_allclose(eta * path.max(), bound, rtol=1e-8)
    for factor, result in ((0.98, sx.RESULTS.successful), (1.02, sx.RESULTS.unstable)):
        found = sx.stability(sx.solve(with_eta(model, factor * eta)))
        assert found.result == result
    assert f"from step {int(found.crossed_at)} on" in found.message


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["population", "train"])
def test_sharpness_at_initialization_in_closed_form(kernel):
    model = sx.DeepLinear(2, 2, alpha=3.0, nu=1.5, eta=0.01, gamma0=4.0, sigma=0.9)
    found = sx.ntk_top(sx.solve(model), 0, kernel=kernel)
    np.testing.assert_allclose(initial_sharpness(model, kernel), found, rtol=1e-8)


@pytest.mark.slow
def test_gradient_of_the_largest_stable_rate():
    p = jnp.array([4.0, 1.1, 1.5, 5.0])

    def rate(p):
        return sx.max_stable_lr(online(p))

    slope, value = jax.grad(rate)(p), jax.jit(rate)
    np.testing.assert_allclose(slope, central_differences(value, p), rtol=1e-5)


@pytest.mark.slow
def test_the_largest_stable_rate_does_not_depend_on_the_rate():
    def rate(eta):
        model = sx.DeepLinear(1, 4, alpha=4.0, nu=1.1, eta=eta, gamma0=2.0, data="online")
        return sx.max_stable_lr(model)

    assert jax.grad(rate)(jnp.array(0.05)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_a_kernel_at_rest_diverges_right_beyond_the_rate(momentum):
    """Where the kernel cannot give way, the edge is one of divergence, with momentum too."""
    options = {"alpha": 4.0, "nu": 1e10, "gamma0": 1e-4, "momentum": momentum}
    model = sx.DeepLinear(1, 30, eta=0.1, **options)
    eta = sx.max_stable_lr(model)

    def late_growth(factor):
        loss = sx.solve(with_eta(model, factor * eta), throw=False).train_loss
        return loss[-1] / loss[-11]

    growth = jax.jit(jax.vmap(late_growth))(jnp.array([0.97, 1.04]))
    assert growth[0] < 0.5 and growth[1] > 2.0, growth


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("decay", [0.0, 0.1, 0.5])
def test_the_bound_is_where_steps_on_a_parabola_grow(momentum, decay):
    """Of the loss kappa w^2/2, by thousands of steps of the optimizer itself."""
    options = {"alpha": 1.0, "nu": 1.0, "gamma0": 1.0, "momentum": momentum, "weight_decay": decay}
    model = sx.DeepLinear(1, 1, eta=0.1, **options)
    optimizer = model.transformation()

    def end(slope):
        def step(carry, _):
            w, state = carry
            updates, state = optimizer.update(slope * w, state, w)
            return (w + updates, state), None

        start = jnp.ones(()), optimizer.init(jnp.ones(()))
        return jax.lax.scan(step, start, length=4000)[0][0]

    below, above = jax.vmap(end)(model.stability_bound() * jnp.array([0.99, 1.01]))
    assert abs(below) < 1e-3 and abs(above) > 1e3


@pytest.mark.slow
def test_unstable_is_not_divergent():
    model = sx.DeepLinear(1, 10, alpha=4.0, nu=1.0, eta=0.33, gamma0=3.0)
    found = sx.stability(sx.solve(model))
    assert found.result == sx.RESULTS.unstable and np.isfinite(found.sharpness).all()
    assert found.sharpness[found.crossed_at] > found.bound[found.crossed_at]
    assert np.all(found.sharpness[: found.crossed_at] <= found.bound[: found.crossed_at])
    solution = sx.solve(with_eta(model, jnp.array(9.0)), throw=False)
    found = sx.stability(solution)
    assert found.result == sx.RESULTS.divergent
    assert np.isinf(found.sharpness[solution.stats["diverged_at"] :]).all()


def edge_of(path, monkeypatch, gamma0=3.0):
    """Largest stable rate where sharpness is this function of the model."""

    def solve(model, throw):
        assert not throw, "rates that diverge are tried, too"
        return SimpleNamespace(model=model)

    model = sx.DeepLinear(1, 3, alpha=4.0, nu=1.0, eta=0.1, gamma0=gamma0)
    monkeypatch.setattr(stability, "solve", solve)
    monkeypatch.setattr(stability, "ntk_path", lambda found, **_: path(found.model))
    monkeypatch.setattr(stability, "ntk_top", lambda found, step, **_: path(found.model)[step])
    return stability._max_stable(model, kernel="train", num=8)


@pytest.mark.parametrize("edge", [1e-3, 1.5e-2])
def test_an_edge_far_below_that_of_the_first_step_is_found(edge, monkeypatch):
    """Sharpness that grows during training: also below the first node of a regular grid."""
    found = edge_of(lambda model: jnp.array([1.0, 2 / edge**2 * model.eta]), monkeypatch)
    np.testing.assert_allclose(found, edge, rtol=1e-9)


def test_the_edge_moves_with_what_makes_the_network_sharp(monkeypatch):
    """Where the largest sharpness is 2 (10 gamma0)^3 eta^2, the edge is at 1 / (10 gamma0)."""

    def path(model):
        sharpness = 2 * (10 * model.gamma0) ** 3 * model.eta**2
        return jnp.stack([1.0 + 0 * sharpness, sharpness])

    found, slope = jax.value_and_grad(lambda gamma0: edge_of(path, monkeypatch, gamma0))(3.0)
    np.testing.assert_allclose([found, slope], [1 / 30, -1 / 90], rtol=1e-8)


def test_bad_requests():
    options = {"alpha": 4.0, "nu": 1.0, "gamma0": 3.0}
    with pytest.raises(ValueError, match=r"constant learning rate, got a schedule of shape \(5,\)"):
        sx.max_stable_lr(sx.DeepLinear(1, 5, eta=jnp.full(5, 0.1), **options))
    with pytest.raises(ValueError, match="`optimizer` must be None where stability"):
        sx.max_stable_lr(sx.DeepLinear(1, 5, eta=0.1, optimizer=optax.sgd(1.0), **options))
    with pytest.raises(ValueError, match="`kernel` must be 'population' for online data"):
        sx.max_stable_lr(sx.DeepLinear(1, 5, eta=0.1, data="online", **options), kernel="train")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("options", "tolerance"),
    [({"data": "online", "alpha": 1000.0}, 0.03), ({"alpha": 4.0}, 0.05)],
    ids=["population", "full batch"],
)
def test_gradient_descent_stops_converging_at_the_predicted_rate(options, tolerance):
    """The theory's own training stalls beyond the rate and converges below it."""
    model = sx.DeepLinear(1, 100, nu=1.0, eta=0.1, gamma0=2.0, **options)
    eta = sx.max_stable_lr(model)
    below, above = (
        sx.solve(with_eta(model, factor * eta), throw=False).train_loss
        for factor in (1 - tolerance, 1 + tolerance)
    )
    assert below[-1] < 1e-2 * below[50]
    assert not above[-1] < 0.1 * above[50]


@pytest.mark.slow
@pytest.mark.parametrize("gamma0", [1e-3, 1e2, 1e4])
def test_very_lazy_and_very_rich_networks_have_an_edge(gamma0):
    """A little above it the sharpness is 1e90 or infinite; a little below, all is stable."""
    model = online((gamma0, 0.3, 1.0, 4.0), num_steps=6)
    eta = sx.max_stable_lr(model)
    below, above = (
        sx.stability(sx.solve(with_eta(model, factor * eta), throw=False))
        for factor in (1 - 1e-6, 1 + 1e-6)
    )
    assert below.result == sx.RESULTS.successful and above.result == sx.RESULTS.unstable
