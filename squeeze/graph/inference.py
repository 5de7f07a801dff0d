"""Sizes that follow from a graph; what has no name at its ends stays without one.

The inference of ONNX calls a size that nothing is known of unk__0, unk__1 ... That is useful inside, where the same
name is the same size; in an output of a user's file it is a name that nobody gave.
"""

from __future__ import annotations

from typing import TypeGuard

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass


def infer_sizes(model: ir.Model) -> None:
    """Infers the shapes of all values, in place."""
    given = named_sizes(model)
    ShapeInferencePass(data_prop=True)(model)
    forget_others(model, given)


def named_sizes(model: ir.Model) -> set[str]:
    """The names of sizes of inputs and outputs."""
    ends = (*model.graph.inputs, *model.graph.outputs)
    return {str(d.value) for v in ends for d in v.shape or () if _is_named(d)}


def forget_others(model: ir.Model, given: set[str]) -> None:
    """Takes the names of sizes of outputs away that are not `given`, in place."""
    for value in model.graph.outputs:
        if value.shape is not None:
            kept = [None if _is_named(d) and str(d.value) not in given else d for d in value.shape]
            value.shape = ir.Shape(kept)


def _is_named(size: int | ir.SymbolicDim) -> TypeGuard[ir.SymbolicDim]:
    return isinstance(size, ir.SymbolicDim) and size.value is not None
