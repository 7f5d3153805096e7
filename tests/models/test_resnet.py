"""ResNet-18: sizes of the original, images of any size, no dependence on the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_networks as plain
import pytest
from flax import nnx
from numpy.lib.stride_tricks import sliding_window_view

from models.resnet import ResNet18
from models.roles import hidden_kernels


def test_paper_size():
    """As many parameters as the original has without the 1000 biases of its readout."""
    model = nnx.eval_shape(lambda: ResNet18(rngs=nnx.Rngs(0)))
    params = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert sum(x.size for x in params) == 11_689_512 - 1000
    images = jnp.zeros((2, 224, 224, 3), jnp.float32)
    outputs = nnx.eval_shape(lambda: ResNet18(rngs=nnx.Rngs(0))(images))
    assert outputs.shape == (2, 1000) and outputs.dtype == jnp.float32
    shapes = [x.shape for x in hidden_kernels(model).values()]
    assert len(shapes) == 19 and shapes.count((3, 3, 512, 512)) == 3
    half = nnx.eval_shape(lambda: ResNet18(32, rngs=nnx.Rngs(0)))
    quarter = sum(x.size for x in hidden_kernels(half).values())
    assert 4 * quarter == sum(x.size for x in hidden_kernels(model).values())


def test_outputs_do_not_depend_on_the_batch():
    model = ResNet18(8, num_classes=10, groups=2, rngs=nnx.Rngs(0))
    one, other = jax.random.normal(jax.random.key(0), (2, 3, 32, 32, 3), jnp.float32)
    forward = jax.jit(lambda images: model(images))
    before, after = forward(one), forward(other.at[1].set(one[1]))
    assert before.shape == (3, 10) and before.dtype == jnp.float32
    np.testing.assert_allclose(after[1], before[1], rtol=1e-5)
    assert jnp.abs(after[0] - before[0]).max() > 1e-2
    expected = by_formula(model, one)
    np.testing.assert_allclose(before, expected, atol=1e-4 * np.abs(expected).max())


def by_formula(model, images):
    """Width 8, base width 64, two groups; in plain NumPy."""
    state = nnx.to_flat_state(nnx.state(model, nnx.Param))
    p = {".".join(map(str, path)): np.asarray(x.get_value(), float) for path, x in state}

    def norm(x, name):
        return plain.group_norm(x, p[f"{name}.scale"], p[f"{name}.bias"], 2)

    x = plain.conv(np.asarray(images, float), p["input.kernel"], 2)
    x = plain.relu(norm(x, "input_norm"))
    windows = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = sliding_window_view(windows, (3, 3), axis=(1, 2))[:, ::2, ::2].max((-2, -1))
    for block in range(8):
        at, stride = f"blocks.{block}", 2 if block in (2, 4, 6) else 1
        y = plain.relu(norm(plain.conv(x, p[f"{at}.conv1.kernel"], stride), f"{at}.norm1"))
        y = norm(plain.conv(y, p[f"{at}.conv2.kernel"]), f"{at}.norm2")
        if stride == 2:
            kernel = p[f"{at}.shortcut.layers.0.kernel"]
            x = norm(plain.conv(x, kernel, stride), f"{at}.shortcut.layers.1")
        x = plain.relu(x + y)
    return x.mean((1, 2)) @ p["readout.kernel"] * 8


def test_groups_that_do_not_divide_are_one_sentence():
    with pytest.raises(ValueError, match="Argument `groups` must divide the width 8, got 3."):
        ResNet18(8, groups=3, rngs=nnx.Rngs(0))
