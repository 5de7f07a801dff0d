"""Multiplies what a product of two activations gives by what its operands were multiplied by.

    (a * q) @ (b * k)  ->  (q @ k) * ab        attention, as torch's exporters write it

The operands are then read as they were made, in int8 too, and our attention has the factor for nothing.

Cases: MatMul of two computed float32 values, one of them or both a Mul or Div of a value by one number, which nobody
       else reads.
Left:  factors that are 0 or not finite, one by one or together; constants on a side, which have passes of their own.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.values import (
    add_constant,
    constant,
    graph_of,
    is_op,
    only_user,
    producer,
    rank,
    replace,
)


def scale_products(model: ir.Model) -> bool:
    """True when a factor was moved."""
    changed = [_move(n) for n in tuple(model.graph) if is_op(n, "MatMul")]
    return any(changed)


def _move(product: ir.Node) -> bool:
    if any(v is None or constant(v) is not None for v in product.inputs):
        return False
    if product.outputs[0].dtype != ir.DataType.FLOAT:
        return False
    found = [_factor(v) for v in product.inputs]
    with np.errstate(over="ignore", under="ignore"):
        factor = np.prod([one[1] for one in found if one is not None], dtype=np.float32)
    if not any(found) or not np.isfinite(factor) or factor == 0:
        return False
    for place, one in enumerate(found):
        if one is not None:
            product.replace_input_with(place, one[0])
    made, graph = product.outputs[0], graph_of(product)
    number = add_constant(graph, f"{made.name}_factor", np.asarray(factor))
    scaled = ir.Node("", "Mul", [made, number], name=f"{product.name or made.name}_scaled")
    result = scaled.outputs[0]
    result.name, result.type, result.shape = f"{made.name}_scaled", made.type, made.shape
    graph.insert_after(product, scaled)
    replace(made, result)
    scaled.replace_input_with(0, made)
    return True


def _factor(value: ir.Value | None) -> tuple[ir.Value, np.float32] | None:
    """What `value` is a multiple of, and the factor."""
    node = producer(value, "Mul", "Div")
    if node is None or value is None or only_user(value) is None:
        return None
    ways = [(node.inputs[0], node.inputs[1])]
    if is_op(node, "Mul"):
        ways.append((node.inputs[1], node.inputs[0]))
    for source, given in ways:
        number = constant(given)
        if source is None or number is None or number.size != 1 or constant(source) is not None:
            continue
        if number.ndim > (rank(source) or 0) or not number.any():
            continue
        with np.errstate(divide="ignore", over="ignore"):
            one = np.float32(number.item())
            return source, np.float32(1) / one if is_op(node, "Div") else one
    return None
