"""Right shapes and sizes; nothing to learn."""

import numpy as np
import pytest

from models.data import synthetic_images, synthetic_tokens


@pytest.mark.parametrize(
    ("shape", "classes", "size"), [((32, 32, 3), 10, 128), ((224, 224, 3), 1000, 4)]
)
def test_two_steps_of_images(shape, classes, size):
    data = synthetic_images(shape, classes, count=6, held_out=5)
    assert data.shape == shape and data.num_classes == classes
    for step in (0, 1):
        inputs, targets = data.batch(step, size)
        assert inputs.shape == (size, *shape) and inputs.dtype == np.float32
        assert targets.shape == (size,) and targets.dtype == np.int32
    assert data.evaluation(5)[0].shape == (5, *shape)


def test_pixels_are_standard_and_labels_uniform():
    data = synthetic_images((8, 8, 1), 5, count=2000)
    assert abs(data.inputs.mean()) < 4 / np.sqrt(data.inputs.size)
    assert abs(data.inputs.var() - 1) < 4 * np.sqrt(2 / data.inputs.size)
    share = np.bincount(data.labels, minlength=5) / 2000
    assert np.all(np.abs(share - 0.2) < 4 * np.sqrt(0.16 / 2000))


def test_two_steps_of_gpt2():
    data = synthetic_tokens(50257, 1024, count=8, held_out=4)
    assert data.vocabulary == 50257
    for inputs, targets in (data.batch(0, 8), data.batch(1, 8), data.evaluation(4)):
        assert inputs.shape == targets.shape == (len(inputs), 1024) and inputs.dtype == np.int32
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        assert inputs.min() >= 0 and 50000 < inputs.max() < 50257
    assert len(np.unique(data.batch(0, 8)[0][:, 0])) == 8  # eight windows, once each


def test_seeds_differ():
    first, second = (synthetic_images((4, 4, 1), 3, seed=s) for s in (0, 1))
    assert not np.array_equal(first.inputs, second.inputs)
    np.testing.assert_array_equal(first.inputs, synthetic_images((4, 4, 1), 3).inputs)
    first, second = (synthetic_tokens(90, 8, seed=s) for s in (0, 1))
    assert not np.array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(first.tokens, synthetic_tokens(90, 8).tokens)


def test_the_smallest_data_are_one_of_everything():
    images = synthetic_images((1, 1, 1), 1, count=1, held_out=1)
    assert images.batch(3, 2)[0].shape == (2, 1, 1, 1) and not images.evaluation(1)[1].any()
    tokens = synthetic_tokens(2, 1, count=1, held_out=1)
    assert tokens.batch(3, 2)[0].shape == (2, 1) and tokens.evaluation(1)[0].shape == (1, 1)


@pytest.mark.parametrize("shape", [(8, 8), (8, 0, 1), (8, 8, 1.5)])
def test_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match="Argument `shape` must be"):
        synthetic_images(shape, 2)


@pytest.mark.parametrize("name", ["vocabulary", "length", "count", "held_out", "seed"])
def test_wrong_sizes_are_named(name):
    with pytest.raises(ValueError, match=f"Argument `{name}` must be an integer"):
        synthetic_tokens(**{"vocabulary": 10, "length": 4, name: -1})
