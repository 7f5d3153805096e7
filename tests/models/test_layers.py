"""Initial values of every kernel are those of the table, in all networks."""

import jax
import numpy as np
import pytest
from flax import nnx

from models.cnn import CNN
from models.dense import Dense
from models.gpt import GPT
from models.resnet import ResNet18
from models.roles import roles
from models.scaling import Scaling

NETWORKS = {
    "cnn": lambda **options: CNN(8, 2, base_width=2, **options),
    "gpt": lambda **options: GPT(8, 2, 2, vocab_size=6, base_width=2, **options),
    "resnet": lambda **options: ResNet18(8, num_classes=6, base_width=2, **options),
    "dense": lambda readout_sigma=1.0, **options: Dense(
        8, 3, inputs=5, outputs=6, base_width=2, **options
    ),
}


@pytest.fixture
def deviations(monkeypatch):
    """Kernels hold their standard deviation instead of random numbers."""

    def normal(stddev=1e-2):
        return lambda key, shape, dtype, **_: np.full(shape, stddev, dtype)

    monkeypatch.setattr(nnx.initializers, "normal", normal)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("given", [{}, {"sigma": 3.0, "readout_sigma": 5.0}])
def test_kernels_start_with_sigma_over_the_root_of_fan_in(deviations, name, given):
    model = NETWORKS[name](rngs=nnx.Rngs(0), **given)
    sigma = given.get("sigma", 2**0.5 if name == "dense" else 1.0)
    readout = given.get("readout_sigma", 1.0) if name != "dense" else 1.0  # has no such option
    params, seen = dict(nnx.to_flat_state(nnx.state(model, nnx.Param))), set()
    for path, role in roles(model).items():
        kernel = np.asarray(params[path].get_value())
        if path[-1] == "kernel":
            factor = 2 * readout if role.name == "output" else sigma  # √(8/2)
            expected = factor / np.prod(kernel.shape[:-1]) ** 0.5
            np.testing.assert_allclose(kernel, expected, rtol=1e-6, err_msg=str(path))
        elif path[-1] == "embedding":
            assert (kernel == np.float32(0.2)).all()
        seen.add((path[-1], role.name))
    kinds = {("kernel", "hidden"), ("kernel", "output")}
    assert model.scaling == Scaling(4.0, model.scaling.depth)
    assert kinds | {("embedding" if name == "gpt" else "kernel", "input")} <= seen


def test_every_layer_draws_its_own_numbers():
    kernels = [x for x in jax.tree.leaves(nnx.state(CNN(8, 1, rngs=nnx.Rngs(0)))) if x.ndim == 4]
    flat = [np.ravel(x) / np.std(x) for x in kernels]
    size = min(map(len, flat))
    overlaps = np.stack([x[:size] for x in flat]) @ np.stack([x[:size] for x in flat]).T / size
    np.testing.assert_allclose(overlaps, np.eye(len(flat)), atol=5 / size**0.5)
