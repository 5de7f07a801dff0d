"""The halves of a layer, found from what is added to the residual stream: attention, and the two linear layers."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from squeeze.graph.encoder.lookups import summands
from squeeze.graph.encoder.parts import Linear, Weights, linear, unscaled
from squeeze.graph.encoder.relative import is_bias
from squeeze.graph.heads import way_back
from squeeze.graph.qdq import Refused
from squeeze.graph.values import contents, is_op, producer, text


@dataclass(frozen=True)
class Attention:
    """output: [n, s, heads * size], of linear layers that all read `source`. bias: of relative positions, added to the
    scores; None for none."""

    source: ir.Value
    heads: int
    scale: float
    weights: Weights
    bias: ir.Value | None


@dataclass(frozen=True)
class Forward:
    """The two linear layers behind attention."""

    source: ir.Value
    activation: str
    weights: Weights
    width: int


def attention(value: ir.Value | None) -> Attention | None:
    """The attention whose last linear layer gives `value`; None where none does. Raises Refused."""
    out = linear(value)
    if out is None:
        return None
    way = _result(out.source)
    product = None if way is None else producer(way, "MatMul")
    if product is None:
        return None
    softmax = _before(product.inputs[0], "Softmax")
    if softmax is None:
        return None
    scores, scale, bias = _scores(softmax.inputs[0])
    parts: Weights = out.arrays("out")
    source: ir.Value | None = None
    heads = set[int]()
    for name, operand in (
        ("query", scores.inputs[0]),
        ("key", scores.inputs[1]),
        ("value", product.inputs[1]),
    ):
        made, count, factor = _operand(operand)
        if source is not None and made.source is not source:
            raise Refused("queries, keys and values are of different tensors")
        source, scale = made.source, scale * factor
        heads.add(count)
        parts |= made.arrays(name)
    if source is None or len(heads) != 1:
        raise Refused("queries, keys and values have different heads")
    return Attention(source, heads.pop(), scale, parts, bias)


def feed_forward(value: ir.Value | None) -> Forward | None:
    """The two linear layers of which the second gives `value`; None where none does. Raises Refused."""
    down = linear(value)
    if down is None:
        return None
    kinds = set[str]()
    here: list[ir.Value | None] = [down.source]
    while here:
        one = here.pop()
        up = linear(one)
        if up is not None:
            activation = _activation(kinds, down.source)
            parts = up.arrays("up") | down.arrays("down")
            return Forward(up.source, activation, parts, len(up.bias))
        node = None if one is None else one.producer()
        if node is None or node.op_type not in ("Relu", "Gelu", "Mul", "Div", "Add", "Erf", "Tanh"):
            continue
        kinds.add(node.op_type)
        here += [v for v in node.inputs if contents(v) is None]
    return None


def _result(value: ir.Value) -> ir.Value | None:
    """From [n, s, heads * size] over the Reshape and the Transpose that joined the heads to [n, heads, s, size]."""
    reshape = producer(value, "Reshape")
    transpose = None if reshape is None else producer(reshape.inputs[0], "Transpose")
    if transpose is None:
        return None
    # The older exporter takes the shape of what scaled_dot_product_attention gives over to it once more.
    again = producer(transpose.inputs[0], "Reshape")
    return transpose.inputs[0] if again is None else again.inputs[0]


def _operand(value: ir.Value | None) -> tuple[Linear, int, float]:
    """The linear layer that an operand of attention comes from, its heads, and what it is multiplied by."""
    value, factor = unscaled(value)
    if value is None:
        raise Refused("an operand of attention is missing")
    way = way_back(value)
    if way.reshape is None:
        raise Refused("attention is not cut into heads by Reshape and Transpose")
    parts = way.reshape.outputs[0].shape
    made, more = linear(way.reshape.inputs[0]), 1.0
    if made is None:
        source, more = unscaled(way.reshape.inputs[0])
        made = linear(source)
    if made is None:
        raise Refused("queries, keys and values are not linear layers")
    if way.picked is not None:
        count = parts[way.picked] if parts is not None and len(parts) == 5 else None
        if not isinstance(count, int):
            raise Refused("queries, keys and values are not side by side in their layer")
        width = len(made.bias) // count
        rows = slice(way.part * width, (way.part + 1) * width)
        made = Linear(made.source, made.weight[rows], made.bias[rows])
    return made, _heads(len(made.bias), parts), factor * more


def _heads(width: int, parts: ir.Shape | None) -> int:
    """Into how many heads [..., heads, size] cuts `width`; one of the two may be what is left."""
    heads, size = (None, None) if parts is None or len(parts) < 4 else parts[-2:]
    if isinstance(heads, int) and width % heads == 0:
        return heads
    if isinstance(size, int) and width % size == 0:
        return width // size
    raise Refused("the sizes of its heads are not known")


def _scores(value: ir.Value | None) -> tuple[ir.Node, float, ir.Value | None]:
    """The product of queries and keys, what it is multiplied by, and a bias that is added; the mask is left out."""
    added = list(summands(value))
    biases = [one for one in added if is_bias(one)]
    for one in added:
        source, factor = unscaled(one)
        product = producer(source, "MatMul")
        if product is not None and len(biases) <= 1:
            return product, factor, biases[0] if biases else None
    raise Refused("the scores of attention are not a product of two activations")


def _activation(kinds: set[str], value: ir.Value) -> str:
    if "Erf" in kinds:
        return "gelu"
    if "Tanh" in kinds:
        return "gelu-tanh"
    node = producer(value, "Gelu")
    if node is not None:
        return "gelu-tanh" if text(node, "approximate", "none") == "tanh" else "gelu"
    if kinds == {"Relu"}:
        return "relu"
    raise Refused("another activation than GELU or ReLU is between its linear layers")


def _before(value: ir.Value | None, op: str) -> ir.Node | None:
    """The node of type `op` before `value`, over what keeps its numbers."""
    while value is not None and (node := value.producer()) is not None:
        if is_op(node, op):
            return node
        if not is_op(node, "Cast", "Identity", "Where"):
            return None
        # Where(is it a number, 0, it): for rows in which nothing counts.
        value = node.inputs[-1]
    return None
