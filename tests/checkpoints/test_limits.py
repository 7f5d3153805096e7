"""Bounds lie above what networks have, and are checked on bytes alone."""

import importlib.util
import json
import struct
import zipfile

import numpy as np
import pytest

from spectrax.checkpoints import CheckpointError, open_checkpoint
from spectrax.checkpoints.limits import NAME, NODES, Directory, parsed
from spectrax.checkpoints.protobuf import MESSAGES, fields
from spectrax.checkpoints.pytorch import _bounded, _loaded
from spectrax.checkpoints.quantised import companions


def write(path, header: dict, size: int):
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)
    return path


def test_a_checkpoint_of_gigabytes_is_opened_lazily(tmp_path):
    """300 matrices of 16 MB, as of a model of a billion weights; a hole in the file."""
    one = 4 * 2048**2
    header = {
        f"layers.{i}.weight": {
            "dtype": "F32",
            "shape": [2048, 2048],
            "data_offsets": [i * one, (i + 1) * one],
        }
        for i in range(300)
    }
    found = open_checkpoint(write(tmp_path / "a.safetensors", header, 300 * one))
    assert len(found.select()) == 300 and found.stored > 5e9
    assert not found.read("layers.299.weight").any()


def test_forty_thousand_arrays_are_no_attack(tmp_path):
    """More than any shard of the largest mixtures of experts has; codes and scales among them."""
    header, at = {}, 0
    for i in range(20_000):
        for name, dtype, count in ((f"e.{i}.w", "I8", 4), (f"e.{i}.w_scale", "F32", 1)):
            size = count * {"I8": 1, "F32": 4}[dtype]
            header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [at, at + size]}
            at += size
    found = open_checkpoint(write(tmp_path / "a.safetensors", header, at))
    assert len(found.shapes) == 40_000
    assert found.scale("e.7.w") == ("e.7.w_scale", None, 0)
    assert companions("e.7.w", found.shapes) == ("e.7.w_scale", None)


def test_arrays_are_not_many_times_what_is_stored(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, w=np.zeros((600, 600)))
    found = open_checkpoint(path)
    assert found.read("w").shape == (600, 600)
    monkeypatch.setattr("spectrax.checkpoints.base.SPARE", 0)
    with pytest.raises(CheckpointError, match="claims 0.00288 GB, out of"):
        found.read("w")


@pytest.mark.parametrize("length", [NAME, NAME + 1])
def test_names_are_names(tmp_path, length):
    path, name = tmp_path / "a.npz", "n" * length
    np.savez(path, **{name: np.ones((40, 40))})
    if length == NAME:
        assert open_checkpoint(path).select() == [name]
    else:
        with pytest.raises(CheckpointError, match=f"a name of {length} characters"):
            open_checkpoint(path)


def test_values_of_a_description_are_counted(tmp_path):
    assert parsed(b"[" + b"1," * (NODES - 2) + b"1]", tmp_path) == [1] * (NODES - 1)
    with pytest.raises(CheckpointError, match="values in its description"):
        parsed(b"[" + b"1," * NODES + b"1]", tmp_path)


def test_descriptions_are_bounded_before_they_are_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.safetensors", {}, 0)
    for other in (path, tmp_path / "model.safetensors.index.json"):
        other.write_bytes(struct.pack("<Q", 10**9) + b"{}" * 10)
        with pytest.raises(CheckpointError, match="claims a header of|Cannot read"):
            open_checkpoint(other)
    monkeypatch.setattr("spectrax.checkpoints.limits.TEXT", 27)
    with pytest.raises(CheckpointError, match="has more than 27 bytes of JSON"):
        open_checkpoint(other)
    monkeypatch.setattr("spectrax.checkpoints.files.TEXT", 100)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 101))
        file.truncate(2**32)
    with pytest.raises(CheckpointError, match="claims a header of 101 bytes"):
        open_checkpoint(path)


