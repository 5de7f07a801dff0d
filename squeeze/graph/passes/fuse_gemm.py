"""Writes a matrix product with constant weights, and the bias behind it, as one plain Gemm.

Cases: MatMul of an activation [m, k] with constant weights [k, n]; Add of a constant [n], [1, n] or a single number
       behind MatMul or behind a Gemm without bias, in either order; alpha and beta, which go into weights and bias; a
       bias [1, n], or one number for all outputs, which becomes one number per output; a constant bias that varies with
       the row, which becomes an Add behind the product; transA, which becomes a Transpose in front of it.
Left:  products of rank 3 and more, weights that are computed.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.linear import output_channels, scale_output
from squeeze.graph.values import (
    add_constant,
    constant,
    integer,
    is_op,
    only_user,
    rank,
    real,
    replace,
)


def fuse_gemm(model: ir.Model) -> bool:
    """True when a product was rewritten."""
    changed = [_to_gemm(model.graph, node) for node in tuple(model.graph) if is_op(node, "MatMul")]
    for step in (_add_bias, _split_bias, _transpose_first, _to_plain):
        changed += [step(model.graph, node) for node in tuple(model.graph) if is_op(node, "Gemm")]
    return any(changed)


def _to_gemm(graph: ir.Graph, node: ir.Node) -> bool:
    weights = constant(node.inputs[1])
    if rank(node.inputs[0]) != 2 or weights is None or weights.ndim != 2:
        return False
    gemm = ir.Node("", "Gemm", list(node.inputs), name=node.name)
    _take_over(gemm.outputs[0], node.outputs[0], "gemm")
    graph.insert_before(node, gemm)
    replace(node.outputs[0], gemm.outputs[0])
    graph.remove(node, safe=True)
    return True


def _add_bias(graph: ir.Graph, gemm: ir.Node) -> bool:
    add = only_user(gemm.outputs[0])
    if (
        add is None
        or not is_op(add, "Add")
        or (len(gemm.inputs) > 2 and gemm.inputs[2] is not None)
    ):
        return False
    weights = constant(gemm.inputs[1])
    other = add.inputs[1] if add.inputs[0] is gemm.outputs[0] else add.inputs[0]
    bias = constant(other)
    if weights is None or bias is None or other is None:
        return False
    outputs = weights.shape[0 if integer(gemm, "transB", 0) else 1]
    # Only a bias of rank 2 at most, with one row, leaves the shape [m, n] as it is.
    if bias.ndim > 2 or (bias.size != 1 and bias.shape not in ((outputs,), (1, outputs))):
        return False
    row = np.broadcast_to(bias.reshape(-1), (outputs,))
    value = add_constant(graph, f"{other.name}_bias", row.astype(weights.dtype))
    fused = ir.Node(
        "",
        "Gemm",
        [gemm.inputs[0], gemm.inputs[1], value],
        gemm.attributes.values(),
        name=gemm.name,
    )
    _take_over(fused.outputs[0], add.outputs[0], "gemm")
    graph.insert_before(add, fused)
    replace(add.outputs[0], fused.outputs[0])
    graph.remove([add, gemm], safe=True)
    return True


def _split_bias(graph: ir.Graph, gemm: ir.Node) -> bool:
    """A bias [m, n] or [m, 1] goes into an Add of its own."""
    weights = constant(gemm.inputs[1])
    bias = constant(gemm.inputs[2]) if len(gemm.inputs) > 2 else None
    if weights is None or bias is None or bias.ndim != 2 or bias.shape[0] == 1:
        return False
    old = gemm.outputs[0]
    factor = real(gemm, "beta", 1.0)
    rows = add_constant(
        graph, f"{old.name}_rows", np.asarray(bias.astype(np.float64) * factor, bias.dtype)
    )
    attributes = [a for name, a in gemm.attributes.items() if name != "beta"]
    product = ir.Node("", "Gemm", gemm.inputs[:2], attributes, name=gemm.name)
    _take_over(product.outputs[0], old, "product")
    add = ir.Node("", "Add", [product.outputs[0], rows], name=f"{gemm.name or old.name}_rows")
    _take_over(add.outputs[0], old, "sum")
    graph.insert_before(gemm, (product, add))
    replace(old, add.outputs[0])
    graph.remove(gemm, safe=True)
    return True


def _transpose_first(graph: ir.Graph, gemm: ir.Node) -> bool:
    """A product of the transposed first operand."""
    source = gemm.inputs[0]
    if not integer(gemm, "transA", 0) or source is None:
        return False
    if constant(gemm.inputs[1]) is None:
        return False
    swap = ir.Node("", "Transpose", [source], [ir.AttrInt64s("perm", [1, 0])])
    swap.name = f"{gemm.name or gemm.outputs[0].name}_swap"
    swap.outputs[0].name, swap.outputs[0].type = f"{gemm.outputs[0].name}_swapped", source.type
    if source.shape is not None:
        swap.outputs[0].shape = ir.Shape(list(source.shape)[::-1])
    graph.insert_before(gemm, swap)
    gemm.attributes.pop("transA", None)
    gemm.replace_input_with(0, swap.outputs[0])
    return True


def _to_plain(graph: ir.Graph, gemm: ir.Node) -> bool:
    channels = output_channels(gemm)
    bias = constant(gemm.inputs[2]) if len(gemm.inputs) > 2 else None
    factors = real(gemm, "alpha", 1.0), real(gemm, "beta", 1.0)
    if channels is None or (factors == (1.0, 1.0) and (bias is None or bias.shape == (channels,))):
        return False
    scale_output(graph, gemm, np.ones(channels), np.zeros(channels))
    return True


def _take_over(new: ir.Value, old: ir.Value, suffix: str) -> None:
    new.name, new.type, new.shape = f"{old.name}_{suffix}", old.type, old.shape
