"""ONNX files to graphs and back: one self-contained file, the same bytes for the same graph."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from squeeze.errors import ConfigError
from squeeze.soundness import check_sound
from squeeze.workdir import write_atomic


def load(path: Path) -> ir.Model:
    """Reads an ONNX file that holds its own weights. Raises ConfigError when it cannot be read or refers to others."""
    try:
        proto = onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    except DecodeError as e:
        raise ConfigError(f"{path}: not an ONNX file, or a damaged one") from e
    if not proto.graph.node:
        raise ConfigError(f"{path}: not an ONNX file, or one without operators")
    check_sound(proto, path)
    try:
        model = ir.serde.deserialize_model(proto)
    except ir.serde.SerdeError as e:
        raise ConfigError(f"{path}: not an ONNX file, or a damaged one: {_cause(e)}") from e
    for name, value in model.graph.initializers.items():
        if isinstance(value.const_value, ir.ExternalTensor):
            raise ConfigError(
                f"{path}: the weight '{name}' lies in another file; save the model with its weights inside"
            )
    return model


def to_bytes(model: ir.Model) -> bytes:
    """The model as an ONNX file; equal graphs give equal bytes."""
    data: bytes = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return data


def save(model: ir.Model, path: Path) -> None:
    """Writes the model as one ONNX file; a kill leaves the old file or the new one, never a part."""
    write_atomic(path, to_bytes(model))


def _cause(error: BaseException) -> str:
    """The first line of what came first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).partition("\n")[0][:200]