def test_an_index_names_no_more_files_than_there_are(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {str(i): f"{i}.safetensors" for i in range(5)}}))
    monkeypatch.setattr("spectrax.checkpoints.folders.SHARDS", 5)
    assert len(open_checkpoint(path).broken) == 5
    monkeypatch.setattr("spectrax.checkpoints.folders.SHARDS", 4)
    with pytest.raises(CheckpointError, match="claims more than 4 files"):
        open_checkpoint(path)


def test_directories_are_weighed_before_they_become_objects(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", a=np.ones(3), b=np.ones(3))
    monkeypatch.setattr("spectrax.checkpoints.files.MEMBERS", 1)
    monkeypatch.setattr("zipfile.ZipInfo", None)  # which would be called for each member
    with pytest.raises(CheckpointError, match="claims more than 1 arrays"):
        open_checkpoint(tmp_path / "a.npz")


def test_a_directory_is_not_read_beyond_what_its_members_take(tmp_path):
    (tmp_path / "a").write_bytes(bytes(5000))
    for size in (2000, 2001, None):
        file = Directory(tmp_path / "a", 2)
        if size == 2001:
            with pytest.raises(CheckpointError, match="claims more than 2 arrays"):
                file.read(size)
            assert file.tell() == 0
            file.opened()
        assert len(file.read(size)) == (size or 5000)


def test_stacks_of_a_hundred_thousand_stay_whole(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, few=np.zeros((99, 3, 70), np.int8), many=np.zeros((100_001, 1, 70), np.int8))
    found = open_checkpoint(path)
    assert len(found.blocks("few").names) == 99
    assert found.blocks("many") == "a stack of 100001 matrices"


def message(*parts: tuple[int, bytes]) -> bytes:
    """A protobuf message of short fields."""
    return b"".join(bytes([number << 3 | 2, len(data)]) + data for number, data in parts)


def test_fields_are_counted_in_all_graphs():
    node = message((1, b"x"), (2, b"y"), (5, message((6, message((1, b""), (1, b""))))))
    model = b"\x08\x08" + message((7, message((1, node), (5, b"\x08\x03"), (2, b"\xff" * 9))))
    # version, graph; node, tensor, name; x, y, attribute; graph in it, two nodes; dims
    assert len(list(fields(model))) == 2 + 3 + 3 + 1 + 2 + 1


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the eighth."""
    found = []
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


# Numbers of the fields on the way to messages of ONNX: all kinds, in all places that hold them.
MODEL = [(7,), (8,), (14,), (20, 1, 1), (20, 2, 1), (20, 3), (20, 4), (26,)]
FUNCTION = [(25, 7, 5), (25, 9), (25, 11, 5), (25, 12, 2), (25, 14)]
GRAPH = [(7, 5, 3), (7, 5, 13), (7, 5, 16), (7, 11, 2, 1, 2, 1), (7, 12, 2, 4, 1, 1), (7, 13, 4)]
GRAPH += [(7, 13, 2, 5, 2, 8, 2, 1), (7, 12, 2, 7), (7, 11, 2, 9, 1, 1), (7, 14, 2), (7, 16)]
GRAPH += [(7, 15, 1, 13), (7, 15, 2, 16)]
NODE = [(7, 1, 9), (7, 1, 10, 2, 3), (7, 1, 10, 2, 4, 2)]
NODE += [(7, 1, 5, *rest) for rest in ((5, 13), (10, 13), (6, 1, 5), (11, 1, 5))]
NODE += [(7, 1, 5, *rest) for rest in ((14, 1), (15, 1), (22, 1), (23, 2))]


@pytest.mark.parametrize("path", [*MODEL, *FUNCTION, *GRAPH, *NODE], ids=str)
def test_fields_are_counted_in_every_message(path):
    """Five texts of a number that no message has."""
    data = 5 * (varint(60 << 3 | 2) + b"\0")
    for number in reversed(path):
        data = varint(number << 3 | 2) + varint(len(data)) + data
    assert len(list(fields(data))) == len(path) + 5


@pytest.mark.skipif(not importlib.util.find_spec("onnx"), reason="needs onnx")
def test_messages_are_those_of_the_library():
    """Every field of the installed version that holds a message is gone into."""
    from onnx import ModelProto

    seen, todo = set(), [(ModelProto.DESCRIPTOR, "model")]
    while todo:
        kind, name = pair = todo.pop()
        if (kind.full_name, name) not in seen:
            seen.add((kind.full_name, name))
            inside = {x.number: x.message_type for x in kind.fields if x.message_type is not None}
            assert inside.keys() <= MESSAGES[name].keys(), pair
            todo += [(found, MESSAGES[name][number]) for number, found in inside.items()]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 255, 256, 16_383, 16_384, 2**21])
def test_a_field_ends_where_its_length_says(size):
    """Also a number of as much; and those of four and of eight bytes."""
    text = b"\x12" + varint(size) + bytes(size)
    others = b"\x08" + varint(size), b"\x11" + bytes(8), b"\x15" + bytes(4)
    starts = np.cumsum([0, len(text), *map(len, others)])
    assert list(fields(b"".join([text, *others]) + b"\x08\x08")) == starts.tolist()
    for part in others[1:]:
        with pytest.raises(ValueError, match="cut short"):
            list(fields(text + part[:-1]))


@pytest.mark.parametrize("data", [b"\x00", b"\x3a", b"\x3a\x05ab", b"\x3b", b"\xff" * 20])
def test_what_is_no_message_is_said_so(data):
    with pytest.raises(ValueError, match="no model|no field"):
        list(fields(data))


def test_an_index_does_not_lead_to_an_index(tmp_path):
    name = "model.safetensors.index.json"
    (tmp_path / name).write_text(json.dumps({"weight_map": {"a": name, "b": "none.safetensors"}}))
    found = open_checkpoint(tmp_path / name)
    assert not found.shapes and all("There is no shard" in x for x in found.broken.values())


def test_a_configuration_is_not_waited_for(tmp_path):
    """A pipe would be, for ever."""
    import os

    np.savez(tmp_path / "a.npz", w=np.ones((40, 40)))
    os.mkfifo(tmp_path / "config.json")
    assert open_checkpoint(tmp_path / "a.npz").heads is None


def test_a_file_without_arrays_is_said_so(tmp_path):
    np.savez(tmp_path / "a.npz")
    (tmp_path / "b.msgpack").write_bytes(b"\x80")
    for name in ("a.npz", "b.msgpack"):
        with pytest.raises(CheckpointError, match=f"There are no arrays in .*{name}"):
            open_checkpoint(tmp_path / name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_pytorch_are_not_compressed(tmp_path, method):
    """Whether PyTorch is there or not."""
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a/data.pkl", bytes(1000))
    if method == zipfile.ZIP_STORED:
        _bounded(path)
    else:
        with pytest.raises(ValueError, match="'a/data.pkl' is compressed"):
            _bounded(path)


def test_archives_of_pytorch_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", bytes(1000))
        archive.writestr("a/data/0", bytes(5000))
    for name, enough in (("TEXT", 1000), ("TENSORS", 2)):
        monkeypatch.setattr(f"spectrax.checkpoints.pytorch.{name}", enough)
        _bounded(path)
        monkeypatch.setattr(f"spectrax.checkpoints.pytorch.{name}", enough - 1)
        with pytest.raises(ValueError, match="claims"):
            _bounded(path)
        monkeypatch.undo()


def test_tensors_of_pytorch_go_to_the_host_and_nothing_is_unpickled(tmp_path):
    """Files of a GPU are read without one, the mapped and the old ones that cannot be mapped."""
    calls = []

    class Torch:
        @staticmethod
        def load(path, **options):
            calls.append(options)
            if "mmap" in options:
                raise RuntimeError("mmap can only be used with files saved by 1.6 or later")
            return {}

    assert _loaded(Torch, tmp_path / "a.pt") == {}
    safe = {"map_location": "cpu", "weights_only": True}
    assert calls == [safe | {"mmap": True}, safe]
