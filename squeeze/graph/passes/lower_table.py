"""Finds rows of embedding tables in packed codes, as `squeeze.quant.table_codes` writes them: CodebookGather2, 3, 4.

Taken: the operators of the op's body, one by one the same, whose codes, levels and scales are constants.
Left:  tables in bodies of If, Loop and Scan; whoever else reads something in between still has it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.layout import Planned, Unit
from squeeze.graph.qdq import Reasons
from squeeze.graph.values import constant, is_op, producer, rank
from squeeze.ops.body import Body
from squeeze.ops.codebookgather import gathered
from squeeze.ops.signatures import GATHERS, SIGNATURES

FAMILY = "CodebookGather"
MOST_DIMENSIONS = 7

# What an input of the body is in the graph.
Given = dict[str, ir.Value]


def find(graph: ir.Graph) -> tuple[list[Unit], Reasons]:
    """The nodes to be made; nothing else looks like such a table."""
    bodies = {bits: Body(SIGNATURES[op_type].names) for bits, op_type in GATHERS.items()}
    results = {bits: gathered(body, bits, graph.opset_imports[""]) for bits, body in bodies.items()}
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
    return (
        made is not None
        and is_op(made, model.op_type)
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
    """But the one that hangs on the opset, and matters where there are no ids."""
    return {key: a.value for key, a in node.attributes.items() if key != "allowzero"}


def _fits(given: Given, bits: int) -> bool:
    """Whether the op takes inputs of these types and shapes."""
    ids = given["ids"]
    if ids.dtype not in (ir.DataType.INT32, ir.DataType.INT64):
        return False
    if (rank(ids) or 0) > MOST_DIMENSIONS:
        return False
    levels, scales, codes = (constant(given[name]) for name in ("levels", "scales", "codes"))
    if levels is None or levels.dtype != np.float32 or levels.shape != (1 << bits,):
        return False
    if codes is None or codes.dtype != np.uint8 or codes.ndim != 2 or not codes.size:
        return False
    if scales is None or scales.dtype != np.float32 or scales.shape != (len(codes), 1):
        return False
    if bits != 3:
        return True
    high = constant(given["high_codes"])
    wanted = (len(codes), codes.shape[1] // 2)
    return (
        high is not None
        and high.dtype == np.uint8
        and high.shape == wanted
        and codes.shape[1] % 2 == 0
    )
