"""Finds sums that are normalised and quantised, as between the layers of a transformer, which QAddNorm computes.

Taken: Add of two float tensors, and perhaps of a constant to each row -> LayerNormalization over the last dimension,
       with scale and bias, in one node or in parts (`graph/layer_norm.py`) -> QuantizeLinear. Whoever else reads the
       sum or the normalised numbers, one of both, has them in float; the latter also times a constant row. The same by
       the root mean square (`graph/rms_norm.py`), but that the sum alone may be read elsewhere.
Left:  tensors of different rank or width, several quantisers, normalisation over more dimensions or in parts,
       statistics that are used.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from squeeze.graph.layer_norm import layer_norm
from squeeze.graph.layout import Planned, Unit
from squeeze.graph.product import grid_inputs
from squeeze.graph.qdq import Array, Reasons, Refused, grid_of, real_constant
from squeeze.graph.rms_norm import rms_norm
from squeeze.graph.values import integer, is_op, only_user, producer, rank, real

FAMILY = "QAddNorm"
# Of the operator, where nothing is said.
EPSILON = 1e-5
# What a normalisation may end with.
_ENDS = ("LayerNormalization", "RMSNormalization", "Mul", "Add")


@dataclass(frozen=True)
class _Norm:
    """`total` normalised over its last axis, by all of `nodes`; `centred` where the mean is taken off."""

    last: ir.Node
    nodes: Collection[ir.Node]
    total: ir.Value | None
    scale: Array | None
    shift: Array | None
    epsilon: float
    centred: bool

    @property
    def value(self) -> ir.Value:
        return self.last.outputs[0]

    def read_outside(self, value: ir.Value) -> bool:
        users = {user for user, _ in value.uses()} - set(self.nodes)
        return value.is_graph_output() or len(users) > (value is self.value)


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made, and why other quantised normalisations are left alone."""
    found: list[Unit] = []
    refused: Reasons = {}
    for node in graph:
        if not is_op(node, *_ENDS) or not _quantisers(node):
            continue
        is_layer = is_op(node, "LayerNormalization", "Add")
        name = "LayerNormalization" if is_layer else "normalisation by the root mean square"
        try:
            norm = _norm_in(node)
            if norm is not None:
                found.append((_match(norm),))
        except Refused as why:
            refused[node] = f"{name}: {why}"
    return found, refused


def _norm_in(node: ir.Node) -> _Norm | None:
    """The normalisation that ends with `node`. Raises Refused."""
    if is_op(node, "LayerNormalization"):
        return _layer_norm(node)
    return _layer_norm_in_parts(node) if is_op(node, "Add") else _root_norm(node)


def _layer_norm(node: ir.Node) -> _Norm:
    total = node.inputs[0]
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        raise Refused("its statistics are used")
    if integer(node, "stash_type", 1) != 1:
        raise Refused("not float32")
    if integer(node, "axis", -1) not in (-1, (rank(total) or 0) - 1):
        raise Refused("it normalises over several dimensions")
    scale, given = _row(node.inputs[1]), (*node.inputs[2:], None)[0]
    shift = None if given is None else _checked_shift(_row(given))
    return _Norm(node, (node,), total, scale, shift, real(node, "epsilon", EPSILON), True)


def _layer_norm_in_parts(node: ir.Node) -> _Norm | None:
    found = layer_norm(node)
    if found is None:
        return None
    scale, shift = (v if v.ndim == 1 and v.size else None for v in (found.scale, found.shift))
    shift = _checked_shift(shift)
    return _Norm(node, found.nodes, found.source, scale, shift, found.epsilon, True)


def _checked_shift(shift: Array | None) -> Array:
    if shift is None:
        raise Refused("its bias is not one number for each in a row")
    return shift


def _root_norm(node: ir.Node) -> _Norm | None:
    found = rms_norm(node)
    if found is None:
        return None
    row = found.scale.ndim == 1 and found.scale.dtype == np.float32
    scale = found.scale if row else None
    return _Norm(node, found.nodes, found.source, scale, None, found.epsilon, False)


