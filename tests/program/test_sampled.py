"""The sampled interpreter: exact where the program is linear, normals, memory, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.program.normals import standard_normals
from spectrax.program.sampled import COPIES, ROUNDING, memory
from spectrax.program.sampled_ops import gram_schmidt

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 2))
OPTIONS = {"inputs": X, "targets": Y, "eta": 0.2, "gamma0": 2.0, "sigma": 1.1}


def limit(num_neurons=256, **options):
    return sx.SampledLimit(num_neurons, key=jax.random.key(0), **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.5, "weight_decay": 0.02, "targets": Y[:, 0]},
        {"batches": RNG.integers(0, 3, (5, 2)), "test_inputs": RNG.normal(size=(2, 5))},
    ],
    ids=["momentum and decay", "two outputs, batches, test inputs"],
)
def test_linear_programs_come_out_exactly(options):
    model = sx.WideNetwork(3, 5, **(OPTIONS | {"activation": "identity"} | options))
    gaussian, sampled = sx.solve(model), sx.solve(model, interpreter=limit())
    np.testing.assert_allclose(sampled.predictions, gaussian.predictions, atol=1e-10)
    for name in ("Ch", "Cg"):
        for ours, theirs in zip(
            getattr(sampled.order, name), getattr(gaussian.order, name), strict=True
        ):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                np.testing.assert_allclose(ours, theirs, atol=1e-8 * float(jnp.abs(theirs).max()))
    for layer in (1, 2):
        strength = [sx.outliers(sx.spikes(x, layer, 5), 2).strength for x in (gaussian, sampled)]
        np.testing.assert_allclose(*strength, atol=1e-7)
    assert gaussian.stats["residual"] < 1e-12 and sampled.stats["residual"] < 1e-12
    if "test_inputs" in options:
        np.testing.assert_allclose(sampled.test_predictions, gaussian.test_predictions, atol=1e-10)


@pytest.mark.parametrize("signs", [False, True])
def test_normals_have_exact_moments(signs):
    model = sx.WideNetwork(2, 4, **OPTIONS)
    normals = standard_normals(model.task().plan, 4, 256, (0, 1), signs)
    layers = {"hidden1": ("W0", "W1.backward"), "hidden2": ("W1.forward", "w")}
    for names in layers.values():
        z = np.concatenate([normals[name] for name in names])
        np.testing.assert_allclose(z.mean(1), 0, atol=1e-12)
        np.testing.assert_allclose(z @ z.T / 256, np.eye(len(z)), atol=1e-10)
    other = standard_normals(model.task().plan, 4, 256, (0, 2), signs)
    assert not np.allclose(normals["w"], other["w"])
    third = (normals["W1.forward"] ** 3).mean(1)
    assert np.abs(third).max() < (1e-12 if signs else 1.0)


def test_signs_need_enough_sites_to_keep_noises_apart():
    """One refusal in words below the least number that it names, none at that number."""
    model = sx.WideNetwork(2, 8, inputs=X, targets=Y[:, 0], eta=0.2, gamma0=1.0)
    with pytest.raises(ValueError, match=r"must be at least 96 for .* with signs, got 64"):
        sx.solve(model, interpreter=limit(64, signs=True))
    solution = sx.solve(model, interpreter=limit(96, signs=True))
    assert np.isfinite(solution.train_loss).all()


def test_outputs_are_zero_at_initialization_with_signs():
    model = sx.WideNetwork(2, 1, **OPTIONS)
    plain, signed = (
        sx.solve(model, interpreter=limit(signs=signs)).predictions[0] for signs in (False, True)
    )
    assert np.abs(signed).max() < 1e-12 < np.abs(plain).max()


@pytest.mark.slow
def test_scrambles_give_standard_errors():
    """The error of the mean over scrambles is what it says, within a factor three."""
    model = sx.WideNetwork(2, 4, **OPTIONS)
    many = sx.solve(model, interpreter=limit(128, num_scrambles=6))
    exact = sx.solve(model, interpreter=limit(8192))
    z = (many.predictions - exact.predictions)[1:] / many.stats["stderr"]["predictions"][1:]
    assert 0.2 < float(jnp.sqrt(jnp.mean(z**2))) < 3
    assert many.stats["order_stderr"].Ch[1].shape == many.order.Ch[1].shape
    np.testing.assert_allclose(many.order.Ch[2], exact.order.Ch[2], atol=0.1)


def test_dependent_directions_are_dropped():
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(3, 50))
    fields = np.stack([fields[0], fields[1], fields[0] - 2 * fields[1], fields[2]])
    least = jnp.asarray(ROUNDING * (fields**2).mean(axis=1))
    directions, L = gram_schmidt(jnp.asarray(fields), least)
    np.testing.assert_allclose(L @ directions, fields, atol=1e-12)
    np.testing.assert_allclose(directions @ directions.T / 50, np.diag([1, 1, 0, 1]), atol=1e-12)
    assert L[2, 2] == 0 and (np.delete(np.diag(L), 2) > 0).all()
    slope = jax.grad(lambda x: gram_schmidt(x, least)[1].sum())(jnp.asarray(fields))
    assert np.isfinite(slope).all()


def test_under_jit_and_vmap():
    concrete = limit()

    def loss(gamma0):
        model = sx.WideNetwork(1, 3, **(OPTIONS | {"gamma0": gamma0}))
        return sx.solve(model, interpreter=concrete, throw=False).train_loss[-1]

    gamma0 = jnp.array([1.0, 2.0])
    batch = jax.jit(jax.vmap(loss))(gamma0)
    np.testing.assert_allclose(batch, [loss(1.0), loss(2.0)], rtol=1e-9)


def test_bad_requests():
    model = sx.WideNetwork(2, 4, **OPTIONS)
    with pytest.raises(ValueError, match="must be a SampledLimit for a nonlinear model"):
        sx.solve(model)
    with pytest.raises(ValueError, match=r"`num_neurons` must be at least \d+ for \d+ directions"):
        sx.solve(model, interpreter=limit(16))
    with pytest.raises(ValueError, match=r"needs [\d.]+ GB, [\d.]+ GB are free; \d+ neurons would"):
        sx.solve(model, interpreter=limit(2**40))
    with pytest.raises(ValueError, match="`num_neurons` must be a multiple of 4"):
        limit(30, signs=True)
    with pytest.raises(ValueError, match="`key` of SampledLimit must be concrete"):
        jax.jit(lambda: sx.solve(model, interpreter=limit()).train_loss)()
    assert memory(model.task().plan, 4, 2000) > memory(model.task().plan, 4, 1000) > 8000


def test_memory_counts_every_number_of_a_site():
    """Normals, fields and their noises: what grows with the number of sites."""
    plan = sx.WideNetwork(3, 2, **OPTIONS).task().plan
    (sites,) = limit(128).prepare(plan, 2)
    held = jax.tree.leaves((sites.normals, jax.eval_shape(lambda: sites.blank(plan, 2))))
    of_one_site = sum(x.size for x in held if x.shape[-1] == 128) / 128
    growth = memory(plan, 2, 129) - memory(plan, 2, 128)
    assert growth == 8 * COPIES * of_one_site


@pytest.mark.slow
def test_directions_below_the_resolution_make_no_outliers():
    """96 nearly dependent vectors: without the rule a false outlier at 12.6; networks 4.69(3)."""
    rng = np.random.default_rng(0)
    inputs, direction = rng.normal(size=(6, 20)), rng.normal(size=20)
    targets = np.tanh(2 * inputs @ direction / np.linalg.norm(direction))
    model = sx.WideNetwork(3, 16, inputs=inputs, targets=targets, eta=0.3, gamma0=4.0)
    found = []
    for resolution in (None, 1e-12):
        interpreter = limit(4096, resolution=resolution)
        solution = sx.solve(model, interpreter=interpreter)
        found.append(float(sx.outliers(sx.spikes(solution, 1, 16), 1).location[0]))
    np.testing.assert_allclose(found[0], 4.669, atol=0.01)
    assert found[1] > 5
