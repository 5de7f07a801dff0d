"""The .tflite file of a model, for the runtimes that load one: written from ONNX, or taken where it is one already."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError
from squeeze.runtimes.runtime import Refusal
from squeeze.workdir import write_atomic

if TYPE_CHECKING:
    from squeeze.tflite import Ports

NAME = "model.tflite"
NPU_OPERATOR = "ethos-u"
_MAGIC = b"TFL3"
# What reading a damaged file by the generated classes ends in.
_DAMAGED = (AttributeError, IndexError, MemoryError, TypeError, ValueError, struct.error)


@dataclass(frozen=True)
class TfliteOperator:
    """One operator of a .tflite file. name: of its first output tensor; op: such as CONV_2D, or a custom one's name."""

    name: str
    op: str
    custom: bool = False


def is_tflite(model: Path) -> bool:
    """Whether the file says of itself that it is one. Raises ConfigError when it cannot be read."""
    try:
        with model.open("rb") as stream:
            return stream.read(8)[4:] == _MAGIC
    except OSError as e:
        raise ConfigError(f"{model}: cannot be read: {e.strerror}") from e


def tflite_refusals(model: Path) -> list[Refusal]:
    """Why there is no .tflite file of the ONNX file `model`; empty where there is, and for a file that is one."""
    if is_tflite(model):
        return []
    from squeeze.tflite import refusals

    return [Refusal(node, why) for node, why in refusals(model)]


def tflite_lacks(model: Path) -> list[Refusal]:
    """The nodes of operators that no .tflite file has; none of a file that is one."""
    if is_tflite(model):
        return []
    from squeeze.tflite import lacking

    return [Refusal(node, why) for node, why in lacking(model)]


def tflite_of(model: Path, folder: Path) -> Path:
    """The model as `folder`/model.tflite. Raises UnsupportedError naming the node that cannot be written."""
    path = folder / NAME
    if is_tflite(model):
        if model.resolve() != path.resolve():
            write_atomic(path, model.read_bytes())
        return path
    from squeeze.tflite import write

    write(model, path)
    return path


def ports_of(path: Path) -> Ports:
    """Inputs and outputs as the ONNX file had them, or as the file has them where it is not ours.

    Raises ConfigError for a damaged file.
    """
    from squeeze.tflite import ports_of as ports_inside

    return ports_inside(path)


def operators(path: Path) -> list[TfliteOperator]:
    """All operators of the first graph, in the order in which they run. Raises ConfigError for a damaged file."""
    from ai_edge_litert import schema_py_generated as schema

    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if isinstance(value, int)
    }
    try:
        model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        graph = model.subgraphs[0]
        found = []
        for operator in graph.operators or ():
            code = model.operatorCodes[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            custom = number == schema.BuiltinOperator.CUSTOM
            op = _text(code.customCode) if custom else names.get(number, str(number))
            name = _text(graph.tensors[operator.outputs[0]].name)
            found.append(TfliteOperator(name, op, custom))
    except _DAMAGED as e:
        raise ConfigError(f"{path}: not a whole .tflite file; write it again from the model") from e
    return found


def _text(name: Any) -> str:  # Any: bytes or str, as the generated classes have it
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")
