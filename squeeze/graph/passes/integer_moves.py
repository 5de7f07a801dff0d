"""Lets operators that only move numbers work on the integers, so that Q and DQ stand beside what computes.

Cases: move -> QuantizeLinear becomes QuantizeLinear -> move; DequantizeLinear -> move becomes move -> DequantizeLinear;
       DequantizeLinear -> QuantizeLinear on one grid vanishes. Moves are Flatten, Reshape, Squeeze, Unsqueeze,
       Transpose, Slice, Gather of constant places, MaxPool, and Pad with zeros, which then fills in the zero point.
       Exact: quantisation works number by number and keeps order.
Left:  scales per channel, moves that somebody else reads in between, MaxPool with indices, Pad with other numbers,
       outputs of the graph, and what reads a constant or an input of the graph.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.qdq import grid_of
from squeeze.graph.values import (
    add_constant,
    constant,
    is_op,
    only_user,
    producer,
    replace,
    text,
)

MOVES = (
    "Flatten",
    "Gather",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
MAX_ROUNDS = 20  # as many moves in a row


def integer_moves(model: ir.Model) -> int:
    """How many operators now work on integers."""
    moved = 0
    for _ in range(MAX_ROUNDS):
        before = moved
        for node in tuple(model.graph):
            if node.graph is None:
                continue
            if is_op(node, *MOVES) and len(node.outputs) == 1 and _moves(node):
                moved += _quantise_before(model.graph, node) or _dequantise_after(model.graph, node)
            elif is_op(node, "QuantizeLinear"):
                _cancel(model.graph, node)
        if moved == before:
            break
    for node in tuple(model.graph):
        if is_op(node, "QuantizeLinear"):
            _cancel(model.graph, node)
    return moved


def _quantise_before(graph: ir.Graph, move: ir.Node) -> bool:
    """move -> Q becomes Q -> move."""
    quantise = only_user(move.outputs[0])
    if quantise is None or not is_op(quantise, "QuantizeLinear") or grid_of(quantise) is None:
        return False
    source, old = move.inputs[0], quantise.outputs[0]
    if source is None or source.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
        return False
    integers = ir.Node(
        "", "QuantizeLinear", [source, *quantise.inputs[1:]], quantise.attributes.values()
    )
    integers.name = integers.outputs[0].name = f"{old.name}_before_{move.op_type.lower()}"
    integers.outputs[0].type, integers.outputs[0].shape = old.type, source.shape
    moved = _again(graph, move, integers.outputs[0], old, quantise)
    graph.insert_before(move, [integers, moved])
    replace(old, moved.outputs[0])
    graph.remove([quantise, move], safe=True)
    return True


def _dequantise_after(graph: ir.Graph, move: ir.Node) -> bool:
    """DQ -> move becomes move -> DQ."""
    dequantise = producer(move.inputs[0], "DequantizeLinear")
    old = move.outputs[0]
    if dequantise is None or dequantise.inputs[0] is None or old.is_graph_output():
        return False
    if dequantise.inputs[0].producer() is None:  # weights, or an input of the graph
        return False
    if grid_of(dequantise) is None:
        return False
    moved = _again(graph, move, dequantise.inputs[0], old, dequantise)
    moved.outputs[0].name = f"{old.name}_integers"
    moved.outputs[0].type = dequantise.inputs[0].type
    real = ir.Node(
        "",
        "DequantizeLinear",
        [moved.outputs[0], *dequantise.inputs[1:]],
        dequantise.attributes.values(),
    )
    real.name = real.outputs[0].name = f"{old.name}_dequantised"
    real.outputs[0].type, real.outputs[0].shape = old.type, old.shape
    graph.insert_before(move, [moved, real])
    replace(old, real.outputs[0])
    graph.remove(move, safe=True)
    return True


def _moves(node: ir.Node) -> bool:
    if is_op(node, "Gather"):  # parts of a tensor; an embedding has computed places
        return constant(node.inputs[1]) is not None
    return _pads_zero(node)


def _pads_zero(node: ir.Node) -> bool:
    if not is_op(node, "Pad") or len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    value = constant(node.inputs[2])
    return value is not None and not value.any()


def _again(
    graph: ir.Graph, move: ir.Node, source: ir.Value, old: ir.Value, quantiser: ir.Node
) -> ir.Node:
    """`move` on the integers of `quantiser`."""
    inputs = [source, *move.inputs[1:]]
    if is_op(move, "Pad") and text(move, "mode", "constant") == "constant":
        grid = grid_of(quantiser)
        assert grid is not None  # both callers looked
        zero = add_constant(graph, f"{old.name}_fill", grid.constants()[1])
        inputs = [source, move.inputs[1], zero, *move.inputs[3:]]
    node = ir.Node("", move.op_type, inputs, move.attributes.values())
    node.name = move.name
    node.outputs[0].name = f"{old.name}_moved"
    node.outputs[0].type, node.outputs[0].shape = old.type, move.outputs[0].shape
    return node


def _cancel(graph: ir.Graph, quantise: ir.Node) -> None:
    """Q of DQ on the same grid gives back the integers."""
    dequantise = producer(quantise.inputs[0], "DequantizeLinear")
    if dequantise is None or dequantise.inputs[0] is None:
        return
    grid, source, result = grid_of(quantise), dequantise.inputs[0], quantise.outputs[0]
    if grid is None or grid != grid_of(dequantise):
        return
    if result.is_graph_output() and (source.producer() is None or source.is_graph_output()):
        return
    replace(result, source)
    graph.remove(quantise, safe=True)
