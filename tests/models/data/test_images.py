"""Standardisation, and batches as a pure function."""

import dataclasses

import numpy as np
import pytest

from models.data.images import Images, from_pixels


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (70, 6, 5, 3)) * np.array([1.0, 0.5, 0.1])
    return levels.astype(np.uint8), rng.integers(0, 4, 70)


@pytest.fixture(scope="module")
def data(pixels) -> Images:
    pixels, labels = pixels
    return from_pixels(
        (pixels[:50], labels[:50]), (pixels[50:], labels[50:]), name="noise", num_classes=4
    )


def test_training_part_has_mean_zero_and_variance_one_by_channel(data):
    np.testing.assert_allclose(data.inputs.mean(axis=(0, 1, 2), dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(data.inputs.std(axis=(0, 1, 2), dtype=float), 1, atol=1e-6)


def test_held_out_part_uses_the_constants_of_the_training_part(pixels, data):
    pixels = pixels[0].astype(float)
    mean, spread = pixels[:50].mean(axis=(0, 1, 2)), pixels[:50].std(axis=(0, 1, 2))
    np.testing.assert_allclose(data.test_inputs, (pixels[50:] - mean) / spread, atol=1e-5)


def test_a_constant_channel_is_centred():
    flat = np.full((4, 2, 2, 1), 7, np.uint8)
    found = from_pixels((flat, np.zeros(4)), (flat + 1, np.zeros(4)), name="flat", num_classes=1)
    assert np.all(found.inputs == 0) and np.all(found.test_inputs == 1)


def test_shapes_and_types(data):
    assert data.shape == (6, 5, 3) and data.num_classes == 4
    inputs, targets = data.batch(3, 8)
    assert inputs.shape == (8, 6, 5, 3) and inputs.dtype == np.float32
    assert targets.shape == (8,) and targets.dtype == np.int32
    for array, kind in ((data.test_inputs, np.float32), (data.test_labels, np.int32)):
        assert array.dtype == kind and len(array) == 20


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_depends_on_seed_step_and_size_alone(data, augment):
    data = dataclasses.replace(data, augment=augment)
    other = dataclasses.replace(data)
    forward = [data.batch(step, 12) for step in range(9)]
    for step in (8, 0, 4):
        for found, first in zip(other.batch(step, 12), forward[step], strict=True):
            np.testing.assert_array_equal(found, first)
    changed = dataclasses.replace(data, seed=1).batch(0, 12)[0]
    assert not np.array_equal(changed, forward[0][0])


def test_an_epoch_shows_every_image_once_with_its_label(data):
    batches = [data.batch(step, 10) for step in range(5)]
    inputs, targets = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    order = np.lexsort(inputs.reshape(50, -1).T)
    same = np.lexsort(data.inputs.reshape(50, -1).T)
    np.testing.assert_array_equal(inputs[order], data.inputs[same])
    np.testing.assert_array_equal(targets[order], data.labels[same])


def test_augmentation_changes_training_images_only(data):
    augmented = dataclasses.replace(data, augment=True)
    np.testing.assert_array_equal(augmented.batch(2, 9)[1], data.batch(2, 9)[1])
    assert not np.array_equal(augmented.batch(2, 9)[0], data.batch(2, 9)[0])
    np.testing.assert_array_equal(augmented.evaluation(9)[0], data.evaluation(9)[0])


def test_evaluation_is_one_set_for_all_seeds(data):
    inputs, targets = data.evaluation(20)
    again = dataclasses.replace(data, seed=5).evaluation(20)
    np.testing.assert_array_equal(again[0], inputs)
    where = [np.flatnonzero((data.test_inputs == x).all(axis=(1, 2, 3))) for x in inputs]
    assert sorted(int(i[0]) for i in where) == list(range(20))
    np.testing.assert_array_equal(targets, data.test_labels[np.concatenate(where)])
    with pytest.raises(ValueError, match="Argument `size` must be .* from 1 to 20, got 21"):
        data.evaluation(21)


def test_writing_into_a_batch_leaves_the_data_alone(data):
    before = data.inputs.copy()
    data.batch(0, 50)[0][:] = 9
    data.evaluation(20)[0][:] = 9
    np.testing.assert_array_equal(data.inputs, before)
    assert not np.any(data.test_inputs == 9)
