"""What torch puts behind the Softmax of attention: 0 for a query without a key, for which Softmax gives NaN."""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.values import constant, is_op, only_user


def nan_guard(softmax: ir.Node) -> ir.Node | None:
    """The Where in Where(IsNaN(p), 0, p), where those two alone read p = Softmax(...), rounded to 8 bits or not; else
    None."""
    p = softmax.outputs[0]
    quantise = only_user(p)
    if quantise is not None and is_op(quantise, "QuantizeLinear"):
        dequantise = only_user(quantise.outputs[0])
        if dequantise is None or not is_op(dequantise, "DequantizeLinear"):
            return None
        p = dequantise.outputs[0]
    users = [user for user, _ in p.uses()]
    tests = [user for user in users if is_op(user, "IsNaN")]
    wheres = [user for user in users if is_op(user, "Where") and user.inputs[2] is p]
    if p.is_graph_output() or (len(users), len(tests), len(wheres)) != (2, 1, 1):
        return None
    (test,), (where,) = tests, wheres
    instead = constant(where.inputs[1])
    if where.inputs[0] is not test.outputs[0] or len(list(test.outputs[0].uses())) != 1:
        return None
    return where if instead is not None and instead.size == 1 and not instead.any() else None
