"""Hostile files: how a valid file of each reader looks, and what anybody may put in its place.

Kinds for one reader are in `checkpoints` and `texts`. Nothing here is large but the sparse files;
whatever takes seconds to write is marked slow.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import msgpack
import numpy as np

NAMES = {  # of the file that a reader is given
    **{x: f"a.{x}" for x in ("npz", "safetensors", "msgpack", "onnx", "pt", "csv", "jsonl")},
    **{"gz": "a.jsonl.gz", "index": "model.safetensors.index.json", "orbax": "run/_METADATA"},
    **{"config": "config.json", "tokenizer": "tokenizer.json", "png": "a.png", "jpg": "a.jpg"},
    **{"folder": "train/a/x.png", "cifar": "data_batch_1.bin", "data": "data.npz"},
}
KEY = json.dumps({"name": "hostile"}).encode()
NAMES["cache"] = f"tokens-{hashlib.sha256(KEY).hexdigest()[:16]}.npy"
RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(40, 48)).astype(np.float32)


class Kind(NamedTuple):
    """How to write a hostile file, and for whom."""

    name: str
    readers: tuple[str, ...]
    write: Callable[[pathlib.Path, str], None]  # where, and for which reader
    cost: str  # cheap, slow, nightly
    harmless: bool  # may be read as well as refused


KINDS: dict[str, Kind] = {}


def kind(*readers: str, cost: str = "", harmless: bool = False, name: str = ""):
    """Add a function that writes a file; without readers it is for all, which costs seconds."""
    cost = cost or ("cheap" if readers else "slow")

    def add(write):
        found = name or write.__name__
        KINDS[found] = Kind(found, readers or tuple(NAMES), write, cost, harmless)
        return write

    return add


def content(name: str, *readers: str, **options):
    """Add a kind by its bytes, or by a function that makes them."""

    def add(data):
        def write(path, reader):
            path.write_bytes(data() if callable(data) else data)

        kind(*readers, name=name, **options)(write)

    return add


# --- valid files, written by hand: the libraries are imported by what reads


def npy(shape=None, dtype="<f4", body=None) -> bytes:
    """An array in NumPy's format whose header claims what it likes."""
    shape, body = shape or WEIGHTS.shape, WEIGHTS.tobytes() if body is None else body
    head = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return made.getvalue()


def tensors(header, body: bytes = WEIGHTS.tobytes()) -> bytes:
    """A safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(shape=(40, 48), dtype="F32", offsets=(0, 7680)) -> dict:
    """An entry in the header of a safetensors file."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def flax(shape=(40, 48), dtype="float32", body: bytes = WEIGHTS.tobytes()) -> msgpack.ExtType:
    """An array as Flax writes it."""
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, body)))


