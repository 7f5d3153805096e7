"""Every array is measured or listed with a reason; fused arrays are taken apart."""

import numpy as np
import pytest

from spectrax.checkpoints import open_checkpoint
from spectrax.checkpoints.fused import blocks_of, taken_apart

SHAPES = {
    "conv1d.weight": (64, 64, 7),
    "temporal/kernel": (7, 64, 48),
    "separable.weight": (64, 64, 7, 1),
    "patches.weight": (96, 3, 8, 8),
    "depthwise.weight": (64, 1, 3, 3),
    "experts": (8, 128, 96),
    "bias": (64,),
    "scale": (),
    "video": (64, 8, 3, 3, 3),
    "small.weight": (16, 200),
    "optimizer.exp_avg.weight": (64, 64),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("selection") / "a.npz"
    rng = np.random.default_rng(0)
    np.savez(path, **{k: rng.normal(size=s).astype(np.float32) for k, s in SHAPES.items()})
    return open_checkpoint(path)


def test_every_array_is_selected_or_has_a_reason(checkpoint):
    for options in ({}, {"patterns": ("*weight",)}, {"smallest": 100}, {"unfolding": "square"}):
        selected, skipped = checkpoint.select(**options), checkpoint.skipped(**options)
        assert sorted([*selected, *skipped]) == sorted(checkpoint.shapes)
        assert all(skipped.values())


def test_reasons_say_what_is_the_matter(checkpoint):
    assert set(checkpoint.select()) == {
        "conv1d.weight",
        "temporal/kernel",
        "separable.weight",
        "patches.weight",
    }
    assert checkpoint.skipped() == {
        "depthwise.weight": "matrix smaller than 32, 64 × 9",
        "experts": "3 axes, no kernel: stacked matrices",
        "bias": "1 axis",
        "scale": "0 axes",
        "video": "5 axes",
        "small.weight": "matrix smaller than 32, 16 × 200",
        "optimizer.exp_avg.weight": "state of the optimiser",
    }
    assert "patches.weight" in checkpoint.skipped(unfolding="square")  # 768 by 24
    assert "optimizer.exp_avg.weight" in checkpoint.select(["opt*"])  # asked for by name
    assert checkpoint.skipped(["conv*"])["bias"] == "no match"


@pytest.mark.parametrize(
    ("name", "shapes", "layout", "expected"),
    [
        ("a.weight_hh_l0", {"a.weight_hh_l0": (160, 40)}, "out_in", (0, ("i", "f", "g", "o"))),
        (
            "weight_ih_l1_reverse",
            {"weight_ih_l1_reverse": (120, 70), "weight_hh_l1_reverse": (120, 40)},
            "out_in",
            (0, ("r", "z", "n")),
        ),
        ("weight_ih_l0", {"weight_ih_l0": (160, 30)}, "out_in", ()),  # of what state?
        ("h.0.attn.c_attn.weight", {"h.0.attn.c_attn.weight": (40, 120)}, "out_in", 1),
        ("h.0.attn.c_attn.weight", {"h.0.attn.c_attn.weight": (120, 40)}, "out_in", 0),
        ("x.in_proj_weight", {"x.in_proj_weight": (120, 40)}, "out_in", 0),
        ("x/qkv/kernel", {"x/qkv/kernel": (50, 120)}, "in_out", 1),
        ("x.query_key_value.weight", {"x.query_key_value.weight": (120, 40)}, "out_in", ()),
        ("mlp.gate_up_proj.weight", {"mlp.gate_up_proj.weight": (80, 40)}, "out_in", "gate"),
        ("dense.weight", {"dense.weight": (120, 40)}, "out_in", ()),
        ("experts", {"experts": (3, 50, 40)}, "out_in", (0, ("0", "1", "2"))),
    ],
)
def test_blocks_are_found_by_name_and_shape(name, shapes, layout, expected):
    found = blocks_of(name, shapes, layout)
    if isinstance(expected, int):
        expected = (expected, ("q", "k", "v"))
    assert found == ((0, ("gate", "up")) if expected == "gate" else expected)


def test_blocks_are_slices():
    array = np.arange(12 * 5).reshape(12, 5)
    parts = taken_apart(array, 0, ("q", "k", "v"))
    np.testing.assert_array_equal(parts["k"], array[4:8])
    np.testing.assert_array_equal(np.concatenate(list(parts.values())), array)
    across = taken_apart(array.T, 1, ("q", "k", "v"))
    np.testing.assert_array_equal(across["v"], array.T[:, 8:])
    stack = taken_apart(np.arange(24).reshape(2, 3, 4), 0, ("0", "1"))
    assert stack["1"].shape == (3, 4) and stack["1"][0, 0] == 12
