"""The digits of scikit-learn, all of them, once."""

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from models.data import digits


def test_split_is_fixed_and_complete():
    data = digits()
    assert data.shape == (8, 8, 1) and data.num_classes == 10
    assert len(data.inputs) == len(data.labels) == 1437 and len(data.test_inputs) == 360
    np.testing.assert_array_equal(digits(seed=3).test_inputs, data.test_inputs)
    assert not np.array_equal(digits(split=1).test_inputs, data.test_inputs)
    # Both parts together are the originals, up to one shift and one factor for all.
    found = np.concatenate([data.inputs, data.test_inputs])[..., 0]
    labels = np.concatenate([data.labels, data.test_labels])
    levels = np.round((found - found.min()) / np.ptp(found) * 16)
    rows = np.column_stack([levels.reshape(1797, -1), labels])
    expected = np.column_stack([load_digits().data, load_digits().target])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


def test_seed_changes_the_order_alone():
    first, second = digits(seed=0), digits(seed=1)
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert not np.array_equal(first.batch(0, 64)[1], second.batch(0, 64)[1])


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"spectrax-dmft\[models\]"):
        digits()
