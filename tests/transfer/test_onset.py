"""Where finite networks become unstable, against the predicted edge of stability."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx
from spectrax.simulation._tangent_kernel import kernel_top
from spectrax.simulation.ensemble import _start, _train
from spectrax.transfer.stability import with_eta

T, GROWTH = 60, 10
pytestmark = pytest.mark.nightly


def build(options):
    return sx.DeepLinear(1, T, nu=1.0, eta=0.1, gamma0=2.0, **options)


def train(model, sizes, eta, key, stop=T):
    trainer = with_eta(model, jnp.asarray(eta)).trainer(sizes)
    return trainer, _train((trainer, key, jnp.asarray(stop)), _start(trainer, key))


def unstable(model, sizes, eta, key, settled) -> bool:
    """Whether the training loss at some step from `settled` on is larger ten steps later."""
    _, network = train(model, sizes, eta, key)
    loss = np.asarray(network.seen["train_error"])[:, 0, 0]
    return not np.isfinite(loss).all() or (loss[settled + GROWTH :] > loss[settled:-GROWTH]).any()


def onset(model, sizes, predicted, key, settled) -> float:
    """Smallest unstable rate, by bisection to half a per cent of the predicted one."""
    low, high = 0.9 * predicted, 1.3 * predicted
    assert not unstable(model, sizes, low, key, settled)
    assert unstable(model, sizes, high, key, settled)
    while high - low > 0.01 * predicted:
        middle = (low + high) / 2
        low, high = (
            (low, middle) if unstable(model, sizes, middle, key, settled) else (middle, high)
        )
    return (low + high) / 2


def test_few_samples_make_networks_unstable_at_the_predicted_rate():
    """Within 5 %."""
    model = build({"alpha": 4.0})
    predicted = float(sx.max_stable_lr(model))
    model, sizes = model.rounded(600)
    keys = [jax.random.key(seed) for seed in range(8)]
    found = [onset(model, sizes, predicted, key, 8) / predicted for key in keys]
    stderr = np.std(found, ddof=1) / np.sqrt(len(found))
    print(f"D = 600, 8 networks: onset / prediction {np.mean(found):.3f} ± {stderr:.3f}")
    assert abs(np.mean(found) - 1) < 0.05
    assert stderr < 0.02


@pytest.mark.parametrize("data", ["online", "full_batch"])
def test_many_samples_make_networks_unstable_at_twice_the_inverse_sharpness(data):
    """Networks of 60 inputs differ by ten per cent: each is held against its own kernel.

    Before step 16 the sharpness may overshoot without harm: little of the loss is in its mode.
    """
    model = build({"alpha": 1000.0, "data": data})
    predicted = float(sx.max_stable_lr(model))
    model, sizes = model.rounded(60)
    found = []
    for seed in range(2 if data == "online" else 3):  # fresh samples take three times as long
        key = jax.random.key(seed)
        eta = onset(model, sizes, predicted, key, 16)
        sharpness = []
        for stop in (16, 20, 30, 40):
            trainer, network = train(model, sizes, 0.99 * eta, key, stop)
            top = kernel_top(model, trainer, network, key, "population")
            sharpness.append(float(top))
        found.append(eta * max(sharpness))
    print(f"{data}, D = 60: eta kappa at the onset", np.round(found, 3))
    np.testing.assert_allclose(np.mean(found), 2.0, rtol=0.03)
    np.testing.assert_allclose(found, 2.0, rtol=0.05)
