"""Every array is measured or listed with a reason; fused arrays are taken apart."""

import json

import numpy as np
import pytest
import safetensors.numpy

from spectrax.checkpoints import open_checkpoint
from spectrax.checkpoints.fused import along, blocks_of, taken_apart
from spectrax.empirical import unfold

RNG = np.random.default_rng(0)
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
    "six": (40, 40, 3, 3, 3, 3),
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
        "video",
    }
    assert checkpoint.skipped() == {
        "depthwise.weight": "matrix smaller than 32, 64 × 9",
        "experts": "3 axes, no kernel: stacked matrices",
        "bias": "1 axis",
        "scale": "0 axes",
        "six": "6 axes",
        "small.weight": "matrix smaller than 32, 16 × 200",
        "optimizer.exp_avg.weight": "state of the optimiser",
    }
    assert "patches.weight" in checkpoint.skipped(unfolding="square")  # 768 by 24
    assert "optimizer.exp_avg.weight" in checkpoint.select(["opt*"])  # asked for by name
    assert checkpoint.skipped(["conv*"])["bias"] == "no match"


def test_a_third_axis_of_65_is_no_kernel(tmp_path):
    """It is the last one of PyTorch and the first one of Flax."""
    shapes = {"a.weight": (72, 80, 64), "b.weight": (72, 80, 65)}
    shapes |= {"a/kernel": (64, 72, 80), "b/kernel": (65, 40, 48)}
    np.savez(tmp_path / "a.npz", **{name: np.zeros(shape, "f2") for name, shape in shapes.items()})
    found = open_checkpoint(tmp_path / "a.npz")
    assert found.select() == ["a.weight", "a/kernel"]
    assert set(found.skipped().values()) == {"3 axes, no kernel: stacked matrices"}


UNKNOWN = "gates of a state of unknown size"
COUNT = "alternating heads of unknown number, see --heads"


@pytest.mark.parametrize(
    ("name", "shapes", "layout", "expected"),
    [
        ("a.weight_hh_l0", {"a.weight_hh_l0": (160, 40)}, "out_in", (0, "ifgo")),
        (
            "weight_ih_l1_reverse",
            {"weight_ih_l1_reverse": (120, 70), "weight_hh_l1_reverse": (120, 40)},
            "out_in",
            (0, "rzn"),
        ),
        ("weight_ih_l0", {"weight_ih_l0": (160, 30)}, "out_in", UNKNOWN),
        ("weight_ih", {"weight_ih": (100, 30), "weight_hh": (160, 40)}, "out_in", UNKNOWN),
        (
            "rnn.weight_ih",
            {"rnn.weight_ih": (160, 30), "rnn.weight_hh": (160, 40)},
            "out_in",
            (0, "ifgo"),
        ),
        ("h.0.attn.c_attn.weight", {"h.0.attn.c_attn.weight": (40, 120)}, "out_in", (1, "qkv")),
        ("h.0.attn.c_attn.weight", {"h.0.attn.c_attn.weight": (120, 40)}, "out_in", (0, "qkv")),
        ("x.in_proj_weight", {"x.in_proj_weight": (120, 40)}, "out_in", (0, "qkv")),
        ("x/qkv/kernel", {"x/qkv/kernel": (50, 120)}, "in_out", (1, "qkv")),
        ("x.qkv.weight", {"x.qkv.weight": (100, 50)}, "out_in", "100 rows are not 3 equal parts"),
        ("x.query_key_value.weight", {"x.query_key_value.weight": (120, 40)}, "out_in", COUNT),
        ("mlp.gate_up_proj.weight", {"mlp.gate_up_proj.weight": (80, 40)}, "out_in", (0, "gu")),
        ("dense.weight", {"dense.weight": (120, 40)}, "out_in", ""),
        ("bias", {"bias": (120,)}, "out_in", ""),
        ("experts", {"experts": (3, 50, 40)}, "out_in", (0, "012")),
    ],
)
def test_blocks_are_found_by_name_and_shape(name, shapes, layout, expected):
    found = blocks_of(name, shapes, layout)
    if isinstance(expected, str):
        assert found == expected
        return
    axis, letters = expected
    shape = shapes[name]
    array = np.random.default_rng(0).normal(size=shape)
    pieces = taken_apart(array, found)
    assert "".join(key[0] for key in pieces) == letters
    whole = np.stack if len(shape) == 3 else np.concatenate
    np.testing.assert_array_equal(whole(list(pieces.values()), axis), array)


