"""What a model file holds, for `squeeze inspect`: read, not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from squeeze.account.macs import Shape
from squeeze.account.weigh import complexity, read

Json = dict[str, Any]  # Any: whatever JSON can hold


def summary(model: Path, shapes: Mapping[str, Shape] | None = None) -> Json:
    """Inputs, outputs, operators, versions, parameters, bytes and MACs of an ONNX file. Raises MeasureError.

    shapes: as for `complexity`.
    """
    proto = read(model)
    weight = complexity(model, shapes)
    stored_names = {t.name for t in proto.graph.initializer}
    counts = Counter(
        f"{n.domain}::{n.op_type}" if n.domain not in ("", "ai.onnx") else n.op_type
        for n in proto.graph.node
    )
    return {
        "inputs": [_value(v) for v in proto.graph.input if v.name not in stored_names],
        "outputs": [_value(v) for v in proto.graph.output],
        "ops": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        "functions": sorted(f"{f.domain}::{f.name}" for f in proto.functions),
        "opset": {i.domain or "ai.onnx": i.version for i in proto.opset_import},
        "ir_version": proto.ir_version,
        "producer": f"{proto.producer_name} {proto.producer_version}".strip(),
        "params": weight.params,
        "macs": weight.macs,
        "macs_unknown": list(weight.unknown),
        "file_bytes": weight.file_bytes,
        "weight_bytes": weight.weight_bytes,
    }


def _value(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dims = (
        str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?"
        for d in tensor.shape.dim
    )
    return f"{value.name} {onnx.TensorProto.DataType.Name(tensor.elem_type).lower()} [{', '.join(dims)}]"
