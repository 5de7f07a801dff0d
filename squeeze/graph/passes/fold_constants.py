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
    result = fold_constants_ir(
        model, onnx_shape_inference=True, input_size_limit=LARGEST, output_size_limit=LARGEST
    )
    # The folder also reports a change when it only learned a shape.
    return bool(result.modified) and model.graph.num_nodes() != before
