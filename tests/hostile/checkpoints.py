"""Hostile checkpoints, by format."""

import json
import os
import pickle
import struct
import zipfile
import zlib

import msgpack
import numpy as np
from hostile.corpus import (
    VALID,
    Trap,
    archive,
    content,
    field,
    flax,
    initializer,
    kind,
    npy,
    onnx,
    tensor,
    tensors,
    varint,
    zarr,
)

DEFLATED = zipfile.ZIP_DEFLATED


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """A zip file with other bytes in the first entry that begins with a signature."""
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


def claiming(size: int) -> bytes:
    """A compressed member that claims to be of this size."""
    return patched(archive({"w.npy": npy()}, DEFLATED), b"PK\1\2", 24, struct.pack("<I", size))


def entries(count: int, name: bytes = b"") -> bytes:
    """A zip file whose directory has so many entries, all of one member."""
    one = archive({"w.npy": npy()})
    start = one.index(b"PK\1\2")
    entry = one[start : one.index(b"PK\5\6")]
    entry = entry[:28] + struct.pack("<H", 5 + len(name)) + entry[30:46] + name + entry[46:]
    directory = entry * count
    number = min(count, 65535)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, number, number, len(directory), start, 0)
    return one[:start] + directory + end


def header_of(length: int, body: bytes = b"") -> bytes:
    """A NumPy array of format 2 whose header claims a length."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", length) + body


def written(head: str) -> bytes:
    """A NumPy array with this text as its header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(64)


ZIPS = ("npz", "data")
content("member_claims_gigabyte", *ZIPS)(lambda: claiming(2**30))
content("member_claims_four", *ZIPS)(lambda: claiming(2**32 - 2))
content("header_of_four_gigabytes", *ZIPS, cost="slow")(
    lambda: archive({"w.npy": header_of(2**32 - 1, bytes(400_000_000))}, DEFLATED)
)
content("inflates_300_times", *ZIPS, cost="slow", harmless=True)(
    lambda: archive({"w.npy": npy((75_000_000,), body=bytes(300_000_000))}, DEFLATED)
)
content("inflates_matrix", *ZIPS, cost="slow")(
    lambda: archive({"w.npy": npy((7500, 10_000), body=bytes(300_000_000))}, DEFLATED)
)
content("packed_with_lzma", *ZIPS)(lambda: archive({"w.npy": npy()}, zipfile.ZIP_LZMA))
content("packed_with_bzip", "npz")(lambda: archive({"w.npy": npy()}, zipfile.ZIP_BZIP2))
content("encrypted", "npz")(lambda: patched(VALID["npz"](), b"PK\1\2", 8, struct.pack("<H", 1)))
content("nested_header", "npz")(lambda: archive({"w.npy": written("(" * 9000)}))
content("negated_header", "npz")(lambda: archive({"w.npy": written("-" * 9000 + "1")}))
content("code_in_header", "npz")(lambda: archive({"w.npy": npy("__import__('os').abort()")}))
content("negative_shape", "npz")(lambda: archive({"w.npy": npy((-3, 40))}))
content("shape_overflows", "npz")(lambda: archive({"w.npy": npy((2**40, 2**40))}))
content("shape_without_end", "npz", harmless=True)(lambda: archive({"w.npy": npy((1,) * 99)}))
content("shape_too_large", "npz")(lambda: archive({"w.npy": npy((4000, 4000))}))
content("structures", "npz")(lambda: archive({"w.npy": npy((40, 40), "i4,i4", bytes(12800))}))
content("text_as_weights", "npz")(lambda: archive({"w.npy": npy((40, 40), "<U1", bytes(6400))}))
content("many_members", *ZIPS)(lambda: entries(30_000))
content("very_many_members", *ZIPS, cost="slow")(lambda: entries(1_000_000))
content("long_names", "npz")(lambda: entries(400, b"a" * 60_000))
content("one_long_name", *ZIPS)(lambda: archive({"a" * 60_000 + ".npy": npy()}))
content("directory_claims_more", *ZIPS)(
    lambda: patched(VALID["npz"](), b"PK\5\6", 12, struct.pack("<I", 2**32 - 2))
)
content("torch_deflated", "pt")(lambda: archive({"a/data.pkl": bytes(10**7)}, DEFLATED))
content("torch_many", "pt")(lambda: entries(100_001))


@kind(*ZIPS)
def objects(path, reader):
    content = pickle.dumps(np.full((40, 40), Trap(path.parent / "sprung")))
    path.write_bytes(archive({f"{x}.npy": npy((40, 40), "|O", content) for x in ("w", "inputs")}))


# --- safetensors