def _match(norm: _Norm) -> Planned:
    made, total, scale, shift = norm.value, norm.total, norm.scale, norm.shift
    if made.dtype != ir.DataType.FLOAT:
        raise Refused("not float32")
    if len(quantisers := _quantisers(norm.last)) != 1:
        raise Refused("several quantisers read it")
    grid = grid_of(quantisers[0])
    if grid is None:
        raise Refused("it is not quantised with one scale to 8 bits")
    if norm.epsilon <= 0:
        raise Refused("its epsilon is not above 0")
    add = producer(total, "Add")
    if add is None or total is None:
        raise Refused("it does not normalise a sum")
    if scale is None:
        raise Refused("its scale is not one number for each in a row")
    if shift is not None and shift.shape != scale.shape:
        raise Refused("its bias is not one number for each in a row")
    a, b, bias = _summands(add, len(scale))
    y = quantisers[0].outputs[0]
    streams = [v for v in (made, total) if norm.read_outside(v)]
    if len(streams) > 1:
        raise Refused("both the sum and the normalised numbers are read elsewhere")
    if not norm.centred and streams == [made]:
        raise Refused("its normalised numbers are read elsewhere")
    stream = streams[0] if streams else made if norm.centred else total
    op_type = "QAddNorm" if stream is made else "QAddNormSum" if norm.centred else "QAddRmsNormSum"
    scaled = _times_row(made, len(scale)) if streams and stream is made else None
    inputs: dict[str, ir.Value | Array] = {"a": a, "b": b, "bias": bias, "norm_scale": scale}
    if norm.centred:
        inputs["norm_shift"] = np.zeros_like(scale) if shift is None else shift
    if scaled is not None:
        op_type = "QAddNormScaled"
        stream, inputs["norm_factor"] = scaled
    return Planned(
        FAMILY,
        op_type,
        norm.last.name or f"{y.name}_norm",
        add,  # whoever reads the sum comes behind it
        y,
        inputs | grid_inputs("y", grid),
        {"epsilon": norm.epsilon},
        further=(stream,),
    )


def _times_row(norm: ir.Value, width: int) -> tuple[ir.Value, Array] | None:
    """What a Mul makes of `norm` and a constant row, and the row, where it and the quantiser alone read `norm`."""
    users = [user for user, _ in norm.uses() if not is_op(user, "QuantizeLinear")]
    if len(users) != 1 or norm.is_graph_output() or not is_op(users[0], "Mul"):
        return None
    mul = users[0]
    factor = _row(mul.inputs[1] if mul.inputs[0] is norm else mul.inputs[0])
    if factor is None or len(factor) != width:
        return None
    return mul.outputs[0], factor


def _quantisers(node: ir.Node) -> list[ir.Node]:
    return [user for user, _ in node.outputs[0].uses() if is_op(user, "QuantizeLinear")]


def _row(value: ir.Value | None) -> Array | None:
    """A constant of one dimension, also one that is stored quantised."""
    found = real_constant(value)
    if found is None or found.ndim != 1 or found.dtype != np.float32 or not found.size:
        return None
    return found


def _summands(add: ir.Node, width: int) -> tuple[ir.Value, ir.Value, Array]:
    """The two tensors, and what is added to each row of the second. Raises Refused."""
    bias = np.zeros(width, np.float32)
    (a, b), added = add.inputs, None
    if (found := _with_row(add, width)) is not None:
        sum_, added = found
        inner = producer(sum_, "Add")
        if inner is None or only_user(sum_) is not add:
            raise Refused("it does not normalise the sum of two tensors")
        a, b = inner.inputs
    else:
        for one, other in ((b, a), (a, b)):
            inner = producer(one, "Add")
            if inner is None or one is None or only_user(one) is not add:
                continue
            if (found := _with_row(inner, width)) is not None:
                a, (b, added) = other, found
                break
    if a is None or b is None or a.shape is None or b.shape is None:
        raise Refused("a shape is not known")
    if len(a.shape) != len(b.shape) or (a.shape[-1], b.shape[-1]) != (width, width):
        raise Refused("what is added differs in rank or width")
    if added is None and len(b.shape) < 3 and producer(b, "MatMul") is not None:
        # Of a product and a row that is added to it, be it 0, the runtime makes Gemm in float.
        raise Refused("it adds a product of two dimensions that has no bias")
    return a, b, bias if added is None else added


def _with_row(add: ir.Node, width: int) -> tuple[ir.Value, Array] | None:
    """The tensor that an Add adds a constant row to, and the row; None for two tensors."""
    for tensor, row in (add.inputs, add.inputs[::-1]):
        found = _row(row)
        if tensor is not None and found is not None and len(found) == width:
            return tensor, found
    return None
