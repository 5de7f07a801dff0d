"""Removes nodes that hand their input on unchanged.

Cases: Identity; Dropout outside training, whose mask nobody reads; Cast to the type it has; Transpose that keeps the
       order; Concat of one; Pad by nothing; pooling over a window of one with stride one and no padding.
Left:  a node that alone connects an input of the graph to an output.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.values import bypass, constant, integer, integers, is_op


def remove_identities(model: ir.Model) -> bool:
    """True when a node was removed."""
    return any([bypass(node) for node in tuple(model.graph) if _does_nothing(node)])


def _does_nothing(node: ir.Node) -> bool:
    if is_op(node, "Identity"):
        return True
    if is_op(node, "Dropout"):
        training = node.inputs[2] if len(node.inputs) > 2 else None
        mode = constant(training)
        off = training is None or (mode is not None and not mode.any())
        return off and all(not o.uses() and not o.is_graph_output() for o in node.outputs[1:])
    if is_op(node, "Cast"):
        source = node.inputs[0]
        return source is not None and source.dtype == ir.DataType(integer(node, "to", 0))
    if is_op(node, "Transpose"):
        order = integers(node, "perm")
        return order is not None and order == sorted(order)
    if is_op(node, "Concat"):
        return len(node.inputs) == 1
    if is_op(node, "Pad"):
        pads = constant(node.inputs[1])
        return pads is not None and not pads.any()
    if is_op(node, "AveragePool", "MaxPool"):
        windows = (*(integers(node, "kernel_shape") or [0]), *(integers(node, "strides") or [1]))
        padded = any(integers(node, "pads") or []) or "auto_pad" in node.attributes
        return set(windows) == {1} and not padded and len(node.outputs) == 1
    return False
