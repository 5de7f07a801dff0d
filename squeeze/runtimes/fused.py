"""What the runtime makes of a graph: the operators that are left after its own fusions, counted.

A quantised file is only fast when its Q/DQ pairs fused: count QLinearConv against Conv and FusedConv.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import onnx

from squeeze.runtimes.ort import session


def fused_ops(model: Path, *, native: bool = True) -> dict[str, int]:
    """Operator type -> count in ONNX Runtime's optimised graph, most frequent first. Raises MeasureError."""
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        session(model, native=native, optimised_path=optimised)
        graph = onnx.load(optimised, load_external_data=False).graph
    counts = Counter(node.op_type for node in graph.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
