"""Finds attention of 8-bit queries, keys and values, which QAttention computes.

Taken: Reshape of u8 [b, s, heads * size] to [b, s, heads, size] -> Transpose to [b, heads, s, size] of q, k and v, k
       turned to [b, heads, size, t]; also of one tensor [b, s, 3 * heads * size], of which q, k and v are parts ->
       DequantizeLinear -> MatMul of q and k, times or divided by a number, perhaps before -> Add of a mask, for all
       heads or for each -> Softmax over keys, and perhaps 0 where that is no number, as torch guards queries without
       a key -> QuantizeLinear and DequantizeLinear -> MatMul with v -> QuantizeLinear -> Transpose -> Reshape back,
       also to [b * s, heads * size]. Quantisers between the product and Softmax, and around the guard, are left out;
       the mask is read as it was rounded. One of scores with their mask may have such steps that all scores are 0
       behind it: they are 0 then.
Left:  products that stay float, other layouts, sizes of heads that are not known, values in between that somebody else
       reads; scores with a mask in steps that leave little of them, or on a grid without numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from squeeze.graph.heads import heads_of, may_be, way_back
from squeeze.graph.layout import Planned, Unit
from squeeze.graph.nan_guard import nan_guard
from squeeze.graph.product import grid_inputs
from squeeze.graph.qdq import Array, Grid, Quantised, Reasons, Refused, dequantised, grid_of
from squeeze.graph.requantised import quantiser
from squeeze.graph.scores import scores_of, unscaled
from squeeze.graph.values import integer, integers, is_op, only_user, rank
from squeeze.ops.qattention import HEADS_FIRST, TURNED

FAMILY = "QAttention"
SHARE = float(np.float32(1 / 255))
# Scores times this are 0 beside each other, and not 0, which is no factor.
NOTHING = 1e-30


@dataclass(frozen=True)
class _Operand:
    """A tensor [b, length, heads * size] before it is cut into heads."""

    value: ir.Value
    grid: Grid
    heads: int
    size: int  # of a head
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
        if is_op(node, "Softmax") and _quantiser(node) is not None:
            try:
                found.append(_match(node))
            except Refused as why:
                refused[node] = f"attention: {why}"
    return found, refused


def _quantiser(softmax: ir.Node) -> ir.Node | None:
    """The QuantizeLinear that alone reads what a Softmax gives, guarded or not."""
    guard = nan_guard(softmax)
    user = only_user((softmax if guard is None else guard).outputs[0])
    return user if user is not None and is_op(user, "QuantizeLinear") else None


def _match(softmax: ir.Node) -> Unit:
    if integer(softmax, "axis", -1) not in (-1, 3) or rank(softmax.outputs[0]) != 4:
        raise Refused("its Softmax is not over the last of four dimensions")
    p, product = _probabilities(softmax)
    scores = scores_of(softmax.inputs[0])
    q, k = (
        _operand(value, axes)
        for value, axes in zip(scores.product.inputs, (HEADS_FIRST, TURNED), strict=True)
    )
    v = _operand(product.inputs[1], HEADS_FIRST)
    if not q.heads == k.heads == v.heads or v.factor != 1:
        raise Refused("queries, keys and values do not have the same heads")
    factor = scores.factor * q.factor * k.factor
    if not (np.isfinite(factor) and factor > 0):
        raise Refused("its scores are not multiplied by a positive number")
    factor = NOTHING if scores.lost else factor
    last, y = _result(product, v)
    name = softmax.name or f"{y.value.name}_attention"
    inputs: dict[str, ir.Value | Array] = {}
    for key, operand in (("q", q), ("k", k), ("v", v)):
        inputs |= {key: operand.value} | grid_inputs(key, operand.grid)
    inputs["score_scale"] = np.asarray(factor, np.float32)
    inputs["mask"] = np.zeros((), np.float32) if scores.mask is None else scores.mask
    # As shares of the largest of their query, which is nearer to float than the grid of the graph.
    inputs |= grid_inputs("p", replace(p, scale=SHARE)) | grid_inputs("y", y.grid)
    op_type = "QAttention" if nan_guard(softmax) is None else "QAttentionGuarded"
    split = {"split": (0, 0, q.heads, -1)}
    made = Planned(FAMILY, op_type, name, last, y.value, inputs, split, flat=scores.lost)
    cuts = {key: o.planned(key, made) for key, o in (("q", q), ("k", k), ("v", v))}
    there = {key: plan for key, plan in cuts.items() if plan is not None}
    made = replace(made, inputs=inputs | {k: p.y for k, p in there.items()})
    return (*there.values(), *_in_shape(made, last, q, v))


def _in_shape(made: Planned, last: ir.Node, q: _Operand, v: _Operand) -> Unit:
    """The attention, and the Reshape to [rows, width] behind it where the graph joins the heads to that."""
    y = made.y
    if y.shape is None or len(y.shape) == 3 or last.inputs[1] is None:
        return (made,)
    rows = None if q.value.shape is None else q.value.shape[:2]
    shape = None if rows is None else ir.Shape([*rows, v.heads * v.size])
    whole = ir.Value(name=f"{made.name}_joined", type=y.type, shape=shape)
    inputs: dict[str, ir.Value | Array] = {"data": whole, "shape": last.inputs[1]}
    moved = Planned(FAMILY, "Reshape", f"{made.name}_rows", last, y, inputs, domain="")
    return (replace(made, y=whole), moved)


def _probabilities(softmax: ir.Node) -> tuple[Grid, ir.Node]:
    """How they are quantised, and their product with the values. Raises Refused."""
    quantise = _quantiser(softmax)
    assert quantise is not None  # find() asks
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


def _operand(value: ir.Value | None, wanted: tuple[int, ...]) -> _Operand:
    """What a product reads, back to where it is not yet cut into heads. Raises Refused."""
    value, factor = unscaled(value)
    # A quantiser behind a multiple says again what the integers before it say.
    while (quantise := quantiser(value)) is not None:
        source, further = unscaled(quantise.inputs[0])
        if source is quantise.inputs[0] or dequantised(source) is None:
            break
        value, factor = source, factor * further
    tensor = dequantised(value)
    if tensor is None or tensor.grid.dtype != "uint8":
        raise Refused("an operand is not a quantised u8 tensor")
    way = way_back(tensor.value)
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
    heads, size = heads_of(source.shape, way.reshape.outputs[0].shape)
    begin = part * heads * size
    cut = None if way.picked is None else (begin, begin + heads * size)
    return _Operand(source, tensor.grid, heads, size, factor, cut)


def _result(product: ir.Node, v: _Operand) -> tuple[ir.Node, Quantised]:
    """The last node, and the quantised result, [b, s, heads * value_size] or [b * s, heads * value_size]. Raises
    Refused."""
    quantise = only_user(product.outputs[0])
    grid = grid_of(quantise) if quantise is not None and is_op(quantise, "QuantizeLinear") else None
    if quantise is None or grid is None or grid.dtype != "uint8":
        raise Refused("its result is not quantised at once")
    transpose = only_user(quantise.outputs[0])
    if transpose is not None and _keeps_shape(transpose):
        transpose = only_user(transpose.outputs[0])
    if transpose is None or integers(transpose, "perm") != list(HEADS_FIRST):
        raise Refused("its heads are not joined behind it")
    reshape = only_user(transpose.outputs[0])
    if reshape is None or not is_op(reshape, "Reshape"):
        raise Refused("its heads are not joined behind it")
    y = reshape.outputs[0]
    width = v.heads * v.size
    if y.shape is None or not (
        (len(y.shape) == 3 and may_be(y.shape[2], width))
        or (len(y.shape) == 2 and y.shape[1] == width)
    ):
        raise Refused("its heads are not joined behind it")
    return reshape, Quantised(y, grid)


def _keeps_shape(reshape: ir.Node) -> bool:
    """Whether it is a Reshape of four axes to the shape that its input has, as far as that is known: older exporters
    put one there."""
    if not is_op(reshape, "Reshape") or reshape.inputs[0] is None:
        return False
    before, after = reshape.inputs[0].shape, reshape.outputs[0].shape
    if before is None or after is None or (len(before), len(after)) != (4, 4):
        return False
    return before[3] == after[3] and all(may_be(a, b) for a, b in zip(before, after, strict=True))