def entries_of(count: int) -> bytes:
    """A header with so many empty arrays."""
    empty = json.dumps(tensor((0,), offsets=(0, 0)))
    return tensors("{{{}}}".format(",".join(f'"{i}":{empty}' for i in range(count))).encode(), b"")


SAFE = "safetensors"
content("tensors_100_003", SAFE)(lambda: entries_of(100_003))
content("tensors_400_000", SAFE, cost="slow")(lambda: entries_of(400_000))
content("tensors_90_000", SAFE, cost="slow", harmless=True)(lambda: entries_of(90_000))
content("header_of_everything", SAFE)(struct.pack("<Q", 2**63) + b"{}")
content("header_of_small_values", SAFE, cost="slow")(
    lambda: tensors(b"[" + b"[]," * 9_000_000 + b"[]]")
)
content("header_is_deep", SAFE)(lambda: tensors(b'{"a":' * 90_000))
content("offsets_beyond", SAFE)(lambda: tensors({"w": tensor(offsets=(0, 2**40))}))
content("offsets_overlap", SAFE)(lambda: tensors({x: tensor() for x in "ab"}))
content("offsets_backwards", SAFE)(lambda: tensors({"w": tensor(offsets=(7680, 0))}))
content("sizes_overflow", SAFE)(lambda: tensors({"w": tensor((2**40, 2**40))}))
content("unknown_type", SAFE)(lambda: tensors({"w": tensor(dtype="Q7")}))
content("stack_of_nothing", SAFE, harmless=True)(
    lambda: tensors({"w": tensor((2**40, 0, 100), offsets=(0, 0))}, b"")
)
content("endless_name", SAFE)(lambda: tensors({"attn" * 300_000 + "/kernel": tensor()}))
content("many_remarks", SAFE, harmless=True)(
    lambda: tensors({"__metadata__": {str(i): "" for i in range(200_000)}, "w": tensor()})
)
content("codes_without_scales", SAFE, cost="slow", harmless=True)(
    lambda: tensors(
        {f"l{i}": tensor((1, 1), "I8", (i, i + 1)) for i in range(60_000)}, bytes(60_000)
    )
)


@kind(SAFE, cost="slow")
def header_in_a_hole(path, reader):
    path.write_bytes(struct.pack("<Q", 60_000_000))
    with path.open("r+b") as file:
        file.truncate(2**32)


# --- Flax

FLAX = "msgpack"
content("small_lists", FLAX, cost="slow")(
    lambda: msgpack.packb([[[] for _ in range(20)]] * 150_000)
)
content("small_lists_50_mb", FLAX, cost="nightly")(
    lambda: msgpack.packb([[[] for _ in range(20)]] * 2_400_000)
)
content("small_maps", FLAX, cost="slow")(
    lambda: b"\xdf" + struct.pack(">I", 2**21) + b"\x01\x80" * 2**21
)
content("small_values", FLAX, cost="slow")(
    lambda: msgpack.packb({"k": flax(), "l": [True] * 10**7})
)
content("many_bools", FLAX, cost="slow")(lambda: msgpack.packb({"l": [True] * 1_000_001}))
content("deep_tree", FLAX)(b"\x81\xa1a" * 1000 + b"\xc0")
content("very_deep_lists", FLAX)(b"\x91" * 1_000_000 + b"\xc0")
content("claims_items", FLAX)(b"\xdf" + b"\xff" * 4)
content("claims_list", FLAX)(b"\xdd" + b"\xff" * 4 + bytes(999))
content("claims_bytes", FLAX)(b"\x81\xa1k\xc9" + b"\xff" * 4 + b"\x01")
content("array_of_objects", FLAX)(
    lambda: msgpack.packb({"k": flax((40, 40), "object", bytes(12800))})
)
content("array_of_less", FLAX)(lambda: msgpack.packb({"k": flax((4000, 4000))}))
content("array_overflows", FLAX)(lambda: msgpack.packb({"k": flax((2**40, 2**40))}))
content("name_of_a_megabyte", FLAX)(lambda: msgpack.packb({"k" * 10**6: flax()}))
content("name_is_a_list", FLAX)(b"\x81\x90\xc0")
content("chunks_without_shape", FLAX)(
    lambda: msgpack.packb({"k": {"__msgpack_chunked_array__": True, "chunks": {"0": flax()}}})
)
content("chunks_of_less", FLAX)(
    lambda: msgpack.packb(
        {"__msgpack_chunked_array__": True, "shape": {"0": 2**40}, "chunks": {"0": flax()}}
    )
)

# --- ONNX

