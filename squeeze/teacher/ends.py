"""What a model says of its inputs and outputs, looked up without running or exporting it."""

from __future__ import annotations

from pathlib import Path

from squeeze.calib.states import End
from squeeze.teacher.source import classify

Ends = tuple[tuple[End, ...], tuple[End, ...]]


def ends_of(source: str, weights: str | None) -> Ends | None:
    """Inputs and outputs in the model's order; None for a factory, which does not say what its model takes.

    Raises ConfigError or UnsupportedError as `squeeze.teacher.load` for sources that are missing, damaged or no model.
    """
    kind = classify(source, weights)
    if kind == "factory":
        return None
    if kind == "onnx":
        from squeeze.teacher.onnx.external import read_graph
        from squeeze.teacher.onnx.signature import declared, inputs_of

        graph = read_graph(Path(source)).graph
        inputs = [declared(value) for value in inputs_of(graph)]
        outputs = [declared(value) for value in graph.output]
    else:
        from squeeze.teacher.pt2.program import read_ends

        inputs, outputs = (list(side) for side in read_ends(Path(source)))
    return (
        tuple(End(d.name, d.dtype, d.sizes) for d in inputs),
        tuple(End(d.name, d.dtype, d.sizes) for d in outputs),
    )
