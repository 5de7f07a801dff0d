"""Normalisation by the root mean square, in whichever nodes it was written (Zhang and Sennrich 2019).

    x / sqrt(mean(x * x) + epsilon) * scale        over the last axis

Cases: RMSNormalization; the square as Pow or Mul, the mean as ReduceMean or as the average over the last of three axes,
       the root as divisor, as reciprocal, or as a power of -1/2; any order of the factors; constants that are stored
       quantised, and quantisers between the nodes.
Left:  means over other axes, a scale that is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from squeeze.graph.qdq import real_constant
from squeeze.graph.requantised import before, read_by
from squeeze.graph.values import Array, axes_of, integer, is_op, producer, rank, real

_EPSILON = 1e-5  # of the operator, where nothing is said
MEANS = ("ReduceMean", "GlobalAveragePool")  # the latter of three axes


@dataclass(frozen=True)
class RmsNorm:
    """What is normalised, the scale of its last axis, and the `nodes` that do it, without quantisers in between."""

    source: ir.Value
    scale: Array
    epsilon: float
    nodes: frozenset[ir.Node]


def rms_norm(last: ir.Node) -> RmsNorm | None:
    """The normalisation that ends with `last`, where nobody else reads what is in between."""
    if is_op(last, "RMSNormalization"):
        source, scale = last.inputs[0], real_constant(last.inputs[1])
        is_last = integer(last, "axis", -1) in (-1, (rank(source) or 0) - 1)
        if source is None or scale is None or not is_last or integer(last, "stash_type", 1) != 1:
            return None
        return RmsNorm(source, scale, real(last, "epsilon", _EPSILON), frozenset({last}))
    if not is_op(last, "Mul"):
        return None
    for given, row in (last.inputs, last.inputs[::-1]):
        scale, inner = real_constant(row), before(given)
        if scale is not None and inner is not None and read_by(inner, {last}):
            found = _normalised(inner)
            if found is not None:
                source, epsilon, nodes = found
                return RmsNorm(source, scale, epsilon, nodes | {last})
    return None


def made_by(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """As `producer`, of the tensor that `value` is the rounded form of."""
    return producer(before(value), *op_types)


def over_last(mean: ir.Node) -> bool:
    """Whether a ReduceMean, or an average over all of space, is over the last axis alone, which it keeps."""
    dims = rank(mean.inputs[0])
    if is_op(mean, "GlobalAveragePool"):
        return dims == 3
    axes = axes_of(mean)
    over = axes is not None and len(axes) == 1 and axes[0] in (-1, (dims or 0) - 1)
    return over and integer(mean, "keepdims", 1) == 1


_Found = tuple[ir.Value, float, frozenset[ir.Node]]


def _normalised(value: ir.Value) -> _Found | None:
    """x and epsilon of x / sqrt(mean(x * x) + epsilon)."""
    node = producer(value, "Div", "Mul")
    if node is None:
        return None
    ways = [tuple(node.inputs)] if is_op(node, "Div") else [node.inputs, node.inputs[::-1]]
    for given, factor in ways:
        x = before(given)
        turned = None if is_op(node, "Div") else made_by(factor, "Reciprocal", "Div", "Pow")
        root = factor if turned is None else _of_reciprocal(turned)
        if is_op(node, "Mul") and root is None:
            continue
        is_power = turned is not None and is_op(turned, "Pow")
        sqrt = None if is_power else made_by(root, "Sqrt")
        within = root if is_power else None if sqrt is None else sqrt.inputs[0]
        found = _mean_square(within, x)
        if found is None or x is None:
            continue
        epsilon, nodes = found
        inside = {n for n in (node, turned, sqrt) if n is not None} | nodes
        if all(read_by(n.outputs[0], inside) for n in inside if n is not node):
            return x, epsilon, frozenset(inside)
    return None


def _of_reciprocal(node: ir.Node) -> ir.Value | None:
    """What `node` gives 1 by, or, for a Pow, 1 by the root of."""
    if is_op(node, "Reciprocal"):
        return node.inputs[0]
    at, wanted = (0, 1.0) if is_op(node, "Div") else (1, -0.5)
    number = real_constant(node.inputs[at])
    if number is None or number.size != 1 or float(number.item()) != wanted:
        return None
    return node.inputs[1 - at]


def _mean_square(value: ir.Value | None, x: ir.Value | None) -> tuple[float, set[ir.Node]] | None:
    """epsilon of mean(x * x) + epsilon, and the nodes that compute it."""
    add = made_by(value, "Add")
    if add is None or x is None:
        return None
    for inner, given in (add.inputs, add.inputs[::-1]):
        epsilon, mean = real_constant(given), made_by(inner, *MEANS)
        if epsilon is None or epsilon.size != 1 or mean is None or not over_last(mean):
            continue
        square = made_by(mean.inputs[0], "Pow", "Mul")
        if square is None or before(square.inputs[0]) is not x:
            continue
        power = real_constant(square.inputs[1])
        is_square = (
            before(square.inputs[1]) is x
            if is_op(square, "Mul")
            else power is not None and power.size == 1 and float(power.item()) == 2
        )
        if is_square:
            return float(epsilon.item()), {add, mean, square}
    return None
