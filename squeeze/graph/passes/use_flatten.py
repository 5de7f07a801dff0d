"""Writes every way of flattening all but the batch as Flatten(axis=1), which keeps the batch dynamic.

Cases: Reshape from [n, d1, d2, ...] to two dimensions of which the second is the product d1 * d2 * ...; Squeeze of all
       axes behind the channels. What computed the Reshape's target (Shape, Gather, Concat) is then dead.
Left:  other reshapes; inputs whose dimensions behind the batch vary; Reshape from rank 2, which changes nothing or all.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from squeeze.graph.values import is_op, known_dims, rank, replace


def use_flatten(model: ir.Model) -> bool:
    """True when a node was replaced."""
    changed = [_replace(model.graph, n) for n in tuple(model.graph) if _flattens(n)]
    return any(changed)


def _flattens(node: ir.Node) -> bool:
    if not is_op(node, "Reshape", "Squeeze"):
        return False
    source, result = node.inputs[0], node.outputs[0]
    inner, outer = known_dims(source, 1), known_dims(result, 1)
    dims = rank(source)
    if inner is None or outer is None or dims is None or dims < 3 or rank(result) != 2:
        return False
    # The total is the same before and after, so with the second dimension right the first is the batch.
    return outer == [math.prod(inner)]


def _replace(graph: ir.Graph, node: ir.Node) -> bool:
    old = node.outputs[0]
    flat = ir.Node("", "Flatten", [node.inputs[0]], [ir.AttrInt64("axis", 1)], name=node.name)
    flat.outputs[0].name = f"{old.name}_flat"
    flat.outputs[0].type, flat.outputs[0].shape = old.type, old.shape
    graph.insert_before(node, flat)
    replace(old, flat.outputs[0])
    graph.remove(node, safe=True)
    return True
