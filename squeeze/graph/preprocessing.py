"""Puts the preprocessing of an input into the graph, so that an app feeds samples as they are stored.

Size, axes, the channels' order, x * scale, mean and std, type: the same operations in the same order as
`calib.preprocess` does them in NumPy, so that the values behind them are the same. Axes are moved before the type is
changed, while values are small. The input keeps its name; what it was goes on under another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from squeeze.calib import resample
from squeeze.calib.embedded import stored_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.calib import Preprocess
    from squeeze.feed import Array
    from squeeze.interface import TensorSpec


_BLOCK = 32  # new pixels of an axis that are computed in one product


def embed(model: ir.Model, spec: TensorSpec, preprocess: Preprocess, takes: TensorSpec) -> None:
    """Makes the input `spec` of `model` take `takes`, stored samples, in place."""
    graph = model.graph
    at, old = next((i, v) for i, v in enumerate(graph.inputs) if v.name == spec.name)
    raw = ir.Value(
        name=spec.name,
        type=ir.TensorType(ir.DataType.from_numpy(np.dtype(takes.dtype))),
        shape=ir.Shape(_sizes(old, spec, preprocess, takes)),
    )
    old.name = _free_name(model, f"{spec.name}_preprocessed")
    work = _Work(model, raw, spec.name)
    axes = _resize(work, preprocess, takes)
    _arrange(work, axes, preprocess, takes)
    if (axis := preprocess.reversed_axis((1, *spec.shape))) is not None:
        backwards = np.arange(spec.shape[axis - 1] - 1, -1, -1, dtype=np.int64)
        work.add("Gather", work.constant(backwards, "channels"), axis=axis)
    _values(work, preprocess, takes, spec)
    if spec.batch_axis is None:
        work.add("Squeeze", work.constant(np.array([0], np.int64), "axes"))
    elif spec.batch_axis:
        order = list(range(1, len(spec.shape) + 1))
        work.transpose([*order[: spec.batch_axis], 0, *order[spec.batch_axis :]])
    graph.inputs[at] = raw
    # The users of the input now use what was made of it.
    name, made = old.name, work.value
    ir.convenience.replace_all_uses_with(old, made)
    made.name, made.type, made.shape = name, old.type, old.shape
    graph.insert_before(graph[0], work.nodes)


class _Work:
    """Nodes one behind the other; `value` is what the last one gives."""

    def __init__(self, model: ir.Model, value: ir.Value, name: str) -> None:
        self.nodes: list[ir.Node] = []
        self.value = value
        self._model, self._name = model, name

    def add(
        self, op: str, *others: ir.Value, first: bool = True, **attributes: int | list[int]
    ) -> None:
        """A node on the value; the others come behind it, or before it."""
        inputs = [self.value, *others] if first else [*others, self.value]
        name = _free_name(self._model, f"{self._name}_preprocess_{len(self.nodes)}")
        node = ir.node(op, inputs=inputs, attributes=attributes, name=name)
        node.outputs[0].name = name
        self.nodes.append(node)
        self.value = node.outputs[0]

    def transpose(self, order: Sequence[int]) -> None:
        """Nothing where axes stay."""
        if list(order) != sorted(order):
            self.add("Transpose", perm=list(order))

    def cast(self, dtype: np.dtype[np.generic]) -> None:
        self.add("Cast", to=int(ir.DataType.from_numpy(dtype)))

    def constant(self, array: Array, what: str) -> ir.Value:
        """An initializer; what: its name beside others."""
        known = self._model.graph.initializers
        name = _free_name(self._model, f"{self._name}_preprocess_{what}")
        value = ir.Value(
            name=name,
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
            shape=ir.Shape(array.shape),
            const_value=ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name),
        )
        known[name] = value
        return value


def _resize(work: _Work, preprocess: Preprocess, takes: TensorSpec) -> list[int]:
    """The order of the stored axes afterwards; height and width are last where they got another size."""
    rank = len(takes.shape) + 1
    axes = list(range(rank))
    if preprocess.resize is None:
        return axes
    high, wide = (axis + 1 for axis in resample.plane(takes.shape, preprocess.layout))
    axes = [*(a for a in axes if a not in (high, wide)), high, wide]
    work.transpose(axes)
    if np.dtype(takes.dtype) != np.float32:
        work.cast(np.dtype(np.float32))
    height, width = preprocess.resize
    _weighted(work, resample.weights(takes.shape[wide - 1], width), -1)
    _weighted(work, resample.weights(takes.shape[high - 1], height), -2)
    return axes


def _weighted(work: _Work, weights: Array, axis: int) -> None:
    """Sums along the last axis or the one before it, [after, before]. The weights are a band, so that some new pixels
    at a time need few of the old ones."""
    whole, parts = work.value, []
    for start in range(0, len(weights), _BLOCK):
        block = weights[start : start + _BLOCK]
        needed = np.flatnonzero(block.any(axis=0))
        low, high = int(needed[0]), int(needed[-1]) + 1
        work.value = whole
        if (low, high) != (0, weights.shape[1]):
            ends = [np.array([n], np.int64) for n in (low, high, axis)]
            work.add("Slice", *(work.constant(end, "block") for end in ends))
        part = block[:, low:high]
        if axis == -1:
            work.add("MatMul", work.constant(part.T, "resize"))
        else:
            work.add("MatMul", work.constant(part, "resize"), first=False)
        parts.append(work.value)
    if len(parts) > 1:
        work.value = parts[0]
        work.add("Concat", *parts[1:], axis=axis)


def _arrange(work: _Work, axes: list[int], preprocess: Preprocess, takes: TensorSpec) -> None:
    layout, rank = preprocess.layout, len(takes.shape) + 1
    if "->" not in layout:
        work.transpose([axes.index(a) for a in range(rank)])
        if layout == "flatten":
            work.add("Flatten", axis=1)
        return
    source, wanted = layout.split("->")
    kept = [source.index(a) for a in wanted if a in source]
    dropped = [i for i, a in enumerate(source) if a not in wanted]
    work.transpose([axes.index(a) for a in (*kept, *dropped)])
    if dropped:
        work.add("Squeeze", work.constant(np.arange(len(kept), rank, dtype=np.int64), "axes"))
    if added := [i for i, a in enumerate(wanted) if a not in source]:
        work.add("Unsqueeze", work.constant(np.array(added, np.int64), "axes"))


def _values(work: _Work, preprocess: Preprocess, takes: TensorSpec, spec: TensorSpec) -> None:
    """Scale, mean, std and type, as `Preprocess.apply` has them."""
    dtype = np.dtype(spec.dtype)
    now = np.dtype(takes.dtype if preprocess.resize is None else np.float32)
    if preprocess.is_plain:
        whole = np.dtype(takes.dtype).kind in "biu" and dtype.kind in "biu"
        if preprocess.resize is not None and whole:
            work.add("Round")
        if now != dtype:
            work.cast(dtype)
        return
    wide = np.dtype(np.float32) if dtype == np.float16 else dtype
    if now != wide:
        work.cast(wide)
    shape = (1, *spec.shape)
    for op, values, nothing in (("Mul", preprocess.factor, 1.0), ("Add", preprocess.offset, 0.0)):
        if (values != nothing).any():
            along = preprocess.along_channels(values, shape).astype(wide)
            work.add(op, work.constant(along, op.lower()))
    if wide != dtype:
        work.cast(dtype)


def _sizes(
    old: ir.Value, spec: TensorSpec, preprocess: Preprocess, takes: TensorSpec
) -> list[int | str | None]:
    """The batch and sizes that may vary under the names that they had; all others as stored."""
    known = list(old.shape) if old.shape is not None else []
    sizes: list[int | str | None] = [1, *takes.shape]
    if spec.batch_axis is None:
        return sizes
    if known:
        sizes[0] = _size(known[spec.batch_axis])
        own = [size for i, size in enumerate(known) if i != spec.batch_axis]
        for i, size in enumerate(own):
            axis = stored_axis(preprocess, i)
            if axis is not None and not isinstance(size, int):
                sizes[axis + 1] = _size(size)
    return sizes


def _size(size: int | ir.SymbolicDim) -> int | str | None:
    return size if isinstance(size, int) else size.value


def _free_name(model: ir.Model, wanted: str) -> str:
    """`wanted`, or that with a number, so that no value or node has it."""
    graph = model.graph
    taken = {v.name for v in (*graph.inputs, *graph.outputs, *graph.initializers.values())}
    for node in graph.all_nodes():
        taken |= {node.name, *(v.name for v in node.outputs)}
    found, number = wanted, 1
    while found in taken:
        found, number = f"{wanted}_{number}", number + 1
    return found
