"""A model with the sizes of one run, for runtimes whose files leave none open, or the batch alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from squeeze.runtimes.made_feed import one_sample

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from squeeze.feed import Array
    from squeeze.runtimes.runtime import Runtime


def as_sized(runtime: Runtime, model: Path, inputs: Mapping[str, Array], path: Path) -> Path:
    """`model` itself, or, written as `path`, with the sizes of `inputs` (of one run, by name) where it leaves some open
    that the runtime's files fix (`Abilities.fixes`). Raises MeasureError for what does not open."""
    fixes = runtime.abilities.fixes
    if fixes == "none" or model.suffix != ".onnx":
        return model
    kept = one_sample(model).batch_axes if fixes == "sample" else {}
    proto = onnx.load(model)
    changed = False
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        x = inputs.get(value.name)
        if x is None or len(dims) != x.ndim:
            continue
        for axis, (dim, size) in enumerate(zip(dims, x.shape, strict=True)):
            if not dim.HasField("dim_value") and axis != kept.get(value.name):
                dim.Clear()
                dim.dim_value = size
                changed = True
    if not changed:
        return model
    del proto.graph.value_info[:]
    for value in proto.graph.output:  # they follow from the inputs
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") and axis != kept.get(value.name):
                dim.Clear()
    onnx.save(proto, path)
    return path
