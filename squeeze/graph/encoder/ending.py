"""What follows the last layer of an encoder: which tokens are pooled, linear layers, division by the norm."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from squeeze.graph.encoder.parts import Weights, linear
from squeeze.graph.values import is_op

Json = dict[str, Any]  # Any: JSON

_NORMS = ("ReduceL2", "LpNormalization")
_TAIL_ACTIVATIONS = {"Gelu": "gelu", "Relu": "relu", "Tanh": "tanh"}


def read_ending(x: ir.Value, output: ir.Value) -> tuple[Json, Weights]:
    """Parameters and weights of pooling and of what follows, from the states `x` to `output`."""
    after = _readers(x)
    whole = output.shape
    pooling = "mean"
    if whole is not None and len(whole) == 3:
        pooling = "none"
    elif any(is_op(node, "Gather", "Slice") and node.inputs[0] is x for node in after):
        pooling = "first"
    tail: list[Json] = []
    weights: Weights = {}
    normed = {"normalise": False, "normalise_pooled": False}
    for node in after:
        if node.op_type in _NORMS:
            normed["normalise" if tail else "normalise_pooled"] = True
        made = linear(node.outputs[0]) if is_op(node, "Gemm", "MatMul") else None
        if made is None:
            continue
        end = node.outputs[0]
        biased = next((u.node for u in end.uses() if is_op(u.node, "Add")), None)
        if biased is not None and (more := linear(biased.outputs[0])) is not None:
            made, end = more, biased.outputs[0]
        kinds = {u.node.op_type for u in end.uses()} & set(_TAIL_ACTIVATIONS)
        activation = _TAIL_ACTIVATIONS[kinds.pop()] if kinds else "none"
        weights |= made.arrays(f"tail.{len(tail)}")
        tail.append({"outputs": len(made.bias), "activation": activation})
    if not tail and normed["normalise_pooled"]:
        normed = {"normalise": True, "normalise_pooled": False}
    return {"pooling": pooling, "tail": tail, **normed}, weights


def _readers(value: ir.Value) -> list[ir.Node]:
    """Every node that what `value` says goes into, in the order in which they run."""
    seen: dict[ir.Node, None] = {}
    here = [value]
    while here:
        for use in here.pop().uses():
            if use.node not in seen:
                seen[use.node] = None
                here += list(use.node.outputs)
    graph = value.graph
    return [node for node in graph if node in seen] if isinstance(graph, ir.Graph) else []
