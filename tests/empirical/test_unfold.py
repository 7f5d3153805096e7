"""Square unfolding of convolution kernels."""

import numpy as np
import pytest

from spectrax import unfold

KERNEL = np.arange(4 * 3 * 2 * 5).reshape(4, 3, 2, 5)  # out, in, height, width


def test_unfolding_is_the_explicit_loop():
    W = unfold(KERNEL)
    assert W.shape == (4 * 2, 3 * 5)
    for o in range(4):
        for c in range(3):
            for i in range(2):
                for j in range(5):
                    assert W[o * 2 + i, c * 5 + j] == KERNEL[o, c, i, j]


def test_layouts_give_the_same_matrix():
    flax = KERNEL.transpose(2, 3, 1, 0)  # height, width, in, out
    np.testing.assert_array_equal(unfold(flax, "in_out"), unfold(KERNEL))
    dense = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(unfold(dense.T, "in_out"), dense)


def test_entries_are_kept_with_their_type():
    W = unfold(KERNEL.astype(np.float16))
    assert W.dtype == np.float16 and sorted(W.ravel()) == sorted(KERNEL.ravel())


@pytest.mark.parametrize("shape", [(), (3,), (3, 3, 3), (2, 2, 2, 2, 2)])
def test_other_arrays_are_refused(shape):
    with pytest.raises(ValueError, match="must have 2 or 4 axes"):
        unfold(np.zeros(shape))
    with pytest.raises(ValueError, match="`layout` must be 'out_in' or 'in_out'"):
        unfold(KERNEL, "hwio")
