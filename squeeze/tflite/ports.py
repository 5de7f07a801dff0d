"""Inputs and outputs of a .tflite file as the ONNX model has them, and how they are stored.

A file of ours carries them as JSON in a metadata buffer. A file of others has what the file itself says.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from squeeze.errors import ConfigError

METADATA = "squeeze.ports"
# What the generated classes end in when they read a damaged file.
DAMAGED = (AttributeError, IndexError, MemoryError, TypeError, ValueError, KeyError, struct.error)


@dataclass(frozen=True)
class Port:
    """One input or output. name: in the ONNX model. axes: the stored tensor is the ONNX one transposed by them.
    shape, dtype: of the stored tensor. scale, zero_point: of stored integers that stand for floats, else None."""

    name: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Ports:
    """All of a file, in its order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def to_json(ports: Ports) -> bytes:
    """The same bytes for the same ports."""
    return json.dumps(asdict(ports), sort_keys=True, separators=(",", ":")).encode()


def ports_of(path: Path) -> Ports:
    """Of a .tflite file, ours or any other's. Raises ConfigError when it cannot be read as one."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    if data[4:8] != b"TFL3":
        raise ConfigError(
            f"{path}: not a .tflite file; squeeze writes one for the targets that load it"
        )
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        for entry in model.metadata or ():
            if _text(entry.name) == METADATA:
                return _from_json(bytes(np.asarray(model.buffers[entry.buffer].data, np.uint8)))
        graph = model.subgraphs[0]
        return Ports(
            tuple(_of_tensor(graph.tensors[i], schema) for i in graph.inputs),
            tuple(_of_tensor(graph.tensors[i], schema) for i in graph.outputs),
        )
    except DAMAGED as e:
        raise ConfigError(f"{path}: not a whole .tflite file; write it again from the model") from e


def _from_json(text: bytes) -> Ports:
    whole = json.loads(text)
    return Ports(
        tuple(_from_entry(entry) for entry in whole["inputs"]),
        tuple(_from_entry(entry) for entry in whole["outputs"]),
    )


def _from_entry(entry: dict[str, Any]) -> Port:  # Any: JSON
    scale, zero = entry["scale"], entry["zero_point"]
    return Port(
        str(entry["name"]),
        tuple(int(axis) for axis in entry["axes"]),
        tuple(int(size) for size in entry["shape"]),
        str(np.dtype(entry["dtype"])),
        None if scale is None else float(scale),
        None if zero is None else int(zero),
    )


def _of_tensor(tensor: Any, schema: Any) -> Port:  # Any: the generated classes have no types
    names = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
    shape = tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()
    quantised = tensor.quantization
    scale = zero = None
    if quantised is not None and quantised.scale is not None and len(quantised.scale) == 1:
        scale, zero = float(quantised.scale[0]), int(quantised.zeroPoint[0])
    dtype = str(np.dtype(names[tensor.type].lower()))
    return Port(_text(tensor.name), tuple(range(len(shape))), shape, dtype, scale, zero)


def _text(name: Any) -> str:  # Any: bytes or str, as the generated classes have it
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")
