"""Brings old files to opset 13, the first whose DequantizeLinear takes a scale per channel.

Cases: opset 7 to 12, by the converter of onnx; inputs and outputs keep their names.
Left:  13 and newer; graphs that the converter refuses (they stay float, the quantiser says why).
"""

from __future__ import annotations

import logging

import onnx
import onnx.version_converter
import onnx_ir as ir

logger = logging.getLogger(__name__)

OPSET = 13


def raise_opset(model: ir.Model) -> bool:
    """True when the model was converted."""
    current = model.graph.opset_imports.get("", OPSET)
    if current >= OPSET:
        return False
    proto = ir.serde.serialize_model(model)
    try:
        converted = onnx.version_converter.convert_version(proto, OPSET)
    except (RuntimeError, onnx.version_converter.ConvertError) as e:
        logger.warning("opset %d could not be raised to %d: %s", current, OPSET, e)
        return False
    model.graph = ir.serde.deserialize_model(converted).graph
    return True
