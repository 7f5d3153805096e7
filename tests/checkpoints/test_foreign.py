"""Files of Hugging Face, PyTorch and ONNX."""

import importlib.util
import json
import os
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy
from checkpoints.test_files import Trap, sentence

from spectrax.checkpoints import find_snapshots, open_checkpoint
from spectrax.checkpoints.fused import recurrent, taken_apart
from spectrax.checkpoints.onnx_files import _layout

RNG = np.random.default_rng(0)
ARRAYS = {f"layer.{i}.weight": RNG.normal(size=(40, 48)).astype(np.float32) for i in range(3)}
needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs PyTorch")
needs_onnx = pytest.mark.skipif(not importlib.util.find_spec("onnx"), reason="needs onnx")


def shards(folder, places):
    """A sharded checkpoint: array i in the file that `places` says."""
    folder.mkdir(exist_ok=True)
    table = dict(zip(ARRAYS, places, strict=True))
    for file in set(places):
        inside = {name: ARRAYS[name] for name in ARRAYS if table[name] == file}
        safetensors.numpy.save_file(inside, folder / file)
    index = {"metadata": {}, "weight_map": table}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_folders_stand_for_their_weights(tmp_path):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "checkpoint-500").mkdir()  # a folder with a number is no snapshot here
    assert find_snapshots([tmp_path]) == [tmp_path]
    found = open_checkpoint(tmp_path)
    assert found.select() == list(ARRAYS) and found.dtypes["layer.0.weight"] == "float32"
    np.testing.assert_array_equal(found.read("layer.1.weight"), ARRAYS["layer.1.weight"])


def test_which_file_stands_for_a_folder(tmp_path):
    folder = shards(tmp_path, ["one.safetensors", "two.safetensors", "one.safetensors"])
    safetensors.numpy.save_file(
        {"alone.weight": ARRAYS["layer.0.weight"]}, folder / "model.safetensors"
    )
    assert open_checkpoint(folder).select() == list(ARRAYS)  # all shards, not what lies beside them
    (folder / "model.safetensors.index.json").unlink()
    assert open_checkpoint(folder).select() == ["alone.weight"]
    (folder / "model.safetensors").unlink()
    assert "is no Orbax checkpoint" in sentence(folder)  # one of two shards is not the weights
    (folder / "two.safetensors").unlink()
    assert open_checkpoint(folder).select() == ["layer.0.weight", "layer.2.weight"]


def test_shards_are_one_checkpoint(tmp_path):
    folder = shards(tmp_path / "a", ["one.safetensors", "two.safetensors", "one.safetensors"])
    for path in (folder, folder / "model.safetensors.index.json"):
        found = open_checkpoint(path)
        assert found.select() == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found.read(name), array)


def test_missing_shards_cost_their_arrays_only(tmp_path):
    folder = shards(tmp_path / "a", ["one.safetensors", "two.safetensors", "one.safetensors"])
    (folder / "two.safetensors").unlink()
    found = open_checkpoint(folder)
    assert found.select() == ["layer.0.weight", "layer.2.weight"]
    assert "two.safetensors" in found.broken["layer.1.weight"]
    assert "layer.1.weight" in found.skipped()
    (folder / "one.safetensors").rename(folder / "two.safetensors")
    assert "where the index has it" in open_checkpoint(folder).broken["layer.1.weight"]


@pytest.mark.parametrize("file", ["../up.safetensors", "/etc/passwd", "a/b.safetensors", ".."])
def test_indexes_do_not_lead_out_of_their_folder(tmp_path, file):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": file}}))
    assert "leads out of its folder" in sentence(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}'])
