"""What a graph is made of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def count_ops(model: ir.Model) -> dict[str, int]:
    """Op type -> number of nodes, sorted; ops outside ONNX carry their domain ('ai.squeeze::QConv')."""
    found = Counter(
        f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        for node in model.graph.all_nodes()
    )
    return dict(sorted(found.items()))