@pytest.mark.parametrize("layout", ["out_in", "in_out"])
def test_alternating_heads_give_each_head_to_its_matrix(layout):
    heads, size, inputs = 4, 10, 40
    parts = {x: RNG.normal(size=(heads, size, inputs)) for x in "qkv"}
    array = np.stack(list(parts.values()), 1).reshape(3 * heads * size, inputs)
    array = array if layout == "out_in" else array.T
    shapes = {"attention.query_key_value.weight": array.shape}
    (name,) = shapes
    found = taken_apart(array, blocks_of(name, shapes, layout, heads))
    for part, piece in parts.items():
        piece = piece.reshape(heads * size, inputs)
        expected = piece if layout == "out_in" else piece.T
        np.testing.assert_array_equal(found[part], expected)
    assert blocks_of(name, shapes, layout, 3) == "40 directions are not 3 equal heads"
    shared = {name: (60, 40) if layout == "out_in" else (40, 60)}
    assert blocks_of(name, shared, layout, heads) == "heads that share keys and values"


def test_pairs_of_blocks_lie_on_either_axis():
    array = np.arange(12 * 5).reshape(12, 5)
    parts = taken_apart(array.T, along((5, 12), 1, ("gate", "up")))
    assert list(parts) == ["gate", "up"]
    np.testing.assert_array_equal(parts["up"], array.T[:, 6:])


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        ('{"num_attention_heads": 4}', 4),
        ('{"n_head": 5, "hidden_size": 40}', 5),
        ('{"num_attention_heads": "4"}', None),
        ('{"n_heads": true}', None),
        ('{"n_head": 0}', None),
        ("[4]", None),
        ("{", None),
        ("[" * 100_000, None),
        (None, None),
    ],
)
def test_the_number_of_heads_stands_beside_the_weights(tmp_path, text, heads):
    array = RNG.normal(size=(120, 40)).astype(np.float32)
    safetensors.numpy.save_file({"query_key_value.weight": array}, tmp_path / "model.safetensors")
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"query_key_value.weight": "model.safetensors"}}))
    for path in (tmp_path, tmp_path / "model.safetensors", index):
        found = open_checkpoint(path)
        assert found.heads == heads
        if heads is None:
            assert found.blocks("query_key_value.weight") == COUNT
        else:
            assert found.blocks("query_key_value.weight").shape == (heads, 3, 40 // heads, 40)
        assert found.blocks("query_key_value.weight", heads=8).shape == (8, 3, 5, 40)


FLAX = {
    "encoder/MultiHeadDotProductAttention_1/query/kernel": (48, 4, 12),
    "encoder/MultiHeadDotProductAttention_1/query/bias": (4, 12),
    "encoder/MultiHeadDotProductAttention_1/out/kernel": (4, 12, 56),
    "self_attn.value.kernel.value": (48, 4, 9),
    "wide/attention/query/kernel": (96, 4, 12),
    "scanned/attention/key/kernel": (3, 48, 4, 12),
    "attention_pool/key/kernel": (7, 48, 40),
    "attention_pool/key/bias": (40,),
    "query/kernel": (5, 48, 40),
    "attention/query/kernel_scale": (48, 4, 12),
}


def test_attention_of_flax_is_no_convolution(tmp_path):
    arrays = {name: RNG.normal(size=shape) for name, shape in FLAX.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    found = open_checkpoint(tmp_path / "a.npz")
    query, _, out, value, wide, scanned, pool, _, other, scale = FLAX
    assert found.layout(query) == found.layout(value) == found.layout(scanned) == "in_heads"
    assert found.layout(out) == "heads_out"
    assert found.layout(pool) == found.layout(other) == "in_out"  # a bias without heads; no scope
    assert found.layout(scale) == "out_in"
    expected = {
        query: (48, 48),
        out: (56, 48),
        value: (36, 48),
        wide: (48, 96),
        pool: (280, 48),
        other: (200, 48),
    }
    assert {name: found.select([name]) for name in expected} == {name: [name] for name in expected}
    for name, shape in expected.items():
        assert unfold(found.read(name), found.layout(name), "auto").shape == shape
    for name, matrix in (
        (query, arrays[query].reshape(48, 48).T),
        (out, arrays[out].reshape(48, 56).T),
    ):
        np.testing.assert_array_equal(unfold(found.read(name), found.layout(name)), matrix)
    assert found.skipped()[scanned] == "4 axes, no kernel: stacked attention"
    layers = taken_apart(arrays[scanned], found.blocks(scanned))
    np.testing.assert_array_equal(layers["2"], arrays[scanned][2])
