"""Finds QDQ matrix products which QGemm, QGemmAdd and QGemmLookup compute, and says why the others are left alone.

Taken: DequantizeLinear (u8) -> MatMul with constant 8-bit weights [k, n], or Gemm, with scales per output or one for
       all; a bias as Gemm's third input or as an Add behind MatMul, int32 or float; any elementwise function behind it
       (Relu, Gelu, ...) as a table, or the addition of a second quantised tensor, up to QuantizeLinear (u8).
Left:  products of two activations, transA, alpha and beta other than 1, results that stay float, as the last layer of
       most classifiers, weights of other ranks.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.layout import Unit
from squeeze.graph.product import Product, finish, with_residuals
from squeeze.graph.qdq import Reasons, Refused, Weights, activation, bias, weights
from squeeze.graph.values import constant, integer, is_op, only_user, producer, real

FAMILY = "QGemm"


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other products are left alone."""
    products: list[Product] = []
    refused: Reasons = {}
    for node in graph:
        if is_op(node, "Gemm", "MatMul"):
            try:
                products.append(_match(node))
            except Refused as why:
                refused[node] = str(why)
    order = {node: i for i, node in enumerate(graph)}
    found: list[Unit] = []
    for product in with_residuals(products, order):
        names = ("a", "b", "gemm")
        found.append(product.planned(FAMILY, "QGemm", names, image=False, attributes={}))
    return found, refused


def operands(node: ir.Node) -> tuple[Weights, ir.Value | None, ir.Value]:
    """The weights of a product, its bias in the graph, and its result, bias included. Raises Refused."""
    if is_op(node, "Gemm"):
        if integer(node, "transA", 0) or (real(node, "alpha", 1.0), real(node, "beta", 1.0)) != (
            1.0,
            1.0,
        ):
            raise Refused("Gemm with transA, alpha or beta")
        transposed = integer(node, "transB", 0)
    else:
        transposed = 0
    b = weights(node.inputs[1], 0 if transposed else 1)
    if b.integers.ndim != 2:
        raise Refused(f"weights of rank {b.integers.ndim}, not 2")
    given, result = (node.inputs[2] if len(node.inputs) > 2 else None), node.outputs[0]
    if given is None and (added := _added_bias(node)) is not None:
        given, result = added
    return b, given, result


def _match(node: ir.Node) -> Product:
    a = activation(node.inputs[0])
    b, given, result = operands(node)
    return finish(node, a, b, bias(given, a.grid.scale, b), result, rounds=False)


def _added_bias(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """The constant, float or dequantised, that an Add right behind the product adds to each row; and the sum."""
    add = only_user(node.outputs[0])
    if add is None or not is_op(add, "Add"):
        return None
    other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
    dequantise = producer(other, "DequantizeLinear")
    stored = constant(dequantise.inputs[0] if dequantise is not None else other)
    if other is None or stored is None or stored.size == 1 or stored.size != stored.shape[-1]:
        return None
    return other, add.outputs[0]
