"""The fields of an ONNX file, counted on its bytes: each takes far more as an object."""

from collections.abc import Iterator

from spectrax.checkpoints.limits import NODES

DEEPEST = 100  # messages within messages, protobuf's own bound
# By message: which numbers of fields hold which messages.
MESSAGES = {
    "model": {7: "graph", 8: "leaf", 14: "leaf", 20: "training", 25: "function", 26: "leaf"},
    "training": {1: "graph", 2: "graph", 3: "leaf", 4: "leaf"},
    "function": {7: "node", 9: "leaf", 11: "attribute", 12: "value", 14: "leaf"},
    "graph": {
        **{1: "node", 5: "tensor", 14: "annotation", 15: "sparse", 16: "leaf"},
        **dict.fromkeys((11, 12, 13), "value"),
    },
    "node": {5: "attribute", 9: "leaf", 10: "devices"},
    "devices": {2: "sharding"},
    "sharding": {3: "leaf", 4: "sharded"},
    "sharded": {2: "leaf"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
        **{14: "type", 15: "type", 22: "sparse", 23: "sparse"},
    },
    "tensor": {3: "leaf", 13: "leaf", 16: "leaf"},
    "sparse": {1: "tensor", 2: "tensor"},
    "annotation": {2: "leaf"},
    "value": {2: "type", 4: "leaf"},
    "type": {1: "sized", 8: "sized", 4: "inner", 5: "inner", 7: "leaf", 9: "inner"},
    "inner": {1: "type", 2: "type"},
    "sized": {2: "shape"},
    "shape": {1: "leaf"},
    "leaf": {},
}


def fields(data) -> Iterator[int]:
    """The place of every field of an ONNX model.

    Args:
        data: bytes or a memory map.

    Raises:
        ValueError: if it is no model, or has more fields than any network.
    """
    for count, at in enumerate(_fields(data, 0, len(data), "model", 0)):
        if count == NODES:
            raise ValueError(f"it has more than {NODES} fields")
        yield at


def _fields(data, at: int, stop: int, message: str, depth: int) -> Iterator[int]:
    if depth == DEEPEST:
        raise ValueError(f"its messages are nested more than {DEEPEST} deep")
    inside = MESSAGES[message]
    while at < stop:
        yield at
        tag, at = _varint(data, at, stop)
        kind = tag & 7
        if not 0 < tag >> 3 < 2**29:
            raise ValueError(f"byte {at} begins no field of a model")
        size = {0: 0, 1: 8, 5: 4}.get(kind)
        if kind in (0, 2):
            value, at = _varint(data, at, stop)
            size = value if kind == 2 else 0
        if size is None or at + size > stop:
            raise ValueError("it is cut short, or no model")
        if kind == 2 and tag >> 3 in inside:
            yield from _fields(data, at, at + size, inside[tag >> 3], depth + 1)
        at += size


def _varint(data, at: int, stop: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while at < stop and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("it is cut short, or no model")
