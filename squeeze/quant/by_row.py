"""Products of which each row of the activations is quantised when it is there, with a scale of its own.

For products that one scale for all activations does not serve: where ranges differ from token to token, int8 by row is
near to float, which is where accuracy control would leave them (per-token dynamic quantisation; Yao et al., ZeroQuant,
2022). The runtime computes them in int8 as well, our library in one op.

Cases: MatMul and Gemm of float32 activations of two dimensions or more with a constant matrix, as it is or stored in
       int8, with a constant bias or none.
Left:  transA, alpha and beta other than 1, weights that anybody else reads in another way, products of one dimension.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from squeeze.graph.values import (
    Array,
    add_constant,
    constant,
    graph_of,
    integer,
    is_op,
    producer,
    rank,
    real,
    replace,
    tell_apart,
)
from squeeze.ops.qgemmbyrow import write
from squeeze.quant.ranges.grid import Grid, quantise_weights, weight_scales


def use_rows(model: ir.Model, outputs: Collection[str], grid: Grid) -> list[str]:
    """Replaces, in place, those of the products that give `outputs` that can be computed so; the names of what they
    gave."""
    opset = model.graph.opset_imports[""]
    found = []
    for node in tuple(model.graph):
        if node.outputs and node.outputs[0].name in outputs and (w := _weights(node)) is not None:
            found.append(str(node.outputs[0].name))
            _replace(node, *w, grid, opset)
    if found:
        tell_apart(model)
        RemoveUnusedNodesPass()(model)
    return found


def _weights(node: ir.Node) -> tuple[NDArray[np.float64], Array | None] | None:
    """[outputs, inputs], and the bias."""
    if not is_op(node, "Gemm", "MatMul") or (rank(node.inputs[0]) or 0) < 2:
        return None
    if node.inputs[0] is None or node.inputs[0].dtype != ir.DataType.FLOAT:
        return None
    weights = _numbers(node.inputs[1])
    if weights is None or weights.ndim != 2 or not np.isfinite(weights).all():
        return None
    if is_op(node, "MatMul"):
        return weights.T, None
    factors = (real(node, "alpha", 1.0), real(node, "beta", 1.0))
    given = node.inputs[2] if len(node.inputs) > 2 else None
    bias = _numbers(given)
    if integer(node, "transA", 0) or factors != (1.0, 1.0) or (given is not None and bias is None):
        return None
    return (weights if integer(node, "transB", 0) else weights.T), bias


def _numbers(value: ir.Value | None) -> NDArray[np.float64] | None:
    """Of a constant, or of one that is stored in int8."""
    scaled = producer(value, "Mul")
    if scaled is not None:
        cast, scale = producer(scaled.inputs[0], "Cast"), constant(scaled.inputs[1])
        integers = None if cast is None else constant(cast.inputs[0])
        if integers is None or scale is None:
            return None
        return integers.astype(np.float64) * scale.astype(np.float64)
    found = constant(value)
    return None if found is None or found.dtype != np.float32 else found.astype(np.float64)


class _Nodes:
    """Writes nodes in front of another one of a graph."""

    def __init__(self, graph: ir.Graph, before: ir.Node) -> None:
        self._graph, self._before = graph, before
        self._name = before.name or str(before.outputs[0].name)

    def add(self, op_type: str, *inputs: ir.Value, attributes: Sequence[ir.Attr] = ()) -> ir.Value:
        node = ir.Node("", op_type, inputs, attributes, name=f"{self._name}_{op_type.lower()}")
        node.outputs[0].name = f"{self._name}_{op_type.lower()}"
        self._graph.insert_before(self._before, node)
        return node.outputs[0]

    def constant(self, array: NDArray[Any]) -> ir.Value:  # Any: of any element type
        return add_constant(self._graph, f"{self._name}_constant", array)


def _replace(
    node: ir.Node, weights: NDArray[np.float64], bias: Array | None, grid: Grid, opset: int
) -> None:
    scales = weight_scales(weights, grid)
    columns = np.ascontiguousarray(quantise_weights(weights, scales, grid).T)
    to = _Nodes(graph_of(node), node)
    a, old = node.inputs[0], node.outputs[0]
    assert a is not None  # _weights asks
    shift = None if bias is None else to.constant(bias.astype(np.float32))
    y = write(to, a, to.constant(columns), to.constant(scales), shift, opset)
    y.type, y.shape = old.type, old.shape
    name = old.name
    replace(old, y)
    if not y.is_graph_output():
        old.name, y.name = f"{name}_float", name
    graph_of(node).remove(node, safe=True)
