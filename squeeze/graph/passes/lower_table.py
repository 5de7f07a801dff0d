"""Finds rows of embedding tables in packed codes, as `squeeze.quant.table_codes` writes them: CodebookGather2, 3, 4.

Taken: the operators of the op's body, one by one the same, whose codes, levels and scales are constants; a Flatten in
       place of the Reshape.
Left:  tables in bodies of If, Loop and Scan; whoever else reads something in between still has it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.layout import Planned, Unit
from squeeze.graph.qdq import Reasons
from squeeze.graph.values import constant, integer, is_op, producer, rank
from squeeze.ops.body import Body
from squeeze.ops.codebookgather import gathered
from squeeze.ops.signatures import GATHERS, PLANES, SIGNATURES

FAMILY = "CodebookGather"
MOST_DIMENSIONS = 7

# What an input of the body is in the graph.
Given = dict[str, ir.Value]


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made; nothing else looks like such a table."""
    bodies = {bits: Body(SIGNATURES[op_type].names) for bits, op_type in GATHERS.items()}
    results = {bits: gathered(body, bits) for bits, body in bodies.items()}
    found: list[Unit] = []
    for node in graph:
        if not is_op(node, "Mul") or producer(node.inputs[1], "Gather") is None:
            continue
        for bits, wanted in results.items():
            given: Given = {}
            if _same(node.outputs[0], wanted, bodies[bits], given) and _fits(given, bits):
                found.append((_planned(node, bits, given),))
                break
    return found, {}


def _planned(node: ir.Node, bits: int, given: Given) -> Planned:
    y = node.outputs[0]
    return Planned(FAMILY, GATHERS[bits], node.name or f"{y.name}_rows", node, y, dict(given))


def _same(value: ir.Value | None, wanted: ir.Value, body: Body, given: Given) -> bool:
    """Whether `value` is computed as `wanted` of `body` is; then `given` has what the body's inputs are."""
    name = str(wanted.name)
    if body.inputs.get(name) is wanted:
        return value is not None and given.setdefault(name, value) is value
    model, made = wanted.producer(), None if value is None else value.producer()
    assert model is not None  # all but the inputs are made
    if is_op(model, "Constant"):
        array, there = model.attributes["value"].as_tensor().numpy(), constant(value)
        return there is not None and there.dtype == array.dtype and np.array_equal(there, array)
    if made is None:
        return False
    if is_op(model, "Reshape") and is_op(
        made, "Flatten"
    ):  # as `use_flatten` writes it, of ids of one dimension
        flat = integer(made, "axis", 1) == 1 and rank(made.inputs[0]) == 3
        return flat and _same(made.inputs[0], _input(model, 0), body, given)
    return (
        is_op(made, model.op_type)
        and len(made.inputs) == len(model.inputs)
        and _attributes(made) == _attributes(model)
        and all(_same(v, _input(model, i), body, given) for i, v in enumerate(made.inputs))
    )


def _input(model: ir.Node, index: int) -> ir.Value:
    """Of a node of a body, which has all of its inputs."""
    value = model.inputs[index]
    assert value is not None
    return value


def _attributes(node: ir.Node) -> dict[str, object]:
    return {key: attribute.value for key, attribute in node.attributes.items()}


def _fits(given: Given, bits: int) -> bool:
    """Whether the op takes inputs of these types and shapes."""
    ids = given["ids"]
    if ids.dtype not in (ir.DataType.INT32, ir.DataType.INT64):
        return False
    if (rank(ids) or 0) > MOST_DIMENSIONS:
        return False
    planes = [constant(given[name]) for name in SIGNATURES[GATHERS[bits]].names[1:-2]]
    levels, scales = constant(given["levels"]), constant(given["scales"])
    if levels is None or levels.dtype != np.float32 or levels.shape != (1 << bits,):
        return False
    widths = set()
    for low, plane in zip(PLANES[bits], planes, strict=True):
        if plane is None or plane.dtype != np.uint8 or plane.ndim != 2 or not plane.size:
            return False
        if scales is None or scales.dtype != np.float32 or scales.shape != (len(plane), 1):
            return False
        widths.add(plane.shape[1] * 8 // low)
    return len(widths) == 1
