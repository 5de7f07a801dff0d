"""A model file in nothing but ONNX's own operators, for runtimes of others, which do not know local functions.

Function bodies take the place of the nodes that call them: of our ops, and of any other function in the file. A file
without functions stays as it is. Tensors outside of the file come into the one that is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import inliner

from squeeze.errors import MeasureError, UnsupportedError
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

NAME = "model_plain.onnx"


def plain_onnx(model: Path, folder: Path) -> Path:
    """`model` itself where it has no functions, else `NAME` in `folder`. Raises as `read` and `write` do."""
    proto = read(model)
    if not proto.functions:
        return model
    return write(inliner.inline_local_functions(with_tensors(proto, model)), folder / NAME)


def named_onnx(model: Path, folder: Path) -> Path:
    """`model` itself where all nodes of its graph have names, else a copy in `folder` (`with_names`)."""
    proto = read(model)
    if all(node.name for node in proto.graph.node):
        return model
    return write(with_names(with_tensors(proto, model)), folder / "model_named.onnx")


def read(model: Path) -> onnx.ModelProto:
    """The file, without the tensors that lie in others. Raises MeasureError when it cannot be read."""
    try:
        return onnx.load(model, load_external_data=False)
    except OSError as e:
        raise MeasureError(f"{model}: cannot be read: {e.strerror}") from e
    except DecodeError as e:
        raise MeasureError(f"{model}: not an ONNX file: {e}") from e


def with_tensors(proto: onnx.ModelProto, model: Path) -> onnx.ModelProto:
    """`proto` with all tensors inside, in place; those outside are read from the folder of `model` alone.

    Raises MeasureError when one cannot be read.
    """
    try:
        onnx.load_external_data_for_model(proto, str(model.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as e:
        raise MeasureError(
            f"{model}: its external data cannot be read: {str(e).splitlines()[0]}"
        ) from e
    return proto


def write(proto: onnx.ModelProto, path: Path) -> Path:
    """`path`, written whole or not at all. Raises UnsupportedError beyond the 2 GB of one file."""
    try:
        data = proto.SerializeToString()
    except (EncodeError, ValueError) as e:
        raise UnsupportedError(
            f"{path.name}: larger than the 2 GB of one ONNX file; this runtime takes smaller models"
        ) from e
    write_atomic(path, data)
    return path


def with_names(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto` with a name for each node of its graph that has none, in place: that of its first output."""
    for node in proto.graph.node:
        if not node.name:
            node.name = next((name for name in node.output if name), "")
    return proto
