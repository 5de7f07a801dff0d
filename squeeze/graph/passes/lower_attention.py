"""Finds attention of 8-bit queries, keys and values, which QAttention computes.

Taken: Reshape of u8 [b, s, heads * size] to [b, s, heads, size] -> Transpose to [b, heads, s, size] of q, k and v, k
       turned to [b, heads, size, t]; also of one tensor [b, s, 3 * heads * size], of which q, k and v are parts ->
       DequantizeLinear -> MatMul of q and k, times or divided by a number, perhaps before -> Add of a mask that is the
       same for all heads -> Softmax over keys -> QuantizeLinear and DequantizeLinear -> MatMul with v ->
       QuantizeLinear -> Transpose -> Reshape back. Quantisers between the product and Softmax are left out.
Left:  products that stay float, other layouts, sizes of heads that are not known, a mask for
       each head, values in between that somebody else reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from squeeze.graph.layout import Planned, Unit
from squeeze.graph.product import grid_inputs
from squeeze.graph.qdq import Array, Grid, Quantised, Reasons, Refused, dequantised, grid_of
from squeeze.graph.values import constant, integer, integers, is_op, only_user, producer, rank
from squeeze.ops.qattention import HEADS_FIRST, TURNED

FAMILY = "QAttention"


@dataclass(frozen=True)
class _Operand:
    """A tensor [b, length, heads * size] before it is cut into heads."""

    value: ir.Value
    grid: Grid
    heads: int
    factor: float = 1.0  # it is multiplied by
    cut: tuple[int, int] | None = None  # of these places of its last axis alone

    def planned(self, name: str, like: Planned) -> Planned | None:
        """The node that cuts it out for the attention `like`."""
        if self.cut is None:
            return None
        rows = None if self.value.shape is None else self.value.shape[:2]
        shape = None if rows is None else ir.Shape([*rows, self.cut[1] - self.cut[0]])
        made = ir.Value(name=f"{like.name}_{name}", type=self.value.type, shape=shape)
        places = {
            key: np.array([place], np.int64)
            for key, place in zip(("starts", "ends", "axes"), (*self.cut, 2), strict=True)
        }
        inputs: dict[str, ir.Value | Array] = {"data": self.value, **places}
        return Planned(
            FAMILY, "Slice", f"{like.name}_cut_{name}", like.last, made, inputs, domain=""
        )


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other attention of 8-bit tensors is left alone."""
    found: list[Unit] = []
    refused: Reasons = {}
    for node in graph:
        if is_op(node, "Softmax") and _is_quantised(node):
            try:
                found.append(_match(node))
            except Refused as why:
                refused[node] = f"attention: {why}"
    return found, refused


def _is_quantised(softmax: ir.Node) -> bool:
    user = only_user(softmax.outputs[0])
    return user is not None and is_op(user, "QuantizeLinear")


def _match(softmax: ir.Node) -> Unit:
    if integer(softmax, "axis", -1) not in (-1, 3) or rank(softmax.outputs[0]) != 4:
        raise Refused("its Softmax is not over the last of four dimensions")
    p, product = _probabilities(softmax)
    scores, mask, factor = _scores(softmax.inputs[0])
    q, k = _operand(scores.inputs[0], HEADS_FIRST), _operand(scores.inputs[1], TURNED)
    v = _operand(product.inputs[1], HEADS_FIRST)
    if not q.heads == k.heads == v.heads or v.factor != 1:
        raise Refused("queries, keys and values do not have the same heads")
    factor *= q.factor * k.factor
    if not (np.isfinite(factor) and factor > 0):
        raise Refused("its scores are not multiplied by a positive number")
    last, y = _result(product, v)
    name = softmax.name or f"{y.value.name}_attention"
    inputs: dict[str, ir.Value | Array] = {}
    for key, operand in (("q", q), ("k", k), ("v", v)):
        inputs |= {key: operand.value} | grid_inputs(key, operand.grid)
    inputs["score_scale"] = np.asarray(factor, np.float32)
    inputs["mask"] = np.zeros((), np.float32) if mask is None else mask
    inputs |= grid_inputs("p", p) | grid_inputs("y", y.grid)
    made = Planned(
        FAMILY, "QAttention", name, last, y.value, inputs, {"split": (0, 0, q.heads, -1)}
    )
    cuts = {key: o.planned(key, made) for key, o in (("q", q), ("k", k), ("v", v))}
    there = {key: plan for key, plan in cuts.items() if plan is not None}
    return (*there.values(), replace(made, inputs=inputs | {k: p.y for k, p in there.items()}))


def _probabilities(softmax: ir.Node) -> tuple[Grid, ir.Node]:
    """How they are quantised, and their product with the values. Raises Refused."""
    quantise = only_user(softmax.outputs[0])
    assert quantise is not None  # _is_quantised
    grid, dequantise = grid_of(quantise), only_user(quantise.outputs[0])
    product = None if dequantise is None else only_user(dequantise.outputs[0])
    if grid is None or (grid.dtype, grid.zero_point) != ("uint8", 0):
        raise Refused("its probabilities are not u8 from 0 on")
    if dequantise is None or grid_of(dequantise) != grid:
        raise Refused("its probabilities are read elsewhere")
    if product is None or not is_op(product, "MatMul"):
        raise Refused("its probabilities are read elsewhere")
    if product.inputs[0] is not dequantise.outputs[0]:
        raise Refused("its probabilities are the right operand")
    return grid, product


