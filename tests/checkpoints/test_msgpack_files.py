"""Flax' msgpack read piece by piece gives what Flax itself restores."""

import jax
import ml_dtypes
import msgpack
import numpy as np
import pytest

from spectrax.checkpoints import CheckpointError, open_checkpoint
from spectrax.checkpoints.msgpack_files import value_at

serialization = pytest.importorskip("flax.serialization")

RNG = np.random.default_rng(0)
TREE = {
    "params": {
        "dense": {"kernel": RNG.normal(size=(40, 48)).astype(np.float32), "bias": np.ones(48)},
        "half": RNG.normal(size=(3, 5, 7)).astype(ml_dtypes.bfloat16),
        "µ": np.arange(6, dtype=np.int8).reshape(2, 3),
    },
    "list": [np.eye(3), {"deep": np.zeros((0, 4))}],
    "step": 70_000,
    "loss": -0.5,
    "scalar": np.float32(2),
    "complex": 1 + 2j,
    "name": "x" * 300,
    "long": np.zeros(70_000, np.uint8),
    "numbers": {3: np.full((), 7), 4: 1},
    "nothing": None,
    "flag": True,
}


def test_arrays_are_those_that_flax_restores(tmp_path):
    path = tmp_path / "a.msgpack"
    path.write_bytes(serialization.msgpack_serialize(TREE))
    whole = serialization.msgpack_restore(path.read_bytes())
    leaves = jax.tree_util.tree_leaves_with_path(whole)
    expected = {
        "/".join(str(getattr(step, "key", getattr(step, "idx", None))) for step in where): leaf
        for where, leaf in leaves
        if isinstance(leaf, np.ndarray)
    }
    found = open_checkpoint(path)
    assert set(found.shapes) == set(expected) and not found.broken and len(expected) == 8
    for name, array in expected.items():
        read = found.load(name)
        assert read.dtype == array.dtype and found.dtypes[name] == array.dtype.name
        assert found.shapes[name] == array.shape and found.sizes[name] == array.nbytes
        np.testing.assert_array_equal(read, array)


def test_arrays_in_chunks_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 1000)
    path = tmp_path / "a.msgpack"
    path.write_bytes(serialization.msgpack_serialize(TREE))
    found = open_checkpoint(path)
    assert {"params/dense/kernel", "params/dense/bias", "long"} <= set(found.shapes)
    assert not any("chunk" in name for name in found.shapes)
    kernel = TREE["params"]["dense"]["kernel"]
    assert found.shapes["params/dense/kernel"] == (40, 48)
    np.testing.assert_array_equal(found.read("params/dense/kernel"), kernel)
    assert found.sizes["params/dense/kernel"] == kernel.nbytes


def test_large_trees_are_opened_without_being_read(tmp_path):
    """Three gigabytes of zeros, which are a hole in the file."""
    path, size = tmp_path / "a.msgpack", 2**30
    with path.open("wb") as file:
        file.write(b"\x84")
        for name in ("a", "b", "c"):
            head = msgpack.packb((2**14, 2**16)) + msgpack.packb("int8")
            inside = b"\x93" + head + b"\xc6" + size.to_bytes(4, "big")
            file.write(msgpack.packb(name) + b"\xc9" + (len(inside) + size).to_bytes(4, "big"))
            file.write(b"\x01" + inside)
            file.seek(size, 1)
        file.write(msgpack.packb({"d": serialization.msgpack_restore.__name__})[1:])
    found = open_checkpoint(path)
    assert dict.fromkeys("abc", (2**14, 2**16)) == found.shapes and not found.broken


@pytest.mark.parametrize(
    "value",
    [0, 127, 128, 2**16, 2**40, -1, -32, -33, -(2**20), 1.5, None, True, "", "x" * 40]
    + ["x" * 300, b"", b"x" * 70_000, [], [1] * 20, [1] * 70_000, {}, {i: 1 for i in range(20)}]
    + [msgpack.ExtType(5, b"x" * n) for n in (1, 2, 4, 8, 16, 3, 300, 70_000)],
)
def test_values_end_where_the_library_says(value):
    data = msgpack.packb(value)
    found = value_at(data + b"\xc1", 0)
    if isinstance(value, list | dict):
        assert found.size == len(value) and found.kind == {list: "list", dict: "map"}[type(value)]
        assert found.start == len(data) - sum(map(len, map(msgpack.packb, items(value))))
    else:
        assert found.start + found.size == len(data)


def items(value):
    return value if isinstance(value, list) else [x for pair in value.items() for x in pair]


@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [
        ((4, 4), "float32", 60),
        ((4, 4), "object", 128),
        ((4, 4), "i4,i4", 128),
        ((-4, 4), "int8", 16),
    ]
    + [((4,) * 65, "int8", 4**65), ((2**40, 2**40), "int8", 16), ((4, 4), "none4", 64)],
)
def test_arrays_that_are_not_as_they_say_are_found_before_they_are_read(
    tmp_path, shape, dtype, size
):
    path, body = tmp_path / "a.msgpack", bytes(min(size, 200))
    wrong = msgpack.ExtType(1, msgpack.packb((shape, dtype, body)))
    path.write_bytes(serialization_with(wrong))
    found = open_checkpoint(path)
    assert list(found.shapes) == ["right"] and list(found.broken) == ["wrong"]
    assert "is not as Flax writes arrays" in found.broken["wrong"]


def serialization_with(wrong) -> bytes:
    """A tree with a sound array and another one."""
    right = serialization.msgpack_serialize({"right": np.eye(3)})
    return b"\x82" + right[1:] + msgpack.packb("wrong") + msgpack.packb(wrong)


def test_trees_have_a_depth(tmp_path):
    path = tmp_path / "a.msgpack"
    for depth in (100, 101):
        data = serialization.msgpack_serialize({"k": np.eye(3)})
        path.write_bytes(b"\x81\xa1k" * (depth - 1) + data)
        if depth == 100:
            assert list(open_checkpoint(path).shapes) == ["/".join("k" * 100)]
        else:
            with pytest.raises(CheckpointError, match="nested more than 100 deep"):
                open_checkpoint(path)


def test_values_are_counted_before_they_are_built(tmp_path, monkeypatch):
    path = tmp_path / "a.msgpack"
    path.write_bytes(serialization.msgpack_serialize({"k": np.eye(3), "l": [None] * 95}))
    monkeypatch.setattr("spectrax.checkpoints.msgpack_files.NODES", 100)  # two keys, a map, a list
    assert list(open_checkpoint(path).shapes) == ["k"]
    monkeypatch.setattr("spectrax.checkpoints.msgpack_files.NODES", 99)
    with pytest.raises(CheckpointError, match="has more than 99 values"):
        open_checkpoint(path)
