"""QuantizeLinear and DequantizeLinear of the runtime's own domain become those of ONNX, which every pass knows.

Cases: com.microsoft nodes with a constant float32 scale and 8-bit integers. They compute the same.
Left:  16-bit integers and float16 scales, which ONNX has in its later versions alone.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.values import constant

DOMAIN = "com.microsoft"
_BYTES = ("uint8", "int8")


def standard_quantisers(model: ir.Model) -> bool:
    """Whether any node changed."""
    changed = False
    for node in model.graph.all_nodes():
        if node.domain != DOMAIN or node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = constant(node.inputs[1])
        zero_point = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if scale is None or scale.dtype != "float32":
            continue
        # Without a zero point the one makes uint8, and the other would have to be asked what it reads.
        if zero_point is None or str(zero_point.dtype) not in _BYTES:
            continue
        node.domain = ""
        changed = True
    return changed
