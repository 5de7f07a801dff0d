"""Makes an exported graph the same bytes for the same module: no traces, no versions, stable names.

Cases: metadata and doc strings go; the batch and other free sizes have one name everywhere; values and nodes are named
by their place (`conv_3`), parameters keep the names they have in the module; IR version 9, which runtimes since 1.17
read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    IdentityEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

IR_VERSION = 9


def normalise(model: ir.Model, names: Sequence[Mapping[int, str]]) -> None:
    """Rewrites `model` in place; what it computes stays. names: of each input, by axis, of sizes that may vary."""
    IdentityEliminationPass()(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    RemoveUnusedNodesPass()(model)
    RemoveUnusedOpsetsPass()(model)
    ClearMetadataAndDocStringPass()(model)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "squeeze", None
    model.graph.name = "model"
    _name_nodes(model.graph)
    _name_sizes(model.graph, names)


def _name_nodes(graph: ir.Graph) -> None:
    kept = {v.name for v in (*graph.inputs, *graph.outputs)} | set(graph.initializers)
    count: Counter[str] = Counter()
    for node in graph:
        kind = node.op_type.lower()
        node.name = f"{kind}_{count[kind]}"
        for index, output in enumerate(node.outputs):
            if not output.is_graph_output():  # one inside may be called as an output is
                output.name = _free(f"{node.name}" + (f"_{index}" if index else ""), kept)
        count[kind] += 1


def _free(name: str, taken: set[str | None]) -> str:
    while name in taken:
        name += "_"
    return name


def _name_sizes(graph: ir.Graph, names: Sequence[Mapping[int, str]]) -> None:
    traced: dict[str, str] = {}
    for value, axes in zip(graph.inputs, names, strict=True):
        for axis, name in axes.items():
            size = None if value.shape is None else value.shape[axis]
            if isinstance(size, ir.SymbolicDim) and size.value is not None:
                traced[size.value] = name
    values = [*graph.inputs, *(v for node in graph for v in node.outputs)]
    for value in values:
        if value.shape is None or not traced:
            continue
        dims = [
            ir.SymbolicDim(traced[d.value])
            if isinstance(d, ir.SymbolicDim) and d.value in traced
            else d
            for d in value.shape
        ]
        value.shape = ir.Shape(dims)
