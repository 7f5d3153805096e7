"""Square unfolding of convolution kernels."""

import numpy as np
import pytest

from spectrax import unfold
from spectrax.empirical.unfold import unfolded_shape

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


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2, 2, 2, 2)])
def test_other_arrays_are_refused(shape):
    with pytest.raises(ValueError, match="must have 2 to 5 axes"):
        unfold(np.zeros(shape))
    with pytest.raises(ValueError, match="must have 3 axes"):
        unfold(np.zeros(shape), "in_heads")
    with pytest.raises(ValueError, match="`layout` must be 'out_in' or 'in_out' or 'in_heads'"):
        unfold(KERNEL, "hwio")


def test_kernels_of_three_axes_are_explicit_loops():
    video = np.arange(4 * 3 * 2 * 5 * 6).reshape(4, 3, 2, 5, 6)  # out, in, time, height, width
    found = {name: unfold(video, unfolding=name) for name in ("square", "flat", "tall")}
    for o, c, t, i, j in np.ndindex(video.shape):
        entry = video[o, c, t, i, j]
        assert found["square"][o * 2 + t, (c * 5 + i) * 6 + j] == entry
        assert found["flat"][o, ((c * 2 + t) * 5 + i) * 6 + j] == entry
        assert found["tall"][((o * 2 + t) * 5 + i) * 6 + j, c] == entry
    flax = video.transpose(2, 3, 4, 1, 0)
    np.testing.assert_array_equal(unfold(flax, "in_out"), found["square"])


def test_matrices_of_attention_join_their_heads():
    queries = np.arange(6 * 2 * 4).reshape(6, 2, 4)  # in, heads, size
    outputs = queries.transpose(1, 2, 0)  # heads, size, out
    for i, h, k in np.ndindex(queries.shape):
        assert unfold(queries, "in_heads")[h * 4 + k, i] == queries[i, h, k]
        assert unfold(outputs, "heads_out")[i, h * 4 + k] == queries[i, h, k]
    assert unfolded_shape((6, 2, 5), "in_heads") == (10, 6)
    assert unfolded_shape((2, 5, 6), "heads_out") == (6, 10)


def test_kernels_of_one_axis_and_the_other_unfoldings_are_explicit_loops():
    line = np.arange(4 * 3 * 5).reshape(4, 3, 5)  # out, in, length
    flat, tall = unfold(line, unfolding="flat"), unfold(line)
    assert flat.shape == (4, 15) and tall.shape == (20, 3)
    wide, high = unfold(KERNEL, unfolding="flat"), unfold(KERNEL, unfolding="tall")
    for o in range(4):
        for c in range(3):
            for i in range(5):
                assert flat[o, c * 5 + i] == line[o, c, i] == tall[o * 5 + i, c]
            for i in range(2):
                for j in range(5):
                    assert wide[o, (c * 2 + i) * 5 + j] == KERNEL[o, c, i, j]
                    assert high[(o * 2 + i) * 5 + j, c] == KERNEL[o, c, i, j]
    flax = line.transpose(2, 1, 0)  # length, in, out
    np.testing.assert_array_equal(unfold(flax, "in_out", "flat"), flat)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 64, 3, 3), (192, 192)),  # the square one
        ((32, 16, 3, 3), (96, 48)),
        ((768, 3, 16, 16), (768, 768)),  # patches: flat, not 12288 by 48
        ((64, 3, 7, 7), (64, 147)),
        ((3, 64, 7, 7), (147, 64)),  # tall
        ((64, 64, 7, 1), (448, 64)),
        ((64, 64, 7), (448, 64)),
        ((8, 64, 7), (56, 64)),
        ((64, 32, 3, 3, 3), (192, 288)),
        ((64, 3, 2, 8, 8), (128, 192)),
        ((3, 64, 2, 8, 8), (384, 64)),
        ((40, 50), (40, 50)),
    ],
)
def test_the_least_degenerate_unfolding_is_taken_and_known_beforehand(shape, expected):
    found = unfold(np.zeros(shape), unfolding="auto").shape
    assert found == expected == unfolded_shape(shape)
    moved = np.moveaxis(np.zeros(shape), (0, 1), (-1, -2))
    assert unfolded_shape(moved.shape, "in_out") == expected
