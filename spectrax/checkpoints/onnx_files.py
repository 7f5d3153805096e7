"""Initialisers of ONNX graphs: names, layouts and scales from the nodes that use them."""

import collections
import mmap
import pathlib
from collections.abc import Iterator

import ml_dtypes  # noqa: F401  names of types that NumPy does not have
import numpy as np

from spectrax._progress import watched
from spectrax.checkpoints.base import Checkpoint, CheckpointError, nbytes
from spectrax.checkpoints.fused import recurrent
from spectrax.checkpoints.protobuf import fields

GATES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}  # ONNX' orders; of inputs and of the state
PASSING = ("DequantizeLinear", "Cast", "Identity")  # what they pass on has the axes that it had
EXTRA = "pip install 'spectrax-dmft[onnx]'"


def open_onnx(path: pathlib.Path) -> Checkpoint:
    """All initialisers, those of subgraphs and constants included; data may lie in other files.

    Names that an exporter made up ("onnx::MatMul_12") get the name of their node in front.
    """
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise ImportError(f"Reading {path.name!r} needs onnx: {EXTRA}.") from error
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        collections.deque(watched(fields(data), "fields"), maxlen=0)
    graph = onnx.load(path, load_external_data=False).graph
    tensors, users = {}, {}
    for inner in _graphs(graph):
        tensors |= {tensor.name: tensor for tensor in inner.initializer}
        for node in inner.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                tensors[node.output[0]] = node.attribute[0].t
            for place, name in enumerate(node.input):
                users.setdefault(name, (node, place))
    names = {name: _readable(name, *users.get(name, (None, 0))) for name in tensors}
    files = {new: tensors[old] for old, new in names.items() if tensors[old].dims}
    broken = {
        name: f"Array {name!r} of {str(path)!r} claims the shape {tuple(tensor.dims)}."
        for name, tensor in files.items()
        if min(tensor.dims) < 0
    }
    files = {name: tensor for name, tensor in files.items() if name not in broken}
    shapes = {name: tuple(tensor.dims) for name, tensor in files.items()}
    dtypes = {
        name: np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).name
        for name, tensor in files.items()
    }
    sizes = {name: nbytes(shapes[name], np.dtype(dtypes[name]).itemsize) for name in files}
    layouts, scales, fused = {}, {}, {}
    for old, new in names.items():
        node, place = users.get(old, (None, 0))
        if node is not None:
            user = users.get(node.output[0]) if node.op_type in PASSING else None
            node_after, place_after = user or (node, place)
            layouts[new] = _layout(node_after, place_after)
            if node_after.op_type in GATES and place_after in (1, 2) and new in shapes:
                fused[new] = recurrent(shapes[new], GATES[node_after.op_type])
            if node.op_type == "DequantizeLinear" and place == 0:
                zero = node.input[2] if len(node.input) > 2 else ""
                axis = next((x.i for x in node.attribute if x.name == "axis"), 1)
                scales[new] = (names.get(node.input[1], ""), names.get(zero) or None, axis)
    everything = {new: tensors[old] for old, new in names.items()}
    beside = {_beside(path, tensor) for tensor in everything.values()} - {None}
    stored = path.stat().st_size + sum(x.stat().st_size for x in beside if x.is_file())

    def load(name: str) -> np.ndarray:
        place = _beside(path, everything[name])
        if place is not None and not (place.is_file() and place.parent == path.parent):
            raise CheckpointError(
                f"Array {name!r} of {str(path)!r} must lie in a file of the same folder, not in "
                f"{str(place)!r}."
            )
        return numpy_helper.to_array(everything[name], base_dir=str(path.parent))

    fused = {name: blocks for name, blocks in fused.items() if blocks is not None}
    return Checkpoint(
        path, shapes, sizes, load, broken, dtypes, layouts, scales, fused, None, stored
    )


def _beside(path: pathlib.Path, tensor) -> pathlib.Path | None:
    """The file with the data of a tensor, where they are not in the model's own."""
    if not tensor.external_data:
        return None
    location = next((x.value for x in tensor.external_data if x.key == "location"), "")
    return path.parent / location


def _graphs(graph) -> Iterator:
    """A graph and those of its branches and loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _readable(name: str, node, place: int) -> str:
    """The name of an array, with its node's where it has none of its own."""
    made_up = name.startswith(("onnx::", "_v_")) or name.strip("_").isdigit()
    return f"{node.name.strip('/')}:{name}" if made_up and node is not None and node.name else name


def _layout(node, place: int) -> str:
    """Order of the axes, from what the node does with them."""
    if node.op_type in ("MatMul", "MatMulInteger", "QLinearMatMul") and place > 0:
        return "in_out"
    if node.op_type == "Gemm" and place < 2:
        flag = next((x.i for x in node.attribute if x.name == ("transA", "transB")[place]), 0)
        return "out_in" if (place == 0) != bool(flag) else "in_out"
    return "out_in"
