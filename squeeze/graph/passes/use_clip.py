"""Writes a limit from above or below as Clip, which quantisers absorb and runtimes fuse.

    Min(Max(x, a), b)  ->  Clip(Clip(x, a), b)  ->  Clip(x, a, b)

Cases: Min and Max of a float value and constants that are one number each, in any order, also one of the two alone; a
       Clip of nothing but a Clip that others do not read, whose ranges meet.
Left:  Min and Max of two values, limits that vary or are not finite, ranges with nothing in common.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from squeeze.graph.values import add_constant, constant, is_op, only_user, producer, rank, replace

# Clip takes its limits as inputs since then.
LEAST_OPSET = 11


def use_clip(model: ir.Model) -> bool:
    """True when a node was replaced."""
    if model.graph.opset_imports.get("", 0) < LEAST_OPSET:
        return False
    changed = [_to_clip(model.graph, n) for n in tuple(model.graph) if is_op(n, "Max", "Min")]
    changed += [_join(model.graph, n) for n in tuple(model.graph) if is_op(n, "Clip")]
    return any(changed)


def _to_clip(graph: ir.Graph, node: ir.Node) -> bool:
    values = [v for v in node.inputs if v is not None and constant(v) is None]
    limits = [c for v in node.inputs if (c := constant(v)) is not None]
    if len(values) != 1 or not limits or values[0].dtype != ir.DataType.FLOAT:
        return False
    dims = rank(values[0])
    if any(c.size != 1 or (c.ndim and (dims is None or c.ndim > dims)) for c in limits):
        return False
    numbers = [float(c.item()) for c in limits]
    if not all(math.isfinite(n) for n in numbers):
        return False
    low, high = (max(numbers), math.inf) if is_op(node, "Max") else (-math.inf, min(numbers))
    _put(graph, node, values[0], low, high)
    return True


def _join(graph: ir.Graph, node: ir.Node) -> bool:
    before = producer(node.inputs[0], "Clip")
    if before is None or only_user(before.outputs[0]) is not node:
        return False
    outer, inner = _limits(node), _limits(before)
    source = before.inputs[0]
    if outer is None or inner is None or source is None:
        return False
    low, high = max(outer[0], inner[0]), min(outer[1], inner[1])
    if low > high:
        return False
    _put(graph, node, source, low, high)
    graph.remove(before, safe=True)
    return True


def _limits(node: ir.Node) -> tuple[float, float] | None:
    """(least, most) of a Clip of float numbers; None where they are computed or absent by attribute."""
    if "min" in node.attributes or "max" in node.attributes:
        return None
    if node.inputs[0] is None or node.inputs[0].dtype != ir.DataType.FLOAT:
        return None
    found = []
    for index, absent in ((1, -math.inf), (2, math.inf)):
        value = node.inputs[index] if len(node.inputs) > index else None
        given = constant(value)
        if value is not None and given is None:
            return None
        found.append(absent if given is None else float(given.item()))
    return found[0], found[1]


def _put(graph: ir.Graph, node: ir.Node, source: ir.Value, low: float, high: float) -> None:
    """A Clip of `source` in the place of `node`."""
    old = node.outputs[0]
    limits: list[ir.Value | None] = [
        None
        if limit == absent
        else add_constant(graph, f"{old.name}_{name}", np.asarray(limit, np.float32))
        for name, limit, absent in (("least", low, -math.inf), ("most", high, math.inf))
    ]
    made = ir.Node("", "Clip", [source, *limits], name=node.name)
    new = made.outputs[0]
    new.name, new.type, new.shape = f"{old.name}_limited", old.type, old.shape
    graph.insert_before(node, made)
    replace(old, new)
    graph.remove(node, safe=True)
