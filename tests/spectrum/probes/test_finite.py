"""The probe of finite matrices, theory against samples, and how probes fail."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from spectrum.helpers import COUPLED, sampled, spikes_of, tanh_fields, tanh_symmetric, wigner

import spectrax as sx

LAWS = [sx.MarchenkoPastur(0.3), sx.MarchenkoPastur(1.0, 1.3), sx.MarchenkoPastur(2.5, 0.7)]
ASYMMETRIC, SYMMETRIC = spikes_of(COUPLED[1]), tanh_symmetric()[0]
SIGNS = pytest.mark.parametrize("sign", [-1, 1])


def deviations(theory, samples):
    """(mean - theory) / standard error, and the standard errors relative to the largest value."""
    mean, seeds = np.mean(samples, axis=0), len(samples)
    error = np.std(samples, axis=0, ddof=1) / np.sqrt(seeds)
    return np.abs(mean - theory) / error, error / np.abs(theory).max()


SEEDS = {100: 40, 900: 10}  # size and number of matrices


@functools.cache
def samples_of(M):
    """Matrices with two coupled spikes and their fields."""
    K = np.array(COUPLED[1]["K"])
    drawn = [sampled(K, M, seed) for seed in range(SEEDS[M])]
    return [(jnp.asarray(W), jnp.asarray(e)) for W, e, _ in drawn]


@functools.cache
def symmetric_samples(N):
    """Symmetric matrices with three coupled spikes and their fields."""
    K, drawn = tanh_symmetric()[1], []
    for seed in range(SEEDS[N]):
        rng = np.random.default_rng(seed)
        J = wigner(N, rng)
        x = tanh_fields(J, rng)
        drawn.append((jnp.asarray(J + x.T @ K @ x / N), jnp.asarray(x)))
    return drawn


SAMPLES = pytest.mark.parametrize(
    ("spikes", "samples_of"),
    [(ASYMMETRIC, samples_of), (SYMMETRIC, symmetric_samples)],
    ids=["coupled", "symmetric"],
)


@pytest.mark.slow
@SIGNS
@SAMPLES
def test_projected_probe_is_that_of_sampled_matrices_up_to_an_error_that_shrinks(
    spikes, samples_of, sign
):
    times, spread = [0.5, 3.0] if sign == -1 and spikes is ASYMMETRIC else [0.1, 0.4], []
    theory = sx.projected_probe(spikes, times, sign=sign).values[:, :, 1]
    symmetric = spikes is SYMMETRIC

    @jax.jit
    def overlaps(W, e):
        return sx.probe(W, e[1], times, sign=sign, fields=e, symmetric=symmetric).values

    for M, seeds in SEEDS.items():
        away, error = deviations(theory, [overlaps(W, e) for W, e in samples_of(M)])
        assert away.max() < 4, f"M = {M}, {seeds} seeds: {away.max():.1f} standard errors"
        spread.append(np.median(error) * np.sqrt(seeds))
    assert spread[1] < 0.6 * spread[0] and np.median(error) < 0.02


def dense(seed=0, shape=(12, 8)):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[1]))


@pytest.mark.slow
def test_probe_is_the_matrix_exponential_however_the_matrix_is_given():
    W, v, times = dense(), jnp.arange(8.0), jnp.array([0.0, 3.0])
    linear = eqx.nn.Linear(8, 12, use_bias=False, key=jax.random.key(0))
    linear = eqx.tree_at(lambda layer: layer.weight, linear, W)
    kernel = W.T  # as Flax keeps it
    forms = {
        "array": W,
        "operator": lx.MatrixLinearOperator(W),
        "function": lambda x: x @ kernel,
        "layer": linear,
        "pair": (lambda x: W @ x, lambda y: kernel @ y),
    }
    values, vectors = np.linalg.eigh(W.T @ W)
    for sign, names in ((-1, forms), (1, ["array"])):
        expected = np.exp(sign * np.outer(times, values)) * (vectors.T @ v) @ vectors.T
        for name in names:
            found = sx.probe(forms[name], v, times, sign=sign).values
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9, err_msg=name)


def test_symmetric_probe_uses_the_matrix_itself_and_a_source_drives_it():
    J = dense(1, (8, 8))
    J, v, source = J + J.T, jnp.ones(8), jnp.arange(8.0)
    augmented = jnp.block([[-J, source[:, None]], [jnp.zeros((1, 9))]])
    expected = (jax.scipy.linalg.expm(1.3 * augmented) @ jnp.append(v, 1.0))[:8]
    fields = jnp.stack([v, source])
    found = sx.probe(J, v, [1.3], symmetric=True, source=source, fields=fields).values
    np.testing.assert_allclose(found[0], fields @ expected / 8, rtol=1e-6)


def test_growth_rate_of_a_finite_matrix_is_its_largest_eigenvalue():
    W = dense(2, (40, 30))
    top = np.linalg.svd(W, compute_uv=False)[0] ** 2
    response = sx.probe(W, jnp.ones(30), [58.0, 60.0], sign=1, fields=jnp.ones((1, 30)))
    np.testing.assert_allclose(response.growth_rates()[0, 0], top, rtol=1e-4)


@pytest.mark.slow
def test_derivatives_of_the_finite_probe_in_both_modes():
    W, v, direction = dense(), jnp.ones(8), dense(5)

    def total(W, adjoint=None):
        return jnp.sum(sx.probe(W, v, [0.5, 1.5], adjoint=adjoint).values ** 2)

    def exact(W):
        values, vectors = np.linalg.eigh(W.T @ W)
        return sum(np.sum(np.exp(-2 * t * values) * (vectors.T @ v) ** 2) for t in (0.5, 1.5))

    expected = (exact(W + 1e-5 * direction) - exact(W - 1e-5 * direction)) / 2e-5
    reverse = jnp.vdot(jax.grad(total)(W), direction)
    forward = jax.jvp(lambda W: total(W, diffrax.ForwardMode()), (W,), (direction,))[1]
    np.testing.assert_allclose([reverse, forward], expected, rtol=1e-6)

    pair = jax.grad(lambda W: total((lambda x: W @ x, lambda y: W.T @ y)))(W)
    np.testing.assert_allclose(jnp.vdot(pair, direction), expected, rtol=1e-6)

    def at(times):
        return jnp.sum(sx.probe(W, v, times).values, axis=1)

    speeds = jax.grad(lambda times: at(times).sum())(jnp.array([0.5, 1.5]))
    up, down = (at(jnp.array([0.5, 1.5]) + h) for h in (1e-5, -1e-5))
    np.testing.assert_allclose(speeds, (up - down) / 2e-5, rtol=1e-6)


# --- a trained network


def trained(model, size, num_seeds):
    """Both weights of trained finite networks, each with its forward fields."""
    model, sizes = model.rounded(size)
    trainer = model.trainer(sizes)

    @jax.jit
    def train(key):
        network = trainer.train(trainer.start(key), key, jnp.asarray(model.num_steps))
        fields = (network.records[f"W{layer}.forward"][:, 0] for layer in range(2))  # (time, cols)
        return [(model.matrix(network, f"W{layer}"), h) for layer, h in enumerate(fields)]

    return [train(key) for key in jax.random.split(jax.random.key(3), num_seeds)]


@pytest.mark.slow
def test_probe_of_a_trained_network():
    """Every field of the training against the fifth, in both weights."""
    model = sx.DeepLinear(2, 12, alpha=4.0, nu=1.0, eta=0.03, gamma0=6.0)
    solution, networks = sx.solve(model), trained(model, 300, 8)
    times, start = jnp.array([0.1, 0.3]), jnp.eye(12)[:, 4:5]
    for layer in range(2):
        spikes = sx.spikes(solution, layer, 12)
        assert sx.outliers(spikes, 1).escaped[0]
        theory = sx.projected_probe(spikes, times, sign=1, start=start).values[..., 0]
        samples = []
        for network in networks:
            W, h = network[layer]
            samples.append(sx.probe(W, h[4], times, sign=1, fields=h).values)
        away, error = deviations(theory, samples)
        print(f"D = 300, 8 seeds: {away.max():.1f} standard errors of {np.median(error):.1%}")
        assert away.max() < 4 and np.median(error) < 0.03


# --- how it fails, and how it composes


@pytest.mark.slow
def test_a_probe_that_blows_up_names_the_time():
    W, v = 3.0 * jnp.eye(2), jnp.ones(2)
    with pytest.raises(RuntimeError, match=r"^The probe blew up at time 3[89]\.\d+\.$"):
        sx.probe(W, v, [1.0, 100.0], sign=1)  # 150 log(10) / 9 = 38.4
    response = sx.probe(W, v, [1.0, 100.0], sign=1, throw=False)
    assert not response.succeeded and 38 < response.stopped_at < 40
    np.testing.assert_allclose(response.values[0], np.exp(9.0), rtol=1e-6)
    assert jnp.all(response.values[1] == jnp.inf)
    assert jnp.all(response.growth_rates() == jnp.inf)


def test_too_few_steps_are_said():
    with pytest.raises(RuntimeError, match=r"stopped at time 0\.\d+: `max_steps` were too few\.$"):
        sx.probe(dense(), jnp.ones(8), [50.0], max_steps=3)


@pytest.mark.slow
def test_one_failing_probe_spoils_no_batch():
    @jax.jit
    @jax.vmap
    def batch(scale):
        return sx.probe(scale * jnp.eye(2), jnp.ones(2), [1.0, 50.0], sign=1)

    response = batch(jnp.array([1.0, 3.0]))
    assert response.succeeded.tolist() == [True, False]
    np.testing.assert_allclose(response.values[0, 1], np.exp(50.0), rtol=1e-6)
    np.testing.assert_allclose(response.values[1, 0], np.exp(9.0), rtol=1e-6)
    assert response.message.startswith("The probe blew up at time 3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sign": 3}, "Argument `sign` must be -1 or 1, got 3."),
        ({"times": [-1.0]}, "Argument `times` must be non-negative, got -1.0."),
        ({"times": [2.0, 1.0]}, "Argument `times` must be increasing, got 1.0."),
        ({"times": 1.0}, "Argument `times` must have shape (any), got shape ()."),
        ({"rtol": 0.0}, "Argument `rtol` must be at least 2.2e-15 in this precision"),
        ({"max_steps": 0}, "Argument `max_steps` must be an integer of at least 1, got 0."),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(change, message):
    options = {"times": [1.0]} | change
    times = options.pop("times")
    for ask in (
        lambda: sx.probe(dense(), jnp.ones(8), times, **options),
        lambda: sx.projected_probe(ASYMMETRIC, times, **options),
    ):
        with pytest.raises(ValueError) as error:
            ask()
        assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: sx.probe(dense(), jnp.ones(9), [1.0]), "`W` must have shape (any, 9), got shape"),
        (
            lambda: sx.probe(dense(), jnp.ones(8), [1.0], symmetric=True),
            "`W` must map (8,) to (8,)",
        ),
        (
            lambda: sx.probe(lambda v: v + 0.5, jnp.ones(8), [1.0]),
            "`W` must be linear, got W(0) with an entry 0.5.",
        ),
        (
            lambda: sx.probe(dense(), jnp.ones(8), [1.0], source=jnp.ones(3)),
            "`source` must have shape (8), got shape (3,).",
        ),
        (
            lambda: sx.projected_probe(ASYMMETRIC, [1.0], num_nodes=1),
            "`num_nodes` must be an integer of at least 2, got 1.",
        ),
        (lambda: sx.trace_response(LAWS[0], 1.0, sign=0), "`sign` must be -1 or 1, got 0."),
        (lambda: sx.nodes_needed(LAWS[0], -1.0), "`time` must be non-negative, got -1.0."),
    ],
)
def test_what_does_not_fit_is_refused(ask, message):
    with pytest.raises(ValueError) as error:
        ask()
    assert message in str(error.value)