ONNX = "onnx"
content("many_nodes", ONNX, cost="slow")(lambda: onnx(field(1, b"") * 5_000_000))
content("many_nodes_below_the_bound", ONNX, cost="slow", harmless=True)(
    lambda: onnx(field(1, b"") * 900_000)
)
content("graphs_in_graphs", ONNX)(
    lambda: nested(lambda x: field(1, field(5, field(6, x))), 300, b"")
)
content("dims_claim_more", ONNX)(lambda: onnx(initializer((2**20, 2**20))))
content("dims_are_negative", ONNX)(lambda: onnx(initializer((2**64 - 40, 48))))
content("length_beyond", ONNX)(field(1, 8) + varint(7 << 3 | 2) + varint(2**40))
content("constant_of_nothing", ONNX)(lambda: onnx(field(1, field(4, b"Constant")), initializer()))


def nested(around, times: int, inside: bytes) -> bytes:
    """Bytes within bytes, in a model."""
    for _ in range(times):
        inside = around(inside)
    return onnx(inside)


def located(location: str) -> bytes:
    """A weight whose data lie in another file."""
    entry = field(13, field(1, b"location") + field(2, location.encode()))
    return onnx(initializer(body=b"", rest=entry + field(14, 1)))


@kind(ONNX)
def data_in_a_pipe(path, reader):
    os.mkfifo(path.parent / "data.bin")
    path.write_bytes(located("data.bin"))


@kind(ONNX)
def data_elsewhere(path, reader):
    (path.parent.parent / "up.bin").write_bytes(bytes(7680))
    path.write_bytes(located("../up.bin"))


@kind(ONNX)
def data_of_a_device(path, reader):
    (path.parent / "data.bin").symlink_to("/dev/zero")
    path.write_bytes(located("data.bin"))


# --- folders


def pointing(places: dict) -> bytes:
    """An index of shards."""
    return json.dumps({"weight_map": places}).encode()


INDEX = "index"
content("many_shards", INDEX, cost="slow")(
    lambda: pointing({str(i): f"{i}.safetensors" for i in range(20_000)})
)
content("few_shards_many_names", INDEX, cost="slow", harmless=True)(
    lambda: pointing(
        {str(i): "part.safetensors" for i in range(100_000)} | {"w": "part.safetensors"}
    )
)
content("shard_elsewhere", INDEX)(pointing({"w": "../part.safetensors"}))
content("shard_is_the_index", INDEX)(
    pointing({str(i): "model.safetensors.index.json" for i in range(9)})
)
content("shards_are_numbers", INDEX)(pointing({"w": 3}))
content("shards_are_a_list", INDEX)(b'{"weight_map": ["part.safetensors"]}')


content("index_of_small_values", INDEX, "orbax", cost="slow")(b"[" + b"[]," * 9_000_000 + b"[]]")


@kind(INDEX)
def shards_are_indices(path, reader):
    other = path.with_name("b.index.json")
    for index in (path, other):
        index.write_bytes(pointing({"a": path.name, "b": other.name}))


@kind(INDEX)
def shard_is_a_pipe(path, reader):
    os.mkfifo(path.parent / "pipe.safetensors")
    path.write_bytes(pointing({"w": "pipe.safetensors"}))


@kind("orbax")
def link_round_in_a_circle(path, reader):
    path.write_bytes(VALID["orbax"]())
    (path.parent / "k/again").symlink_to(path.parent / "k/again")


@kind("orbax")
def chunk_is_a_pipe(path, reader):
    path.write_bytes(VALID["orbax"]())
    (path.parent / "k/0.0").unlink()
    os.mkfifo(path.parent / "k/0.0")


@kind("orbax")
def chunk_too_short(path, reader):
    path.write_bytes(VALID["orbax"]())
    zarr(path.parent / "k", b"short")


@kind("orbax")
def array_claims_terabytes(path, reader):
    path.write_bytes(VALID["orbax"]())
    zarr(path.parent / "k", shape=[10**6, 10**6])


@kind("orbax")
def chunk_claims_terabytes(path, reader):
    path.write_bytes(VALID["orbax"]())
    zarr(path.parent / "k", chunks=[10**6, 10**6])


@kind("orbax", cost="slow")
def chunk_inflates(path, reader):
    path.write_bytes(VALID["orbax"]())
    packed = zlib.compress(bytes(600_000_000))
    zarr(path.parent / "k", packed, compressor={"id": "zlib", "level": 9})


@kind("orbax", cost="slow")
def array_inflates(path, reader):
    path.write_bytes(VALID["orbax"]())
    packed, sizes = zlib.compress(bytes(600_000_000)), [10_000, 15_000]
    zarr(
        path.parent / "k", packed, shape=sizes, chunks=sizes, compressor={"id": "zlib", "level": 9}
    )
