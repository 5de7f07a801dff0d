"""Reads an ONNX file as data: protobuf in, external tensors only from the file's own folder, all in one message."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper, helper

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.soundness import check_sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_BYTES = (1 << 31) - 1


def read_graph(path: Path) -> onnx.ModelProto:
    """The model as its file has it; tensors that lie in other files stay there. Raises ConfigError."""
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(
            f"{path}: larger than protobuf's 2 GB, no runtime opens it; save it with external data"
        )
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, RecursionError, ValueError) as e:
        raise ConfigError(f"{path}: not an ONNX file, or cut off: {e}") from e
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    if not model.graph.node:
        raise ConfigError(f"{path}: not an ONNX file, or one without a graph")
    return model


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model with all of its tensors inside. Raises ConfigError, or UnsupportedError beyond 2 GB."""
    model = read_graph(path)
    tensors = [t for t in all_tensors(model) if external_data_helper.uses_external_data(t)]
    total = model.ByteSize()
    for tensor in tensors:
        total += _inline(tensor, path)
        if total > MOST_BYTES:
            raise UnsupportedError(
                f"{path}: with its external data larger than 2 GB; squeeze compiles smaller models"
            )
    check_sound(model, path)
    return model


def external_files(path: Path) -> list[Path]:
    """The files beside `path` that its tensors lie in, sorted. Raises ConfigError as `read_onnx`."""
    found = set()
    for tensor in all_tensors(read_graph(path)):
        if external_data_helper.uses_external_data(tensor):
            found.add(_locate(tensor, path, {e.key: e.value for e in tensor.external_data}))
    return sorted(found)


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor: of graphs, of nested graphs, of functions, of attributes."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of nested graphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_nodes(inner)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _graph_tensors(inner)


def _inline(tensor: onnx.TensorProto, path: Path) -> int:
    """Puts the tensor's bytes into the message; returns how many."""
    entries = {e.key: e.value for e in tensor.external_data}
    file = _locate(tensor, path, entries)
    where = f"{path}: tensor '{tensor.name}'"
    try:
        offset = int(entries.get("offset", "0"))
        elements = 1
        for size in tensor.dims:
            elements *= size
        needed = elements * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        length = int(entries.get("length", needed))
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError(f"{where}: its place in '{file.name}' is no number: {e}") from e
    available = file.stat().st_size
    if offset < 0 or length != needed or not 0 <= offset + length <= available:
        raise ConfigError(
            f"{where}: wants bytes {offset} to {offset + length} ({needed} by its shape) of '{file.name}', "
            f"which has {available}; the file is cut off or of another model"
        )
    with file.open("rb") as f:
        f.seek(offset)
        tensor.raw_data = f.read(length)
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT
    return length


def _locate(tensor: onnx.TensorProto, path: Path, entries: dict[str, str]) -> Path:
    location = entries.get("location", "")
    where = f"{path}: tensor '{tensor.name}' has its data in '{location[:80]}'"
    parts = PurePosixPath(location).parts
    plain = bool(parts) and not location.startswith("/") and ".." not in parts
    if not plain or "\\" in location or ":" in location or "\0" in location:
        raise ConfigError(f"{where}, which is outside of the model's folder, so it is not read")
    file = path.parent / location
    try:
        inside = file.resolve(strict=True).is_relative_to(path.parent.resolve())
    except OSError as e:
        raise ConfigError(f"{where}, which is missing; keep both files in one folder") from e
    if not inside:
        raise ConfigError(f"{where}, a link out of the model's folder, so it is not read")
    if not file.is_file():
        raise ConfigError(f"{where}, which is not a regular file")
    return file
