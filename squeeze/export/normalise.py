"""Makes an exported graph the same bytes for the same module: no traces, no versions, stable names.

Cases: metadata and doc strings go; the batch has one name everywhere; values and nodes are named by their place
(`conv_3`), parameters keep the names they have in the module; IR version 9, which runtimes since 1.17 read.
"""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    IdentityEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

IR_VERSION = 9


def normalise(model: ir.Model, batch_name: str) -> None:
    """Rewrites `model` in place; what it computes stays."""
    IdentityEliminationPass()(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    RemoveUnusedNodesPass()(model)
    RemoveUnusedOpsetsPass()(model)
    ClearMetadataAndDocStringPass()(model)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "squeeze", None
    model.graph.name = "model"
    _name_nodes(model.graph)
    _name_batch(model.graph, batch_name)


def _name_nodes(graph: ir.Graph) -> None:
    kept = {v.name for v in (*graph.inputs, *graph.outputs)} | set(graph.initializers)
    count: Counter[str] = Counter()
    for node in graph:
        kind = node.op_type.lower()
        node.name = f"{kind}_{count[kind]}"
        for index, output in enumerate(node.outputs):
            if output.name not in kept:
                output.name = _free(f"{node.name}" + (f"_{index}" if index else ""), kept)
        count[kind] += 1


def _free(name: str, taken: set[str | None]) -> str:
    while name in taken:
        name += "_"
    return name


def _name_batch(graph: ir.Graph, batch_name: str) -> None:
    shape = graph.inputs[0].shape
    traced = None if shape is None or isinstance(shape[0], int) else shape[0].value
    if traced is None:
        return
    values = [*graph.inputs, *(v for node in graph for v in node.outputs)]
    for value in values:
        if value.shape is None:
            continue
        dims = [
            ir.SymbolicDim(batch_name) if isinstance(d, ir.SymbolicDim) and d.value == traced else d
            for d in value.shape
        ]
        value.shape = ir.Shape(dims)