def varint(number: int) -> bytes:
    """A number in protobuf."""
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, value: bytes | int) -> bytes:
    """A field in protobuf: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx(*parts: bytes) -> bytes:
    """A model with these parts of a graph."""
    return field(1, 8) + field(7, b"".join(parts))


def initializer(dims=(40, 48), body: bytes = WEIGHTS.tobytes(), rest: bytes = b"") -> bytes:
    """A weight in a graph; without a body its data lie elsewhere."""
    sizes = b"".join(field(1, size) for size in dims)
    return field(5, sizes + field(2, 1) + field(8, b"w") + rest + (field(9, body) if body else b""))


def picture(suffix: str, size=(64, 48), mode: str = "RGB") -> bytes:
    """An image."""
    from PIL import Image

    made = io.BytesIO()
    pixels = RNG.integers(0, 256, (*size[::-1], 3), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    image.save(made, format={"png": "PNG", "jpg": "JPEG"}[suffix])
    return made.getvalue()


def tokenizer(**changes) -> bytes:
    """A tokenizer of words."""
    model = {"type": "WordLevel", "vocab": {"unk": 0, "a": 1, "end": 2}, "unk_token": "unk"}
    rest = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    before = {"pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": []}
    return json.dumps({"version": "1.0", **rest, **before, "model": model, **changes}).encode()


TREE = {
    "tree_metadata": {
        "('k',)": {
            "key_metadata": [{"key": "k", "key_type": 2}],
            "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
        }
    },
    "use_ocdbt": False,
    "use_zarr3": False,
}
LINES = b"\n".join(json.dumps({"text": "a b " * 9}).encode() for _ in range(20))
TABLE = b"width,lr,loss\n" + b"".join(b"%d,0.%d,1\n" % (w, r) for w in (8, 16) for r in (1, 2, 3))
INDEX = json.dumps({"weight_map": {"w": "part.safetensors"}}).encode()
VALID: dict[str, Callable[[], bytes]] = {
    "npz": lambda: archive({"w.npy": npy()}),
    "data": lambda: archive({"inputs.npy": npy(), "targets.npy": npy((40,), body=bytes(160))}),
    "safetensors": lambda: tensors({"w": tensor()}),
    "msgpack": lambda: msgpack.packb({"params": {"kernel": flax()}}),
    "onnx": lambda: onnx(initializer()),
    "pt": lambda: archive({"a/data.pkl": pickle.dumps({}), "a/data/0": WEIGHTS.tobytes()}),
    "csv": lambda: TABLE,
    "jsonl": lambda: LINES,
    "gz": lambda: gzip.compress(LINES),
    "index": lambda: INDEX,
    "orbax": lambda: json.dumps(TREE).encode(),
    "config": lambda: b'{"num_attention_heads": 4}',
    "tokenizer": tokenizer,
    "png": lambda: picture("png"),
    "jpg": lambda: picture("jpg"),
    "folder": lambda: picture("png"),
    "cifar": lambda: bytes(2 * 3073),
    "cache": lambda: npy((500,), "<u2", bytes(1000)),
}


def surroundings(folder: pathlib.Path, reader: str) -> pathlib.Path:
    """What a reader needs beside its file; returns the place of the file."""
    path = folder / NAMES[reader]
    path.parent.mkdir(parents=True, exist_ok=True)
    if reader in ("index", "config"):
        (folder / "part.safetensors").write_bytes(tensors({"w": tensor()}))
    if reader == "orbax":
        (folder / "run/k").mkdir()
        zarr(folder / "run/k")
    if reader == "tokenizer":
        (folder / "a.jsonl").write_bytes(LINES)
    if reader in ("jsonl", "gz"):
        (folder / "tokenizer.json").write_bytes(tokenizer())
    if reader == "folder":
        (folder / "val/a").mkdir(parents=True)
        for place in ("train/a", "val/a"):
            (folder / place / "fine.png").write_bytes(picture("png"))
    if reader == "cifar":
        for name in (*(f"data_batch_{i}.bin" for i in range(2, 6)), "test_batch.bin"):
            (folder / name).write_bytes(bytes(2 * 3073))
    return path


def zarr(folder: pathlib.Path, chunk: bytes = WEIGHTS.tobytes(), **changes) -> None:
    """An array in the format inside Orbax' folders."""
    about = {"chunks": [40, 48], "compressor": None, "dtype": "<f4", "fill_value": None}
    about |= {"filters": None, "order": "C", "shape": [40, 48], "zarr_format": 2}
    (folder / ".zarray").write_text(json.dumps(about | {"dimension_separator": "."} | changes))
    (folder / "0.0").write_bytes(chunk)


# --- what anybody may put in the place of any file


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


content("empty")(b"")
content("one_byte")(b"\0")
content("noise")(np.random.default_rng(1).bytes(3000))
content("zeros")(bytes(1_000_000))
content("ones")(b"\xff" * 1_000_000)
content("text")(b"weights are elsewhere\n" * 9)
content("utf16")("width,lr,loss\n8,1,1\n".encode("utf-16"))
content("deep_lists")(b"[" * 100_000)
content("deep_maps")(b'{"a":' * 100_000)
content("many_lists")(b"[" + b"[]," * 1_500_000 + b"[]]")
content("long_number")(b"[" + b"1" * 1_000_000 + b"]")
content("null")(b"null")
content("inflated_zeros")(lambda: gzip.compress(bytes(10_000_000)))
content("other_archive")(lambda: archive({"readme.txt": b"none"}, zipfile.ZIP_DEFLATED))


@kind(*NAMES)
def pickled(path, reader):
    path.write_bytes(pickle.dumps({"w": Trap(path.parent / "sprung")}))


@kind()
def pickled_in_archive(path, reader):
    trap = pickle.dumps(Trap(path.parent / "sprung"))
    path.write_bytes(archive({"w.npy": trap, "inputs.npy": trap, "a/data.pkl": trap}))


@kind(*NAMES)
def pipe(path, reader):
    os.mkfifo(path)


@kind()
def listener(path, reader):
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)  # the names of sockets are short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


@kind()
def a_folder(path, reader):
    path.mkdir()


@kind()
def link_to_nothing(path, reader):
    path.symlink_to(path.parent / "nothing")


@kind()
def link_to_itself(path, reader):
    path.symlink_to(path)


@kind()
def endless_device(path, reader):
    path.symlink_to("/dev/zero")


@kind()
def sparse(path, reader):
    with path.open("wb") as file:
        file.truncate(2**31)


@kind(harmless=True)
def half(path, reader):
    data = VALID[reader]()
    path.write_bytes(data[: len(data) // 2])


@kind(harmless=True)
def something_after(path, reader):
    path.write_bytes(VALID[reader]() + bytes(100_000))


@kind(harmless=True)
def sparse_after(path, reader):
    path.write_bytes(VALID[reader]())
    with path.open("r+b") as file:
        file.truncate(2**30)


@kind(harmless=True)
def flipped(path, reader):
    data, rng = bytearray(VALID[reader]()), np.random.default_rng(2)
    for place in rng.integers(0, min(300, len(data)), 5):
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(data))
