"""Computes what depends on constants alone, by the folder of onnxscript.

Cases: arithmetic, reshapes and transposes of weights; Shape, Gather, Concat of known dimensions.
Left:  QuantizeLinear and DequantizeLinear; results of more than 4 million numbers, which would blow up the file.
"""

from __future__ import annotations

import onnx_ir as ir
from onnxscript.optimizer import fold_constants_ir

LARGEST = 1 << 22


def fold_constants(model: ir.Model) -> bool:
    """True when a node was replaced by its value."""
    before = model.graph.num_nodes()
    declared = [value.shape for value in model.graph.outputs]
    result = fold_constants_ir(
        model, onnx_shape_inference=True, input_size_limit=LARGEST, output_size_limit=LARGEST
    )
    # The names of sizes are the user's; the folder takes those that it made up for what an Identity reads.
    for value, shape in zip(model.graph.outputs, declared, strict=True):
        value.shape = value.shape if shape is None else shape
    # The folder also reports a change when it only learned a shape.
    return bool(result.modified) and model.graph.num_nodes() != before
