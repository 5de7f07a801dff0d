"""Leaves out quantisers around what is computed in float all the same, as tools put them around every operator.

    MatMul -> [Q -> DQ] -> Add of a row                 a product and its bias
    [Q -> DQ] between the parts of a normalisation, and in front of it
    [Q -> DQ] -> Add -> normalisation                   both tensors of a residual sum

A product with its bias, and a residual sum with its normalisation, are one node of ours each, which rounds once; no
runtime has an integer form of a normalisation either. Numbers are nearer to float than before, by half a step of each
quantiser that went. Who else reads a rounded tensor still has it.

Cases: layer normalisation and that by the root mean square, in one node or in parts; a product whose sum with the bias
       is quantised at once, or goes into such a residual sum or into a function that is quantised.
Left:  products of few weights before a residual sum (`lower_qgemm` makes none with float results of them); quantisers
       that begin or end at 0, which may do the work of a Relu; steps that are much coarser than those behind the bias;
       other operators before a residual sum than transformers have there.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from squeeze.graph import functions
from squeeze.graph.formulas import MOST_MOVED
from squeeze.graph.layer_norm import layer_norm
from squeeze.graph.passes.lower_qgemm import LEAST_REAL_WEIGHTS
from squeeze.graph.qdq import Refused, grid_of, real_constant, weights
from squeeze.graph.requantised import before, quantiser
from squeeze.graph.rms_norm import rms_norm
from squeeze.graph.values import is_op, only_user, producer

# What stands before a sum that is normalised, besides products and their biases.
_STREAMS = ("Add", "Gather", "LayerNormalization", "Mul", "RMSNormalization")
_Place = tuple[ir.Node, int]  # an input of a node


def float_inside(model: ir.Model) -> int:
    """How many operators read float numbers now that were rounded before."""
    places = [norm for node in model.graph if (norm := _norm(node))]
    done = sum(_reads_float(*place) for norm in places for place in norm)
    sums = list(dict.fromkeys(add for norm in places if (add := _sum(norm)) is not None))
    enough = _weights_before(sums) >= LEAST_REAL_WEIGHTS
    for add in sums:
        for index, value in enumerate(add.inputs):
            if _is_stream(value, products=enough):
                done += _reads_float(add, index)
    for node in model.graph:
        if is_op(node, "MatMul"):
            done += _joins_bias(node, sums if enough else ())
    return done


def _norm(node: ir.Node) -> list[_Place]:
    """Where the parts of the normalisation that ends with `node` read each other and its source."""
    if is_op(node, "LayerNormalization"):
        return [] if _may_be_relu(node.inputs[0]) else [(node, 0)]
    found = layer_norm(node) or rms_norm(node)
    if found is None:
        return []
    inside = {n.outputs[0] for n in found.nodes}
    places = [(n, i) for n in found.nodes for i in range(len(n.inputs))]
    return [
        (n, i)
        for n, i in places
        if (source := before(n.inputs[i])) in inside
        or (source is found.source and not _may_be_relu(n.inputs[i]))
    ]


def _reads_float(node: ir.Node, index: int) -> bool:
    value = node.inputs[index]
    real = before(value)
    if real is not value:
        node.replace_input_with(index, real)
    return real is not value


def _sum(norm: Collection[_Place]) -> ir.Node | None:
    """The Add of two computed tensors that is normalised."""
    inside = {node for node, _ in norm}
    for node, index in norm:
        add = producer(node.inputs[index], "Add")
        if add is not None and add not in inside:
            return add if all(real_constant(v) is None for v in add.inputs) else None
    return None


def _is_stream(value: ir.Value | None, *, products: bool) -> bool:
    """Whether `value` is a rounded tensor that a sum may read as it was before; of products only where `products`."""
    source = before(value)
    made = None if source is None else source.producer()
    if made is None or _may_be_relu(value):
        return False
    return products if _product(made) is not None else is_op(made, *_STREAMS)


def _may_be_relu(value: ir.Value | None) -> bool:
    """Whether a quantiser behind `value` has numbers of one sign alone, or is not known."""
    while (quantise := quantiser(value)) is not None:
        grid = grid_of(quantise)
        if grid is None or grid.zero_point in (grid.least, grid.most):
            return True
        value = quantise.inputs[0]
    return False


def _product(made: ir.Node) -> ir.Node | None:
    """The product with constant weights that `made` is, or adds the bias to."""
    if is_op(made, "Add"):
        sides = [a for a, b in (made.inputs, made.inputs[::-1]) if real_constant(b) is not None]
        source = before(sides[0]) if sides else None
        inner = None if source is None else source.producer()
        made = made if inner is None else inner
    return made if is_op(made, "MatMul", "Gemm") and _count(made) else None


def _count(product: ir.Node) -> int:
    """How many constant weights of 8 bits it has."""
    try:
        return weights(product.inputs[1], -1).integers.size
    except Refused:
        return 0


def _weights_before(sums: Collection[ir.Node]) -> int:
    """Of the products that `sums` add."""
    sources = [source for add in sums for v in add.inputs if (source := before(v)) is not None]
    makers = [made for source in sources if (made := source.producer()) is not None]
    products = {product for made in makers if (product := _product(made)) is not None}
    return sum(_count(product) for product in products)


def _joins_bias(product: ir.Node, sums: Collection[ir.Node]) -> bool:
    """Whether the bias is added to the product itself now."""
    first = only_user(product.outputs[0])
    dequantise = None if first is None else only_user(first.outputs[0])
    add = None if dequantise is None else only_user(dequantise.outputs[0])
    if first is None or dequantise is None or add is None or not is_op(add, "Add"):
        return False
    index = int(add.inputs[1] is dequantise.outputs[0])
    row = real_constant(add.inputs[1 - index])
    if quantiser(add.inputs[index]) is not first or row is None or row.size in (0, 1):
        return False
    grid = grid_of(first)
    if grid is None or row.size != row.shape[-1] or _may_be_relu(add.inputs[index]):
        return False
    user = only_user(add.outputs[0])
    behind = grid_of(user) if user is not None and is_op(user, "QuantizeLinear") else None
    if behind is not None:
        fits = grid.scale <= 2 * MOST_MOVED * behind.scale
    else:
        fits = user in sums or bool(functions.find(add.outputs[0]))
    return fits and _count(product) > 0 and _reads_float(add, index)
