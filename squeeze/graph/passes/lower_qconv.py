"""Finds QDQ convolutions which QConv, QConvAdd and QConvLookup compute, and says why the others are left alone.

Taken: DequantizeLinear (u8) -> Conv of one or two dimensions, 8-bit weights per output channel or per tensor (also as
       uint8, or as float behind a QuantizeLinear), int32, float or no bias, of any group -> QuantizeLinear (u8).
       Relu and Clip before the quantiser are its saturation or, where they are narrower, a table; any other
       elementwise function is a table, exactly behind a quantiser, within one step where it is float.
       With -> DequantizeLinear -> Add (a second quantised tensor of the same shape) -> [Relu | Clip]
       -> QuantizeLinear behind it, both become one QConvAdd.
Left:  activations that are s8 at the border of the graph or have a scale per channel, 3-D, auto_pad that depends on the
       input, values that somebody else reads between Conv and QuantizeLinear.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from squeeze.graph import qdq
from squeeze.graph.layout import Unit
from squeeze.graph.product import Product, finish, with_residuals
from squeeze.graph.qdq import Reasons, Refused, Weights
from squeeze.graph.values import integer, integers, is_op, text

# Grouped and depthwise ones are a family of their own: on some CPUs the runtime is better at the one or the other.
DENSE, GROUPED = "QConv", "grouped QConv"


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other convolutions are left alone.

    Shapes of all values must be known as far as they can be.
    """
    products: list[Product] = []
    refused: Reasons = {}
    for node in graph:
        if is_op(node, "Conv"):
            try:
                products.append(_match(node))
            except Refused as why:
                refused[node] = str(why)
    order = {node: i for i, node in enumerate(graph)}
    found: list[Unit] = []
    for product in with_residuals(products, order):
        given = attributes(product.node, len(product.w.integers.shape) - 2)
        family = DENSE if given["group"] == 1 else GROUPED
        names = ("x", "w", "conv")
        found.append(product.planned(family, "QConv", names, image=True, attributes=given))
    return found, refused


def operands(conv: ir.Node) -> Weights:
    """The weights of a convolution whose other attributes the ops take too. Raises Refused."""
    w = qdq.weights(conv.inputs[1], 0)
    dims = w.integers.ndim
    if dims not in (3, 4):
        raise Refused(f"weights of rank {dims}, not 3 or 4")
    if (auto_pad := text(conv, "auto_pad", "NOTSET")) != "NOTSET":
        raise Refused(f"auto_pad {auto_pad} of sizes that vary")
    return w


def attributes(conv: ir.Node, dims: int) -> dict[str, Sequence[int] | int]:
    """Those of the op, but for the layout."""
    return {
        "strides": integers(conv, "strides") or [1] * dims,
        "pads": integers(conv, "pads") or [0] * 2 * dims,
        "dilations": integers(conv, "dilations") or [1] * dims,
        "group": integer(conv, "group", 1),
    }


def _match(conv: ir.Node) -> Product:
    x = qdq.activation(conv.inputs[0])
    w = operands(conv)
    bias = qdq.bias(conv.inputs[2] if len(conv.inputs) > 2 else None, x.grid.scale, w)
    return finish(conv, x, w, bias, conv.outputs[0], rounds=True)
