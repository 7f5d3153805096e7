"""Every parameter has a role; hidden kernels are found and unfolded."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.cnn import CNN
from models.gpt import GPT
from models.resnet import ResNet18
from models.roles import flat, hidden_kernels, roles
from spectrax import measure_spectrum, unfold

MODELS = {
    "cnn": lambda: CNN(16, 2, rngs=nnx.Rngs(0)),
    "gpt": lambda: GPT(32, 2, 2, vocab_size=64, rngs=nnx.Rngs(0)),
    "resnet": lambda: ResNet18(8, num_classes=10, rngs=nnx.Rngs(0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_the_role_of_its_place(name):
    model = nnx.eval_shape(MODELS[name])
    params = dict(nnx.to_flat_state(nnx.state(model, nnx.Param)))
    found = roles(model)
    assert found.keys() == params.keys() and len(found) > 5
    for path, role in found.items():
        if path[0] in ("input", "embedding"):
            expected = "input"
        elif path[0] == "readout":
            expected = "output"
        else:
            expected = "vector" if params[path].ndim == 1 else "hidden"
        assert role.name == expected, path
        assert role.branch == (name != "resnet" and path[0] == "blocks"), path


def test_a_parameter_without_role_is_one_sentence():
    with pytest.raises(ValueError, match="Parameter `bias` must have a role, got none."):
        roles(nnx.eval_shape(lambda: nnx.Linear(3, 4, rngs=nnx.Rngs(0))))


def test_hidden_kernels_are_a_bulk_at_initialization():
    model = CNN(32, 2, sigma=1.5, rngs=nnx.Rngs(3))
    kernels = hidden_kernels(model)
    assert list(kernels) == [f"blocks.{b}.conv{c}.kernel" for b in (0, 1) for c in (1, 2)]
    for kernel in kernels.values():
        found = measure_spectrum(kernel, layout="in_out")
        assert found.shape == (96, 96) and found.regime == "bulk"
        sigma = found.sigma * (32 * 9) ** 0.5
        assert sigma == pytest.approx(1.5, abs=4 * found.sigma_stderr * (32 * 9) ** 0.5)


def test_unfoldings_hold_the_same_entries():
    kernel = jnp.arange(3 * 3 * 4 * 5, dtype=jnp.float32).reshape(3, 3, 4, 5)
    rows = np.asarray(flat(kernel))
    square = unfold(np.asarray(kernel), "in_out")
    assert rows.shape == (5, 36) and square.shape == (15, 12)
    for o in range(5):  # a row of the flat one: one output channel, in every place
        assert sorted(rows[o]) == sorted(square[3 * o : 3 * o + 3].ravel())
        assert sorted(rows[o]) == sorted(np.asarray(kernel)[..., o].ravel())
    matrix = jnp.ones((4, 5), jnp.float32)
    assert flat(matrix).shape == unfold(np.asarray(matrix), "in_out").shape == (5, 4)