def _scores(value: ir.Value | None) -> tuple[ir.Node, ir.Value | None, float]:
    """The product of queries and keys, the mask, and what the product is multiplied by. Raises Refused."""
    mask: ir.Value | None = None
    value = _unquantised(value)
    add = producer(value, "Add")
    if add is not None and value is not None:
        sides = [(a, b) for a, b in (add.inputs, add.inputs[::-1]) if _is_product(a)]
        if len(sides) != 1 or only_user(value) is None:
            raise Refused("its scores are not a product and a mask")
        (scores, mask), shape = sides[0], value.shape
        if not _is_for_all_heads(mask, scores):
            raise Refused(f"its mask does not fit [b, 1, s, t], scores are {shape}")
        value = scores
    value, factor = _unscaled(value, quantised=True)
    product = producer(value, "MatMul")
    if product is None or value is None or only_user(value) is None:
        raise Refused("its scores are not a product of two activations, or are read elsewhere")
    return product, mask, factor


def _is_product(value: ir.Value | None) -> bool:
    return producer(_unscaled(value, quantised=True)[0], "MatMul") is not None


def _is_for_all_heads(mask: ir.Value | None, scores: ir.Value | None) -> bool:
    """Whether each size of the mask is 1 or that of the scores, and 1 for the heads."""
    if mask is None or scores is None or mask.shape is None or scores.shape is None:
        return False
    if mask.dtype != ir.DataType.FLOAT or not len(mask.shape) <= len(scores.shape) == 4:
        return False
    sizes = list(scores.shape)[4 - len(mask.shape) :]
    if len(mask.shape) >= 3:
        sizes[-3] = 1
    return all(a in (1, b) for a, b in zip(mask.shape, sizes, strict=True))


def _unquantised(value: ir.Value | None) -> ir.Value | None:
    """What stands before quantisers that nobody else reads: Softmax is computed in float, without them."""
    while value is not None and (made := producer(_integers(value), "QuantizeLinear")) is not None:
        if only_user(value) is None or only_user(made.outputs[0]) is None:
            break
        value = made.inputs[0]
    return value


def _unscaled(value: ir.Value | None, *, quantised: bool = False) -> tuple[ir.Value | None, float]:
    """What `value` is a multiple of, and the factor; also through quantisers, where `quantised`."""
    factor = 1.0
    value = _unquantised(value) if quantised else value
    while value is not None and (node := producer(value, "Mul", "Div")) is not None:
        if only_user(value) is None:
            break
        number = constant(node.inputs[1])
        if number is None or number.size != 1 or number.ndim > 4 or not number.all():
            break
        factor *= 1 / float(number.item()) if is_op(node, "Div") else float(number.item())
        value = _unquantised(node.inputs[0]) if quantised else node.inputs[0]
    return value, factor


def _operand(value: ir.Value | None, wanted: tuple[int, ...]) -> _Operand:
    """What a product reads, back to where it is not yet cut into heads. Raises Refused."""
    value, factor = _unscaled(value)
    # A quantiser behind a multiple says again what the integers before it say.
    while (quantise := producer(_integers(value), "QuantizeLinear")) is not None:
        source, further = _unscaled(quantise.inputs[0])
        if source is quantise.inputs[0] or dequantised(source) is None:
            break
        value, factor = source, factor * further
    tensor = dequantised(value)
    if tensor is None or tensor.grid.dtype != "uint8":
        raise Refused("an operand is not a quantised u8 tensor")
    way = _way_back(tensor.value)
    if way.reshape is None or way.reshape.inputs[0] is None:
        raise Refused("an operand is not cut into heads by Reshape and Transpose")
    source = way.reshape.inputs[0]
    if way.picked is None:
        axes, part = wanted, 0
    else:  # of [b, length, part, heads, size]
        axes, part = tuple(axis + (axis > 1) for axis in wanted), way.part
        if way.picked != 2:
            raise Refused("queries, keys and values are not side by side in their layer")
    if tuple(way.order) != axes:
        raise Refused("an operand is not cut into heads by Reshape and Transpose")
    heads, size = _heads(source.shape, way.reshape.outputs[0].shape)
    begin = part * heads * size
    cut = None if way.picked is None else (begin, begin + heads * size)
    return _Operand(source, tensor.grid, heads, factor, cut)


def _integers(value: ir.Value | None) -> ir.Value | None:
    """What a DequantizeLinear reads."""
    node = producer(value, "DequantizeLinear")
    return None if node is None else node.inputs[0]


@dataclass
class _Way:
    """From a tensor of four axes back to the Reshape that made its axes: `order` says which of that each of them is.

    picked: the axis of that of which one `part` was taken.
    """

    order: list[int]
    picked: int | None = None
    part: int = 0
    reshape: ir.Node | None = None