def test_broken_indexes_are_one_sentence(tmp_path, text):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    sentence(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_without_pytorch_the_sentence_has_the_conversion(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    monkeypatch.setitem(sys.modules, "torch", None)
    text = sentence(path)
    assert "needs PyTorch" in text and "weights_only=True), 'a.safetensors')" in text
    assert not (tmp_path / "sprung").exists()


def test_without_onnx_the_sentence_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "spectrax-dmft[onnx]" in sentence(tmp_path / "a.onnx")


@needs_torch
@pytest.mark.parametrize("old", [False, True])
def test_tensors_of_pytorch_come_back_as_they_were(tmp_path, old):
    import torch

    weights = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    weights["half.weight"] = weights["layer.0.weight"].to(torch.bfloat16)
    tree = {"model": weights, "step": 3, "optimizer": {"state": [weights["layer.1.weight"] * 2]}}
    torch.save(tree, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    found = open_checkpoint(tmp_path / "a.pt")
    assert found.select() == [f"model/{name}" for name in weights]
    assert found.skipped() == {"optimizer/state/0": "state of the optimiser"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.read(f"model/{name}"), array)
    half = found.read("model/half.weight")
    assert half.dtype.name == "bfloat16"
    np.testing.assert_array_equal(half, ARRAYS["layer.0.weight"].astype(half.dtype))


@needs_torch
def test_pytorch_files_with_more_than_tensors_are_not_unpickled(tmp_path):
    import torch

    torch.save({"weight": torch.ones(40, 40), "trap": Trap(tmp_path / "sprung")}, tmp_path / "a.pt")
    assert "state_dict" in sentence(tmp_path / "a.pt")
    torch.save({"step": 3}, tmp_path / "b.pt")
    assert "no tensors" in sentence(tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(b"not a file of PyTorch")
    sentence(tmp_path / "c.pt")
    assert not (tmp_path / "sprung").exists()


def graph(path, external=False):
    """MatMul (in, out), transposed Gemm (out, in), a kernel, codes with scales, a subgraph."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    arrays = {
        "onnx::MatMul_7": rng.normal(size=(40, 48)),
        "gemm.weight": rng.normal(size=(56, 48)),
        "conv.weight": rng.normal(size=(40, 40, 3)),
        "left.weight": rng.normal(size=(36, 40)),
        "inner.weight": rng.normal(size=(40, 44)),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    codes = rng.integers(-127, 127, (40, 56)).astype(np.int8)
    scale = rng.random(56).astype(np.float32)
    extra = {"codes": codes, "codes_s": scale, "codes_z": np.full(56, 3, np.int8)}
    extra |= {"plain": codes, "plain_s": scale}  # whose axis is the second where nothing is said
    tensors = {k: numpy_helper.from_array(x, k) for k, x in (arrays | extra).items()}
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["y", "inner.weight"], ["z"], name="inner")],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [tensors.pop("inner.weight")],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["a"], name="/block/dense/MatMul"),
        helper.make_node("Gemm", ["a", "gemm.weight"], ["b"], transB=1),
        helper.make_node("Conv", ["b", "conv.weight"], ["c"]),
        helper.make_node("DequantizeLinear", ["codes", "codes_s", "codes_z"], ["d"], axis=1),
        helper.make_node("MatMul", ["c", "d"], ["y"]),
        helper.make_node("DequantizeLinear", ["plain", "plain_s"], ["p"]),
        helper.make_node("MatMul", ["left.weight", "p"], ["w"]),
        helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner),
    ]
    made = helper.make_graph(nodes, "g", [], [], list(tensors.values()))
    options = {"save_as_external_data": True, "location": "data.bin", "size_threshold": 0}
    onnx.save(helper.make_model(made), path, **(options if external else {}))
    return arrays, (codes.astype(np.float32) - 3) * scale


@needs_onnx
@pytest.mark.parametrize("external", [False, True])
def test_initialisers_have_names_layouts_and_scales_from_their_nodes(tmp_path, external):
    arrays, product = graph(tmp_path / "a.onnx", external)
    found = open_checkpoint(tmp_path / "a.onnx")
    dense = "block/dense/MatMul:onnx::MatMul_7"
    expected = {dense: "in_out", "gemm.weight": "out_in", "conv.weight": "out_in"}
    expected |= {"left.weight": "out_in", "codes": "in_out", "plain": "in_out"}
    expected |= {"inner.weight": "in_out"}
    assert {name: found.layout(name) for name in found.select()} == expected
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.read(dense if "::" in name else name), array)
    np.testing.assert_allclose(found.read("codes"), product, rtol=1e-6)
    means = np.abs(found.read("plain")).mean(0), np.abs(product).mean(0)
    np.testing.assert_allclose(*means, rtol=0.15)


@pytest.mark.parametrize(
    ("kind", "place", "options", "layout"),
    [
        ("MatMul", 0, {}, "out_in"),  # W x
        ("MatMul", 1, {}, "in_out"),  # x W
        ("QLinearMatMul", 0, {}, "out_in"),
        ("QLinearMatMul", 3, {}, "in_out"),  # behind a scale and a zero point
        ("Gemm", 0, {"transB": 1}, "out_in"),
        ("Gemm", 0, {"transA": 1}, "in_out"),
        ("Gemm", 1, {}, "in_out"),
        ("Gemm", 1, {"transA": 1}, "in_out"),
        ("Gemm", 1, {"transA": 1, "transB": 0}, "in_out"),
        ("Gemm", 1, {"alpha": 1, "transB": 1}, "out_in"),
        ("Conv", 1, {}, "out_in"),
    ],
)
def test_axes_are_ordered_as_the_node_takes_them(kind, place, options, layout):
    attributes = [SimpleNamespace(name=name, i=value) for name, value in options.items()]
    assert _layout(SimpleNamespace(op_type=kind, attribute=attributes), place) == layout


@needs_onnx
def test_constants_are_weights_as_well(tmp_path):
    import onnx
    from onnx import helper, numpy_helper

    array = ARRAYS["layer.0.weight"]
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(array, "other")),
        helper.make_node("Constant", [], ["a"], value_float=2.0),
        helper.make_node("Mul", ["x", "a"], ["y"]),
        helper.make_node("MatMul", ["y", "k"], ["z"]),
    ]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [])), tmp_path / "a.onnx")
    found = open_checkpoint(tmp_path / "a.onnx")
    assert found.select() == ["k"] and found.layout("k") == "in_out"
    np.testing.assert_array_equal(found.read("k"), array)


def test_shapes_that_no_recurrent_layer_has_are_left_alone():
    for shape in ((3, 160, 40), (1, 158, 40), (160, 40)):
        assert recurrent(shape, "iofc") is None
    assert recurrent((2, 160, 48), "iofc").block == (40, 48)


@needs_onnx
@pytest.mark.parametrize("place", ["../up.bin", "pipe.bin", "none.bin", ""])
def test_data_of_a_tensor_lie_in_a_file_beside_it(tmp_path, place):
    from onnx import TensorProto, helper

    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "up.bin").write_bytes(bytes(6400))
    os.mkfifo(folder / "pipe.bin")
    tensor = TensorProto(name="w", dims=(40, 40), data_type=1, data_location=1)
    tensor.external_data.add(key="location", value=place)
    graph = helper.make_graph([], "g", [], [], [tensor])
    (folder / "a.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert "must lie in a file of the same folder" in sentence(folder / "a.onnx", "w")


@needs_onnx
def test_broken_onnx_files_are_one_sentence(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"\xff" * 100)
    sentence(tmp_path / "a.onnx")


@needs_onnx
@pytest.mark.parametrize(("kind", "gates"), [("LSTM", "iofc"), ("GRU", "zrh"), ("RNN", "h")])
@pytest.mark.parametrize("ways", [1, 2])
def test_recurrent_nodes_have_gates_in_their_own_order(tmp_path, kind, gates, ways):
    import onnx
    from onnx import helper, numpy_helper

    size, inputs = 40, 48
    pieces = {(d, g): RNG.normal(size=(size, inputs)) for d in range(ways) for g in gates}
    W = np.stack([np.concatenate([pieces[d, g] for g in gates]) for d in range(ways)])
    R = np.stack([np.concatenate([pieces[d, g][:, :size] for g in gates]) for d in range(ways)])
    arrays = {"W": W, "R": R, "B": np.zeros((ways, 2 * size * len(gates)))}
    node = helper.make_node(kind, ["x", *arrays], ["y"], hidden_size=size)
    tensors = [numpy_helper.from_array(x.astype(np.float32), name) for name, x in arrays.items()]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", [], [], tensors)), tmp_path / "a.onnx"
    )
    found = open_checkpoint(tmp_path / "a.onnx")
    assert found.select() == []
    assert found.skipped()["W"] == found.skipped()["R"]
    assert "gates of a recurrent layer" in found.skipped()["W"]
    prefixes = ("",) if ways == 1 else ("forward ", "reverse ")
    for name, width in (("W", inputs), ("R", size)):
        parts = taken_apart(found.read(name), found.blocks(name))
        assert list(parts) == [prefix + gate for prefix in prefixes for gate in gates]
        for (d, gate), piece in pieces.items():
            expected = piece[:, :width].astype(np.float32)
            np.testing.assert_array_equal(parts[prefixes[d] + gate], expected)
