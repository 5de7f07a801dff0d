"""Writes every way of flattening all but the batch as Flatten(axis=1), which keeps the batch dynamic.

Cases: Reshape from [n, d1, d2, ...] to two dimensions of which the second is the product d1 * d2 * ...; the same where
       the target is computed (Shape, Gather or Slice of the batch, then Concat with -1 or the product); Squeeze of all
       axes behind the channels. What computed the target is then dead.
Left:  other reshapes; inputs whose dimensions behind the batch vary; Reshape from rank 2, which changes nothing or all.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from squeeze.graph.values import constant, is_op, known_dims, producer, rank, replace


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
    if source is None or inner is None or dims is None or dims < 3:
        return False
    # The total is the same before and after, so with the second dimension right the first is the batch.
    if rank(result) == 2 and outer == [math.prod(inner)]:
        return True
    return is_op(node, "Reshape") and _is_batch_and(node.inputs[1], source, (-1, math.prod(inner)))


def _is_batch_and(target: ir.Value | None, source: ir.Value, rest: tuple[int, ...]) -> bool:
    """Whether `target` is computed as [batch of source, one of rest]."""
    concat = producer(target, "Concat")
    if concat is None or len(concat.inputs) != 2:
        return False
    last = constant(concat.inputs[1])
    if last is None or last.size != 1 or int(last.item()) not in rest:
        return False
    first = concat.inputs[0]
    while (node := producer(first, "Unsqueeze", "Reshape", "Cast")) is not None:
        first = node.inputs[0]
    taken = producer(first, "Gather", "Slice")
    shape = producer(taken.inputs[0], "Shape") if taken is not None else None
    if taken is None or shape is None or not _takes_the_first(taken):
        return False
    measured = shape.inputs[0]
    if measured is None or measured.shape is None or source.shape is None:
        return False
    # Two sizes of which nothing is known are not known to be equal.
    batch = source.shape[0]
    known = measured is source or isinstance(batch, int) or batch.value is not None
    return "start" not in shape.attributes and known and measured.shape[0] == batch


def _takes_the_first(taken: ir.Node) -> bool:
    """Whether a Gather or Slice of a shape gives its first dimension and no other."""
    wanted = {"Gather": (0,), "Slice": (0, 1)}[taken.op_type]  # the index; start and end
    found = [constant(value) for value in taken.inputs[1 : 1 + len(wanted)]]
    return len(found) == len(wanted) and all(
        x is not None and x.size == 1 and int(x.item()) == w
        for x, w in zip(found, wanted, strict=True)
    )


def _replace(graph: ir.Graph, node: ir.Node) -> bool:
    source, old = node.inputs[0], node.outputs[0]
    flat = ir.Node("", "Flatten", [source], [ir.AttrInt64("axis", 1)], name=node.name)
    flat.outputs[0].name = f"{old.name}_flat"
    flat.outputs[0].type = old.type
    batch = source.shape[0] if source is not None and source.shape is not None else None
    flat.outputs[0].shape = ir.Shape([batch, math.prod(known_dims(source, 1) or [])])
    graph.insert_before(node, flat)
    replace(old, flat.outputs[0])
    graph.remove(node, safe=True)
    return True