def _way_back(value: ir.Value) -> _Way:
    way = _Way([0, 1, 2, 3])
    here: ir.Value | None = value
    while here is not None and (node := here.producer()) is not None:
        source = node.inputs[0] if node.inputs else None
        if is_op(node, "Transpose") and (perm := integers(node, "perm")) is not None:
            way.order = [perm[axis] for axis in way.order]
            way.picked = None if way.picked is None else perm[way.picked]
        elif (taken := _one_part(node, here)) is not None and way.picked is None:
            source, axis, way.part = taken
            way.order = [other + (other >= axis) for other in way.order]
            way.picked = axis
        elif (turned := _turned(node)) is not None and way.picked is None:
            source = turned
            way.order = [(0, 1, 3, 2)[axis] for axis in way.order]
        else:
            way.reshape = node if is_op(node, "Reshape") else None
            break
        here = source
    return way


def _one_part(node: ir.Node, value: ir.Value) -> tuple[ir.Value, int, int] | None:
    """(tensor, axis, index) where `node` makes one part of a tensor along an axis, without that axis."""
    if is_op(node, "Gather"):
        index = constant(node.inputs[1])
        if node.inputs[0] is None or index is None or index.ndim or index.item() < 0:
            return None
        return node.inputs[0], integer(node, "axis", 0), int(index.item())
    axes = constant(node.inputs[1]) if is_op(node, "Squeeze") and len(node.inputs) > 1 else None
    if axes is None or axes.size != 1 or axes.item() < 0:
        return None
    axis, inner = int(axes.item()), node.inputs[0]
    made = None if inner is None else inner.producer()
    if made is None or made.inputs[0] is None:
        return None
    if is_op(made, "Split") and integer(made, "axis", 0) == axis:
        sizes = [v.shape[axis] if v.shape is not None else None for v in made.outputs]
        return (made.inputs[0], axis, made.outputs.index(inner)) if set(sizes) == {1} else None
    if is_op(made, "Slice") and len(made.inputs) > 3:
        begin, end, along = (constant(v) for v in made.inputs[1:4])
        if begin is None or end is None or along is None or begin.size != 1:
            return None
        if along.item() == axis and begin.item() >= 0 and end.item() == begin.item() + 1:
            return made.inputs[0], axis, int(begin.item())
    return None


def _turned(node: ir.Node) -> ir.Value | None:
    """The tensor whose last two axes are exchanged by Reshape, Transpose of three axes, Reshape."""
    transpose = producer(node.inputs[0], "Transpose") if is_op(node, "Reshape") else None
    joined = None if transpose is None else producer(transpose.inputs[0], "Reshape")
    source = None if joined is None else joined.inputs[0]
    if source is None or transpose is None or integers(transpose, "perm") != [0, 2, 1]:
        return None
    whole, flat, turned = source.shape, transpose.outputs[0].shape, node.outputs[0].shape
    if whole is None or flat is None or turned is None or (len(whole), len(turned)) != (4, 4):
        return None
    # The first axis is what is left.
    same = whole[1:] == (turned[1], turned[3], turned[2]) and flat[1:] == turned[2:]
    known = all(isinstance(size, int) for size in whole[1:])
    return source if same and known else None


def _heads(whole: ir.Shape | None, parts: ir.Shape | None) -> tuple[int, int]:
    """In how many heads, of which size, [b, length, heads * size] is cut, or [b, length, k * heads * size]. Raises
    Refused."""
    if whole is None or parts is None or len(whole) != 3 or len(parts) not in (4, 5):
        raise Refused("the sizes of its heads are not known")
    heads, size = parts[-2:]
    if not isinstance(heads, int) or not isinstance(size, int):
        raise Refused("the sizes of its heads are not known")
    width = heads * size
    if len(parts) == 5:
        width *= parts[2] if isinstance(parts[2], int) else 0
    length_kept = isinstance(parts[1], int) and parts[1] == whole[1]
    if whole[2] != width or not (parts[0] == whole[0] or length_kept):
        raise Refused("an operand is cut otherwise than into heads")
    return heads, size


def _result(product: ir.Node, v: _Operand) -> tuple[ir.Node, Quantised]:
    """The last node, and the quantised result [b, s, heads * value_size]. Raises Refused."""
    quantise = only_user(product.outputs[0])
    grid = grid_of(quantise) if quantise is not None and is_op(quantise, "QuantizeLinear") else None
    if quantise is None or grid is None or grid.dtype != "uint8":
        raise Refused("its result is not quantised at once")
    transpose = only_user(quantise.outputs[0])
    if transpose is None or integers(transpose, "perm") != list(HEADS_FIRST):
        raise Refused("its heads are not joined behind it")
    reshape = only_user(transpose.outputs[0])
    if reshape is None or not is_op(reshape, "Reshape"):
        raise Refused("its heads are not joined behind it")
    y = reshape.outputs[0]
    if _heads(y.shape, transpose.outputs[0].shape)[0] != v.heads:
        raise Refused("its heads are not joined behind it")
    return reshape, Quantised(y, grid)
