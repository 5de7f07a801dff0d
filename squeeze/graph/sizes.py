"""A graph for the data's sizes alone, for who cannot follow sizes that are computed: training in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from squeeze.graph.passes import PASSES

if TYPE_CHECKING:
    from collections.abc import Mapping


# Those that want to know sizes, and what takes out the rest.
_SIZED = ("fold_constants", "explicit_pads", "fuse_global_pool", "use_flatten", "clean")


def with_sizes(model: ir.Model, sizes: Mapping[str, int]) -> ir.Model:
    """A copy whose inputs have these sizes for the free axes of these names, with what follows from them.

    Weights and the names of values that stay are those of `model`.
    """
    copy = model.clone()
    if not sizes:
        return copy
    for value in copy.graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape([_known(d, sizes) for d in value.shape])
    for node in copy.graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    for name in _SIZED:
        ShapeInferencePass(data_prop=True)(copy)
        PASSES[name](copy)
    return copy


def _known(size: int | ir.SymbolicDim, sizes: Mapping[str, int]) -> int | ir.SymbolicDim:
    return size if isinstance(size, int) else sizes.get(str(size.value), size)
