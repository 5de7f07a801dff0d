"""How many rows the tables have that a graph looks the numbers of an input up in: embeddings of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.teacher.onnx.signature import inputs_of

if TYPE_CHECKING:
    import onnx

# What leaves the numbers as they are.
_PASSING = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
# Operator -> which inputs are the numbers and the table.
_LOOKUPS = {"EmbedLayerNormalization": (0, 2), "Gather": (1, 0)}


def input_at(node: onnx.NodeProto, index: int) -> str:
    """The name of an input; "" where the node has fewer: tables are looked for before a file is checked."""
    return node.input[index] if index < len(node.input) else ""


def id_tables(graph: onnx.GraphProto) -> dict[str, int]:
    """Input -> rows of the smallest constant table that its numbers choose from."""
    rows = {tensor.name: tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) > 1}
    origin = {value.name: value.name for value in inputs_of(graph)}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in _PASSING and input_at(node, 0) in origin:
            origin |= dict.fromkeys(node.output[:1], origin[node.input[0]])
        if node.op_type not in _LOOKUPS or any(a.name == "axis" and a.i for a in node.attribute):
            continue
        numbers, table = (input_at(node, i) for i in _LOOKUPS[node.op_type])
        if numbers in origin and table in rows:
            known = found.get(origin[numbers], rows[table])
            found[origin[numbers]] = min(known, rows[table])
    return found
