"""What functions take that want feeds: the interface of a graph written for a test, and arrays as feeds and passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from squeeze.feed import Array, Feed, Passes, count, part
from squeeze.interface import Interface, TensorSpec


def interface_of(model: ir.Model, *, batch_axis: int | None = 0) -> Interface:
    """All inputs and outputs have the batch on this axis (None: nowhere); sizes that may vary count as 1."""
    inputs, outputs = (
        tuple(_spec(value, batch_axis) for value in values)
        for values in (model.graph.inputs, model.graph.outputs)
    )
    return Interface(inputs, outputs)


def feed_of(model: ir.Model, x: Array | Mapping[str, Array]) -> Feed:
    """Samples [n, ...] of all inputs; an array is for the only one."""
    return x if isinstance(x, Mapping) else {str(model.graph.inputs[0].name): x}


def passes_of(
    model: ir.Model,
    x: Array | Mapping[str, Array],
    size: int = 16,
    interface: Interface | None = None,
) -> Passes:
    """Passes over the samples, `size` in a feed."""
    feed = feed_of(model, x)

    def begin() -> Iterator[Feed]:
        for start in range(0, count(feed), size):
            yield part(feed, start, start + size)

    return Passes(interface or interface_of(model), begin)


def _spec(value: ir.Value, batch_axis: int | None) -> TensorSpec:
    dims = [d if isinstance(d, int) else None for d in value.shape or []]
    batch_size = dims.pop(batch_axis) if batch_axis is not None and dims else None
    dtype = str(value.dtype.numpy()) if value.dtype is not None else "float32"
    return TensorSpec(str(value.name), dtype, tuple(d or 1 for d in dims), batch_axis, batch_size)
