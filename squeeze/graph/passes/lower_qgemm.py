"""Finds QDQ matrix products which QGemm and its relatives compute, and says why the others are left alone.

Taken: DequantizeLinear (u8) -> MatMul with constant 8-bit weights [k, n], or Gemm, with scales per output or one for
       all; a bias as Gemm's third input or as an Add behind MatMul, int32 or float; any elementwise function behind it
       (Relu, Gelu, ...) as a table, or the addition of a second quantised tensor, up to QuantizeLinear (u8). Where
       none of that follows the result stays float: QGemmReal, with the bias of a Gemm; an Add behind MatMul stays.
Left:  products of two activations, transA, alpha and beta other than 1, weights of other ranks, and float results of
       few weights, as the last layer of most classifiers: the runtime is as fast, and the body of an op takes bytes.
"""

from __future__ import annotations

import contextlib

import onnx_ir as ir

from squeeze.graph.layout import Planned, Unit
from squeeze.graph.product import Product, finish, layer_inputs, with_residuals
from squeeze.graph.qdq import Reasons, Refused, Weights, activation, bias, real_constant, weights
from squeeze.graph.values import integer, is_op, only_user, real

FAMILY = "QGemm"
REAL = "QGemmReal"
# Of all float results together. The body of the op takes 1 KB.
LEAST_REAL_WEIGHTS = 1 << 15


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other products are left alone."""
    products: list[Product] = []
    reals: dict[ir.Node, Planned] = {}
    refused: Reasons = {}
    for node in graph:
        if is_op(node, "Gemm", "MatMul"):
            try:
                products.append(_match(node))
            except Refused as why:
                refused[node] = str(why)
                with contextlib.suppress(Refused):
                    reals[node] = _match_real(node)
    order = {node: i for i, node in enumerate(graph)}
    found: list[Unit] = []
    for product in with_residuals(products, order):
        names = ("a", "b", "gemm")
        found.append(product.planned(FAMILY, "QGemm", names, image=False, attributes={}))
    if sum(_count(plan) for plan in reals.values()) < LEAST_REAL_WEIGHTS:
        return found, refused
    found += [(plan,) for plan in reals.values()]
    return found, {node: why for node, why in refused.items() if node not in reals}


def operands(node: ir.Node) -> tuple[Weights, ir.Value | None, ir.Value]:
    """The weights of a product, its bias in the graph, and its result, bias included. Raises Refused."""
    b = _weights(node)
    given, result = (node.inputs[2] if len(node.inputs) > 2 else None), node.outputs[0]
    if given is None and (added := _added_bias(node)) is not None:
        given, result = added
    return b, given, result


def _weights(node: ir.Node) -> Weights:
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
    return b


def _match(node: ir.Node) -> Product:
    a = activation(node.inputs[0])
    b, given, result = operands(node)
    return finish(node, a, b, bias(given, a.grid.scale, b), result, rounds=False)


def _match_real(node: ir.Node) -> Planned:
    """A product whose result is float. Raises Refused."""
    a, y = activation(node.inputs[0]), node.outputs[0]
    if y.dtype != ir.DataType.FLOAT:
        raise Refused("not float32")
    b = _weights(node)
    int32, rounded = bias(node.inputs[2] if len(node.inputs) > 2 else None, a.grid.scale, b)
    name = node.name or f"{y.name}_{REAL.lower()}"
    inputs = layer_inputs(("a", "b"), a, b, int32)
    return Planned(REAL, REAL, name, node, y, inputs, rounded_bias=rounded)


def _count(real: Planned) -> int:
    b = real.inputs["b"]
    return 0 if isinstance(b, ir.Value) else b.size


def _added_bias(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """The constant, float or dequantised, that an Add right behind the product adds to each row; and the sum."""
    add = only_user(node.outputs[0])
    if add is None or not is_op(add, "Add"):
        return None
    other = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
    stored = real_constant(other)
    if other is None or stored is None or stored.size == 1 or stored.size != stored.shape[-1]:
        return None
    return other, add.outputs[0]
