"""Finds elementwise functions between two 8-bit tensors which QLookup computes, where no layer has taken them.

Taken: DequantizeLinear (u8) -> any function of that one tensor, quantisers inside included -> QuantizeLinear (u8). Who
       else reads the tensor keeps it.
Left:  s8, values inside that somebody else reads, a function that only moves or clips integers.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from squeeze.graph import functions
from squeeze.graph.formulas import formula_of
from squeeze.graph.functions import Function
from squeeze.graph.layout import TO_LAST, Planned, Unit
from squeeze.graph.product import grid_inputs, limits_of
from squeeze.graph.qdq import Quantised, dequantised
from squeeze.graph.values import is_op, rank

FAMILY = "QLookup"


def find(graph: ir.Graph, taken: Collection[ir.Node], made: Collection[ir.Value]) -> list[Unit]:
    """The nodes to be made. taken: what other nodes of ours take the place of; made: what those give."""
    gone, there = set(taken), set(made)
    found: list[Unit] = []
    for node in graph:
        if not is_op(node, "DequantizeLinear") or node in gone:
            continue
        x = dequantised(node.outputs[0])
        if x is None or x.grid.dtype != "uint8":
            continue
        if x.value.producer() in gone and x.value not in there:
            continue  # it is inside of a node of ours
        if (match := _match(node, x, gone)) is not None:
            function, plan = match
            gone.update(function.nodes)
            there.add(plan.y)
            found.append((plan,))
    return found


def _match(node: ir.Node, x: Quantised, gone: set[ir.Node]) -> tuple[Function, Planned] | None:
    """The longest function of `x`, which the DequantizeLinear `node` reads."""
    for function in functions.find(node.outputs[0], shared=True)[::-1]:
        if gone & set(function.nodes) or function.words == functions.NOTHING:
            continue
        formula, table = formula_of(function, x.grid)
        if function.grid == x.grid and limits_of(table) is not None:
            return None
        y = function.end.outputs[0]
        inputs = {"x": x.value} | grid_inputs("x", x.grid) | {"table": table}
        plan = Planned(
            FAMILY,
            FAMILY,
            node.name or f"{y.name}_lookup",
            function.end,
            y,
            inputs | grid_inputs("y", function.grid),
            tied=("x",) if rank(y) in TO_LAST else (),
            formula=formula,
        )
        return function, plan
    return None
