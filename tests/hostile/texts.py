"""Hostile tables, texts, tokenizers and images."""

import gzip
import io
import json
import os
import struct
import zlib

import numpy as np
from hostile.corpus import LINES, TABLE, VALID, content, kind, npy, picture, tokenizer
from PIL import Image

# --- tables

content("cell_of_a_megabyte", "csv")(TABLE + b"8,0.5," + b"1" * 1_000_000 + b"\n")
content("long_cell", "csv")(TABLE + b"8,0.5," + b"x" * 100_000 + b"\n")
content("open_quote", "csv")(TABLE + b'8,0.5,"' + b"1,2\n" * 200_000)
content("many_cells", "csv", cost="slow")(lambda: TABLE + b"8,1,1\n" * 600_000)
content("empty_lines", "csv", cost="slow")(lambda: b"\n" * 29_000_000)
content("long_header", "csv")(b",".join(b"c%d" % i for i in range(50_000)) + b"\n1\n")
content("zero_bytes", "csv")(TABLE + b"8,0.5,\0\0\n")
content("latin", "csv")("width,lr,loss\n8,1,µ\n".encode("latin-1"))
content("widths_are_words", "csv")(b"width,lr,loss\n" + b"wide,1,1\n" * 9)

# --- lines of JSON

TEXTS = ("jsonl", "gz")


def lines(name: str, **options):
    """Add a kind by its plain text, which the compressed reader gets compressed."""

    def add(data):
        def write(path, reader):
            text = data() if callable(data) else data
            path.write_bytes(gzip.compress(text, 1) if reader == "gz" else text)

        kind(*TEXTS, name=name, **options)(write)

    return add


lines("line_without_end", cost="slow")(lambda: LINES + b'\n{"text": "' + b"a" * 30_000_000)
lines("line_of_small_values", cost="slow", harmless=True)(
    lambda: b'{"text": "a", "b": [' + b"[]," * 500_000 + b"[]]}\n" + LINES
)
lines("line_too_deep")(LINES + b'\n{"text": ' + b"[" * 100_000)
lines("line_with_a_long_number", cost="slow")(LINES + b'\n{"text": ' + b"1" * 1_000_000 + b"}")
lines("line_with_half_a_pair", cost="slow")(LINES + b'\n{"text": "\\ud800"}')
lines("line_of_a_list", cost="slow")(LINES + b'\n["text"]')
lines("line_of_another_text", cost="slow")(LINES + b'\n{"text": 3}')
content("endless_line", "gz", cost="slow")(
    lambda: gzip.compress(b'{"text": "' + bytes(400_000_000))
)
content("endless_empty_lines", "gz", cost="slow")(lambda: gzip.compress(b"\n" * 50_000_000, 1))
content("endless_documents", "gz", cost="slow")(
    lambda: gzip.compress(b'{"text": "a b c"}\n' * 3_000_000)
)
content("wrong_checksum", "gz")(gzip.compress(LINES)[:-8] + bytes(8))
content("many_files_in_one", "gz", harmless=True)(lambda: gzip.compress(LINES + b"\n") * 20)

# --- tokenizers


def splitting(pattern: str) -> bytes:
    """A tokenizer that splits texts by a regular expression."""
    rule = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return tokenizer(pre_tokenizer=rule)


@kind("tokenizer")
def catastrophic_expression(path, reader):
    path.write_bytes(splitting("(a+)+$"))
    (path.parent / "a.jsonl").write_bytes(json.dumps({"text": "a" * 60 + "b"}).encode() + b"\n")


@kind("tokenizer")
def slow_expression(path, reader):
    path.write_bytes(splitting("(a|a)*b|c"))
    (path.parent / "a.jsonl").write_bytes(json.dumps({"text": "a" * 20_000}).encode() + b"\n")


@kind("tokenizer", cost="slow")
def quadratic_expression(path, reader):
    path.write_bytes(splitting(r"\w+\W\d"))
    (path.parent / "a.jsonl").write_bytes(json.dumps({"text": "a" * 40_000}).encode() + b"\n")


@kind("tokenizer", cost="slow")
def catastrophic_replacement(path, reader):
    rule = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
    path.write_bytes(tokenizer(normalizer=rule))
    (path.parent / "a.jsonl").write_bytes(json.dumps({"text": "a" * 60 + "b"}).encode() + b"\n")


@kind("tokenizer")
def replacement_without_end(path, reader):
    rules = [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}] * 4
    path.write_bytes(tokenizer(normalizer={"type": "Sequence", "normalizers": rules}))


CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": "////" * 100}
content("charsmap_of_noise", "tokenizer", cost="slow")(tokenizer(normalizer=CHARSMAP))
content("huge_expression", "tokenizer", harmless=True)(splitting("((a{1,1000}){1,1000}){1,1000}"))
content("expression_without_end", "tokenizer")(splitting("(a"))
content("no_words", "tokenizer", cost="slow")(
    tokenizer(model={"type": "WordLevel", "vocab": {}, "unk_token": ""})
)
content("negative_words", "tokenizer", cost="slow")(
    tokenizer(model={"type": "WordLevel", "vocab": {"a": -1, "end": 0}, "unk_token": "a"})
)
content("merges_of_nothing", "tokenizer", cost="slow")(
    tokenizer(model={"type": "BPE", "vocab": {"a": 0, "end": 1}, "merges": [["x", "y"]]})
)
content("nested_sequences", "tokenizer", cost="slow")(
    b'{"normalizer": ' + b'{"type": "Sequence", "normalizers": [' * 20_000
)


@kind("tokenizer", cost="slow")
def expression_for_long_texts(path, reader):
    path.write_bytes(splitting("(?:(?:a|b)+)+c"))
    (path.parent / "a.jsonl").write_bytes(json.dumps({"text": "ab" * 3000}).encode() + b"\n")


# --- images


def png(width: int, height: int, depth: int = 8, colour: int = 0, *chunks: bytes) -> bytes:
    """A PNG file that claims a size and has no pixels but those in the chunks."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join((chunk(b"IHDR", head), *chunks, chunk(b"IEND", b"")))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def black(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """A black PNG file, with all of its pixels."""
    row = 1 + -(-width * depth * {0: 1, 2: 3, 6: 4}[colour] // 8)
    packer, parts = zlib.compressobj(1), []
    for _ in range(height):
        parts.append(packer.compress(bytes(row)))
    parts.append(packer.flush())
    return png(width, height, depth, colour, chunk(b"IDAT", b"".join(parts)))


PICTURES = ("png", "folder")
TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))
content("pixels_13000", *PICTURES, cost="slow")(lambda: black(13_000, 13_000, 1))
content("pixels_9000", *PICTURES, cost="slow")(lambda: black(9000, 9000, 8, 2))
content("grey_9000", *PICTURES, cost="slow", harmless=True)(lambda: black(9000, 9000))
content("pixels_claimed", *PICTURES)(png(2**31 - 1, 2**31 - 1))
content("pixels_of_none", *PICTURES)(png(5000, 5000, 8, 2, chunk(b"IDAT", zlib.compress(b""))))
content("no_pixels", *PICTURES)(png(0, 0))
content("text_inflates", "png", harmless=True)(
    lambda: VALID["png"]()[:33] + TEXT + VALID["png"]()[33:]
)
content("profile_inflates", "png", harmless=True)(
    lambda: VALID["png"]()[:33] + PROFILE + VALID["png"]()[33:]
)
content("palette_missing", "png", harmless=True)(lambda: black_with_colour(3))
content("unknown_colour", "png")(lambda: black_with_colour(5))
content("chunk_beyond", *PICTURES)(
    VALID["png"]()[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(99)
)
content("jpeg_claims", "jpg")(lambda: patched_size(VALID["jpg"](), 65_000, 65_000))
content("jpeg_of_nothing", "jpg")(lambda: patched_size(VALID["jpg"](), 0, 0))
content("jpeg_called_png", "png", harmless=True)(lambda: picture("jpg"))


@kind("jpg", cost="slow")
def scans_without_end(path, reader):
    made = io.BytesIO()
    Image.new("L", (8000, 8000), 128).save(made, "JPEG", progressive=True)
    data = made.getvalue()
    path.write_bytes(data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 200 + data[-2:])


def black_with_colour(colour: int) -> bytes:
    return png(40, 40, 8, colour, chunk(b"IDAT", zlib.compress(bytes(40 * 41))))


def patched_size(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@kind("folder")
def class_in_a_circle(path, reader):
    path.write_bytes(VALID["png"]())
    (path.parents[1] / "b").symlink_to(path.parents[1] / "b")


@kind("folder")
def pipe_among_images(path, reader):
    path.write_bytes(VALID["png"]())
    os.mkfifo(path.parents[2] / "val/a/y.PNG")


# --- arrays of bytes

content("labels_255", "cifar")(b"\xff" * (2 * 3073))
content("one_byte_more", "cifar")(bytes(2 * 3073 + 1))
content("tokens_beyond", "cache")(npy((500,), "<u2", np.full(500, 60_000, "<u2").tobytes()))
content("tokens_signed", "cache")(npy((500,), "<i2", bytes(1000)))
content("tokens_claimed", "cache")(npy((2**40,), "<u2", bytes(1000)))
content("tokens_in_a_square", "cache")(npy((20, 25), "<u2", bytes(1000)))
content("tokens_as_objects", "cache")(npy((500,), "|O", bytes(4000)))


@kind("cache")
def header_in_a_hole_of_tokens(path, reader):
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1))
    with path.open("r+b") as file:
        file.truncate(2**32 + 100)
