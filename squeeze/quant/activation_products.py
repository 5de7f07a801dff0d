"""Matrix products of two activations, such as attention has two of: queries with keys, probabilities with values.

    Q -> DQ -+
             MatMul [-> Q -> DQ]        the runtime's MatMulIntegerToFloat, or QLinearMatMul where the result is int8
    Q -> DQ -+

Both operands have one scale each. Where both are u8, x86 CPUs without VNNI add products in 32 bits too.

Cases: MatMul of two float32 values that are computed, of two dimensions or more, whatever sizes are open; also of a
       value with itself or with its transpose, which then has the integers and the scale of that value.
Left:  vectors, and a constant on the left.

Whether that is faster depends on the CPU and on our library, which has attention as one op, and the small
probabilities of long rows fall between the steps. So these are not int8 unless somebody says so: the recipe, or a step
that has timed it.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.nan_guard import nan_guard
from squeeze.graph.values import constant, is_op, producer, rank


def is_activation_product(node: ir.Node) -> bool:
    """Whether a node is a matrix product of two activations."""
    if not is_op(node, "MatMul"):
        return False
    return all(value is not None and constant(value) is None for value in node.inputs)


def refusal(node: ir.Node) -> str | None:
    """Why a product of two activations cannot be int8; None when it can."""
    if any((rank(value) or 0) < 2 for value in node.inputs):
        return "MatMul: a vector, or of a size that is not known"
    return None


def has_attention(graph: ir.Graph) -> bool:
    """Whether one of these products weighs by probabilities that come of another."""
    return any(is_activation_product(node) and _is_probability(node.inputs[0]) for node in graph)


def _is_probability(value: ir.Value | None) -> bool:
    where = producer(value, "Where")
    guarded = None if where is None else producer(where.inputs[2], "Softmax")
    softmax = guarded or producer(value, "Softmax")
    return softmax is not None and (where is None or nan_guard(softmax) is where)


def candidates(graph: ir.Graph) -> list[ir.Node]:
    """The products of two activations that could be int8, in order."""
    return [
        node
        for node in graph
        if is_activation_product(node)
        and refusal(node) is None
        and all(v is not None and v.dtype == ir.DataType.FLOAT for v in node.inputs)
    ]
