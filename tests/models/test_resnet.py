"""ResNet-18: sizes of the original, images of any size, no dependence on the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

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


def test_groups_that_do_not_divide_are_one_sentence():
    with pytest.raises(ValueError, match="Argument `groups` must divide the width 8, got 3."):
        ResNet18(8, groups=3, rngs=nnx.Rngs(0))
