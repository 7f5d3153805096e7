"""Codes of quantised weights become weights by the scale of their own file, or are refused."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from spectrax.checkpoints import CheckpointError, open_checkpoint
from spectrax.checkpoints.quantised import companions, dequantise, is_code
from spectrax.empirical import measure_spectrum

W = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32) * 0.02


def written(path, **arrays):
    safetensors.numpy.save_file({k: np.ascontiguousarray(x) for k, x in arrays.items()}, path)
    return open_checkpoint(path)


def test_codes_times_scale_are_the_weights(tmp_path):
    scale = np.abs(W).max(1, keepdims=True) / 127
    codes = np.round(W / scale).astype(np.int8)
    checkpoint = written(tmp_path / "a.safetensors", weight=codes, weight_scale=scale)
    assert checkpoint.select() == ["weight"]
    found = checkpoint.read("weight")
    np.testing.assert_allclose(found, W, atol=1.01 * scale.max() / 2)
    assert measure_spectrum(found).sigma == pytest.approx(measure_spectrum(W).sigma, rel=1e-3)


def test_a_scale_for_each_row_is_that_of_the_rows(tmp_path):
    codes = np.random.default_rng(3).integers(-127, 127, (40, 40)).astype(np.int8)
    scale = np.linspace(1, 2, 40)
    checkpoint = written(tmp_path / "a.safetensors", weight=codes, weight_scale=scale)
    np.testing.assert_allclose(checkpoint.read("weight"), scale[:, None] * codes, rtol=1e-6)


def test_zero_points_and_blocks_are_explicit_loops():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 255, (5, 7)).astype(np.uint8)
    rows, zeros = rng.random(5), rng.integers(0, 9, 5)
    blocks = rng.random((2, 3))  # of 3 by 3, cut at the border
    by_row, by_block = dequantise(codes, rows, zeros), dequantise(codes, blocks)
    by_column = dequantise(codes, rng.random(7) * 0 + 2.0, axis=1)
    for i in range(5):
        for j in range(7):
            assert by_row[i, j] == pytest.approx((float(codes[i, j]) - zeros[i]) * rows[i])
            assert by_block[i, j] == pytest.approx(codes[i, j] * blocks[i // 3, j // 3])
            assert by_column[i, j] == 2.0 * codes[i, j]
    assert dequantise(codes, 0.5)[1, 1] == codes[1, 1] / 2
    with pytest.raises(ValueError, match="codes of shape .* have scales of shape"):
        dequantise(codes, np.ones(4))


def test_codes_without_a_scale_are_listed_and_not_measured(tmp_path):
    codes = np.random.default_rng(2).integers(-(2**31), 2**31, (64, 64), dtype=np.int32)
    checkpoint = written(tmp_path / "a.safetensors", qweight=codes, weight=W)
    assert checkpoint.select() == ["weight"]
    assert checkpoint.skipped() == {"qweight": "int32 without a scale: codes, or no weights"}
    with pytest.raises(ValueError, match="must hold floating-point weights, got int32"):
        measure_spectrum(checkpoint.read("qweight"))


@pytest.mark.parametrize(
    ("kind", "name"), [("F8_E4M3", "float8_e4m3fn"), ("F8_E5M2", "float8_e5m2")]
)
def test_one_byte_floats_are_read_with_and_without_a_scale(tmp_path, kind, name):
    values = (W / 0.02).astype(getattr(ml_dtypes, name))
    path = tmp_path / "a.safetensors"
    for scale in (None, 0.02):
        head = {"weight": {"dtype": kind, "shape": W.shape, "data_offsets": [0, W.size]}}
        body = values.tobytes()
        if scale:
            offsets = [W.size, W.size + 4]
            head["weight_scale_inv"] = {"dtype": "F32", "shape": [1], "data_offsets": offsets}
            body += struct.pack("<f", scale)
        text = json.dumps(head).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)
        found = open_checkpoint(path).read("weight").astype(np.float32)
        np.testing.assert_array_equal(found, values.astype(np.float32) * np.float32(scale or 1))
        assert measure_spectrum(open_checkpoint(path).read("weight")).regime == "bulk"
        assert open_checkpoint(path).select() == ["weight"]


def test_names_that_tools_give_to_codes_and_scales():
    names = {"a_quantized", "a_scale", "a_zero_point", "b", "b_scale_inv", "c_scale", "c_quantized"}
    assert companions("a_quantized", names) == ("a_scale", "a_zero_point")
    assert companions("b", names) == ("b_scale_inv", None)
    assert companions("c_quantized", names) == ("c_scale", None)
    assert companions("a", {"a"}) is None
    assert all(map(is_code, ("int8", "uint8", "bool", "float8_e5m2", "float4_e2m1fn")))
    assert not any(map(is_code, ("float16", "bfloat16", "float64")))


def test_scales_are_no_weights(tmp_path):
    blocks = np.ones((40, 40), np.float32)
    codes = np.ones((40 * 8, 40 * 8), np.int8)
    checkpoint = written(tmp_path / "a.safetensors", weight=codes, weight_scale=blocks)
    assert checkpoint.select() == ["weight"]
    assert checkpoint.skipped()["weight_scale"] == "scale or zero point of quantised weights"


def test_scales_that_do_not_fit_are_one_sentence(tmp_path):
    codes = np.ones((40, 40), np.int8)
    checkpoint = written(tmp_path / "a.safetensors", weight=codes, weight_scale=np.ones(7))
    with pytest.raises(CheckpointError, match="codes of shape .40, 40. have scales of shape .7,.*"):
        checkpoint.read("weight")
