"""Takes away what nobody reads, in the bodies of If, Loop and Scan too."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def remove_unread(model: ir.Model) -> None:
    """Nodes and constants whose values nobody reads, in place."""
    RemoveUnusedNodesPass()(model)
    for inner in model.graph.subgraphs():  # the pass leaves their initialisers
        ends = {*inner.inputs, *inner.outputs}
        for name, value in list(inner.initializers.items()):
            if not value.uses() and value not in ends:
                del inner.initializers[name]
