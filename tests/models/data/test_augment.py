"""Crops and flips are what they are called."""

import numpy as np

from models.data.augment import PADDING, crop_and_flip


def numbered(n, height=6, width=5):
    """Images whose pixels tell where they come from: image, row, column, counted from one."""
    return np.stack(np.meshgrid(*(np.arange(1, k + 1) for k in (n, height, width)), indexing="ij"))


def images(n):
    return np.moveaxis(numbered(n), 0, -1).astype(np.float32)


def test_every_image_is_shifted_and_perhaps_mirrored():
    """Inside, coordinates go on in steps of one; outside, everything is zero."""
    batch = images(200)
    found = crop_and_flip(batch, 0, 0)
    assert found.shape == batch.shape and found.dtype == batch.dtype
    shifts, flips = [], []
    for i, image in enumerate(found):
        inside = image[..., 0] > 0
        assert np.all(image[inside][:, 0] == i + 1) and np.all(image[~inside] == 0)
        rows, cols = np.nonzero(inside)
        down = image[rows, cols, 1] - rows
        right, left = image[rows, cols, 2] - cols, image[rows, cols, 2] + cols
        assert len(rows) and np.ptp(down) == 0 and min(np.ptp(right), np.ptp(left)) == 0
        assert inside.sum() == (np.ptp(rows) + 1) * (np.ptp(cols) + 1)  # a whole rectangle
        shifts.append(down[0] - 1)
        if np.ptp(cols):
            flips.append(np.ptp(right) > 0)
    assert set(shifts) == set(range(-PADDING, PADDING + 1))
    assert abs(np.mean(flips) - 0.5) < 4 * 0.5 / np.sqrt(len(flips))


def test_choices_are_a_pure_function_of_seed_and_step():
    batch = images(16)
    first = crop_and_flip(batch, 1, 2)
    crop_and_flip(batch, 9, 9)
    np.testing.assert_array_equal(crop_and_flip(batch, 1, 2), first)
    assert not np.array_equal(crop_and_flip(batch, 1, 3), first)
    assert not np.array_equal(crop_and_flip(batch, 2, 2), first)


def test_the_originals_stay_as_they_are():
    batch = images(8)
    crop_and_flip(batch, 0, 0)
    np.testing.assert_array_equal(batch, images(8))
