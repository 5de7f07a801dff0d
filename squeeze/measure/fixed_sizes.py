"""A model with the sizes of one run, for runtimes whose files have no free ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from squeeze.feed import Array
    from squeeze.runtimes.runtime import Runtime


def as_sized(runtime: Runtime, model: Path, inputs: Mapping[str, Array], path: Path) -> Path:
    """`model` itself, or, written as `path`, with the sizes of `inputs` (of one run, by name) where it leaves some open
    and the runtime wants all of them (`fixed_sizes`)."""
    if not getattr(runtime, "fixed_sizes", False) or model.suffix != ".onnx":
        return model
    proto = onnx.load(model)
    changed = False
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        x = inputs.get(value.name)
        if x is None or len(dims) != x.ndim:
            continue
        for dim, size in zip(dims, x.shape, strict=True):
            if not dim.HasField("dim_value"):
                dim.Clear()
                dim.dim_value = size
                changed = True
    if not changed:
        return model
    del proto.graph.value_info[:]
    for value in proto.graph.output:  # they follow from the inputs
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.Clear()
    onnx.save(proto, path)
    return path
