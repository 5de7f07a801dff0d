"""Makes every 8-bit activation unsigned: the zero point moves by 128, and each number means what it meant.

Our kernels multiply u8 by s8, and the stock runtime fuses no operator that reads the one and writes the other, which
is what nncf's default gives it. Exact.

Cases: s8 tensors between QuantizeLinear and DequantizeLinear with constant zero points, of one scale or one per
       channel, also through operators that only move integers (MaxPool, Flatten, Reshape, Transpose, Squeeze,
       Unsqueeze, Slice, Split, Pad with a constant, Concat, Identity).
Left:  s8 tensors that enter or leave the graph; constants (weights); tensors that any other operator reads or makes,
       and those which move together with them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.values import add_constant, constant, is_op

MOVING = (
    "Concat",
    "Flatten",
    "Identity",
    "MaxPool",
    "Pad",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)


def u8_activations(model: ir.Model) -> int:
    """How many tensors became u8."""
    graph, done = model.graph, 0
    seen: set[ir.Value] = set()
    for node in tuple(graph):
        start = node.outputs[0]
        if is_op(node, "QuantizeLinear") and start.dtype == ir.DataType.INT8 and start not in seen:
            group = _moving_together(start)
            seen.update(group)
            if all(_is_free(value) for value in group):
                for value in group:
                    value.type = ir.TensorType(ir.DataType.UINT8)
                nodes = {n for v in group for n in (v.producer(), *(u for u, _ in v.uses())) if n}
                for changed in nodes:
                    _shift(graph, changed)
                done += len(group)
    return done


def _moving_together(start: ir.Value) -> set[ir.Value]:
    """`start` and all tensors that have its integers, forwards and backwards through operators that move them."""
    group, waiting = {start}, [start]
    while waiting:
        value = waiting.pop()
        made, near = value.producer(), list[ir.Value | None]()
        if made is not None and is_op(made, *MOVING):
            near += _carried(made)
        for user, index in value.uses():
            if is_op(user, *MOVING) and (index == 0 or is_op(user, "Concat")):
                near += _carried(user)
        for other in near:
            if other is not None and other not in group:
                group.add(other)
                waiting.append(other)
    return group


def _carried(node: ir.Node) -> list[ir.Value | None]:
    inputs = list(node.inputs) if is_op(node, "Concat") else list(node.inputs[:1])
    outputs = list(node.outputs[:1]) if is_op(node, "MaxPool") else list(node.outputs)
    return [*inputs, *outputs]


def _is_free(value: ir.Value) -> bool:
    made = value.producer()
    if value.is_graph_input() or value.is_graph_output() or made is None:
        return False
    if value.dtype not in (ir.DataType.INT8, None):
        return False
    if not is_op(made, *MOVING, "QuantizeLinear") or not _is_known(made):
        return False
    for user, index in value.uses():
        reads = is_op(user, "DequantizeLinear") or (
            is_op(user, *MOVING) and (index == 0 or is_op(user, "Concat"))
        )
        if not reads or not _is_known(user):
            return False
    return True


def _is_known(node: ir.Node) -> bool:
    """Whether what has to be shifted at this node is a constant."""
    if is_op(node, "Pad"):
        return len(node.inputs) > 2 and constant(node.inputs[2]) is not None
    if is_op(node, "QuantizeLinear", "DequantizeLinear"):
        given = len(node.inputs) > 2 and node.inputs[2] is not None
        # Without a zero point there has to be a scale to take the shape from.
        return constant(node.inputs[2 if given else 1]) is not None
    return True


def _shift(graph: ir.Graph, node: ir.Node) -> None:
    if not is_op(node, "QuantizeLinear", "DequantizeLinear", "Pad"):
        return
    given = node.inputs[2] if len(node.inputs) > 2 else None
    old = constant(given)
    if old is None:
        scale = constant(node.inputs[1])
        assert scale is not None  # _is_known
        old = np.zeros(scale.shape, np.int8)
    name = str(given.name) if given is not None else f"{node.outputs[0].name}_zero_point"
    known = graph.initializers.get(f"{name}_u8")
    new = (old.astype(np.int16) + 128).astype(np.uint8)
    reused = constant(known)
    if known is None or reused is None or not np.array_equal(reused, new):
        known = add_constant(graph, f"{name}_u8", new)
    node.resize_inputs(max(3, len(node.inputs)))
    node.replace_input_with(2, known)
    if "output_dtype" in node.attributes:
        node.attributes.pop("output_dtype")
