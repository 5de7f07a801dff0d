"""Whether two tensors have the same sizes in every run, also where a file leaves sizes free.

A size is what the file says: a number, or a name, and the same name is the same size. One without a name is traced to
where it comes from: functions of one tensor keep it, convolutions and pools change it by their window and stride. Two
that come from the same size in the same way are equal. Sizes that nothing is known of are equal to none.
"""

from __future__ import annotations

import onnx_ir as ir

from squeeze.graph.functions import ELEMENTWISE
from squeeze.graph.values import Array, constant, integer, integers, is_op, rank, text

_POOLS = ("AveragePool", "LpPool", "MaxPool")
_KEPT = ("BatchNormalization", "InstanceNormalization", "Softmax")
# Joins inside of what joins: more are not looked into.
_DEEPEST = 20

Window = tuple[int, ...]  # what a convolution or pool does to a size, whatever that is
Origin = tuple[ir.Value, tuple[Window, ...]]


def same_shape(a: ir.Value, b: ir.Value) -> bool:
    """Whether both have as many axes, and the same size along each."""
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    trace = _Trace(a, b)
    return all(trace.same_size(a, b, axis) for axis in range(len(a.shape)))


class _Trace:
    """The way back from two values, through the nodes of their graph."""

    def __init__(self, a: ir.Value, b: ir.Value) -> None:
        made = a.producer() or b.producer()
        nodes = () if made is None or made.graph is None else made.graph
        self._places = {node: place for place, node in enumerate(nodes)}
        self._joins: dict[tuple[ir.Node, int], bool] = {}

    def same_size(self, a: ir.Value, b: ir.Value, axis: int, depth: int = 0) -> bool:
        """Goes back from the one that is made later, again and again, until both meet."""
        ends: list[Origin | None] = [(a, ()), (b, ())]
        passed = ({_mark(a, (), axis)}, {_mark(b, (), axis)})
        if passed[0] == passed[1]:
            return True
        while True:
            side = 0 if self._place(ends[0]) > self._place(ends[1]) else 1
            end = ends[side]
            if end is None:
                return False
            ends[side] = before = self._before(end, axis, depth)
            if before is not None:
                mark = _mark(*before, axis)
                if mark in passed[1 - side]:
                    return True
                passed[side].add(mark)

    def _place(self, end: Origin | None) -> int:
        """Where in the graph a value is made: -1 for its inputs, -2 where nothing leads further."""
        if end is None:
            return -2
        made = end[0].producer()
        return -1 if made is None else self._places.get(made, -1)

    def _before(self, end: Origin, axis: int, depth: int) -> Origin | None:
        """The value whose size along `axis` gives that of this one, with the windows up to it; None where it is not
        known to come from one other value."""
        value, windows = end
        node, dims = value.producer(), rank(value)
        source = node.inputs[0] if node is not None and node.inputs else None
        if node not in self._places or source is None or dims is None or rank(source) != dims:
            return None
        if is_op(node, *_KEPT) or (is_op(node, "Conv", *_POOLS) and axis == 0):
            return source, windows
        if is_op(node, "Conv", *_POOLS):
            window = _window(node, axis, dims)
            if window is None:
                return None
            return source, (*windows, window) if any(window) else windows
        if not is_op(node, *ELEMENTWISE) or any(
            _spreads(constant(v), axis, dims) for v in node.inputs
        ):
            return None
        varying = [v for v in node.inputs if v is not None and constant(v) is None]
        return (varying[0], windows) if self._joined(node, varying, axis, depth) else None

    def _joined(self, node: ir.Node, varying: list[ir.Value], axis: int, depth: int) -> bool:
        """Whether all operands have the same size, so that none is spread."""
        if not varying or len({rank(v) for v in (*varying, node.outputs[0])}) > 1:
            return False
        known = (node, axis)
        if known not in self._joins:
            self._joins[known] = depth < _DEEPEST and all(
                self.same_size(varying[0], v, axis, depth + 1) for v in varying[1:]
            )
        return self._joins[known]


def _mark(value: ir.Value, windows: tuple[Window, ...], axis: int) -> object:
    """A size and what was done to it: the number or the name of it; one without a name is that of this value alone."""
    size = None if value.shape is None else value.shape[axis]
    named = size.value if isinstance(size, ir.SymbolicDim) else size
    return (value, windows) if named is None else (named, windows)


def _spreads(operand: Array | None, axis: int, dims: int) -> bool:
    """Whether a constant gives a result another size along `axis` where that of the others is 1."""
    return operand is not None and operand.ndim >= dims - axis and operand.shape[axis - dims] != 1


def _window(node: ir.Node, axis: int, dims: int) -> Window | None:
    """What is missing at the ends, and for larger strides the rest that decides; zeros alone where a size stays."""
    kernel, spatial = integers(node, "kernel_shape"), dims - 2
    weights = node.inputs[1] if is_op(node, "Conv") else None
    if kernel is None and weights is not None and weights.shape is not None:
        kernel = [s for s in weights.shape[2:] if isinstance(s, int)]
    if axis == 1 or kernel is None or len(kernel) != spatial:
        return None
    if text(node, "auto_pad", "NOTSET") != "NOTSET":
        return None
    at = axis - 2
    pads = integers(node, "pads") or [0] * (2 * spatial)
    stride = (integers(node, "strides") or [1] * spatial)[at]
    reach = (integers(node, "dilations") or [1] * spatial)[at] * (kernel[at] - 1)
    missing = reach - pads[at] - pads[at + spatial]
    if stride == 1:
        return (missing,)
    return missing, stride, integer(node, "ceil_mode", 0), pads[at + spatial]
