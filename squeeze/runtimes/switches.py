"""Numbers that a graph compares an input of one number with, such as a rate of sampling that chooses a branch.

    Equal(sr, 16000) -> If      ->      sr is 16000

A made-up number would take whatever branch is left, which may fit none of the other inputs. Cases: Equal of the input
and a constant, in the graph or in a body of If, Loop or Scan, also behind Cast, Identity, Reshape, Squeeze, Unsqueeze.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

_PASSED = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")


def compared_with(model: Path) -> dict[str, float]:
    """Input -> the first number that it is compared with; nothing of a file that cannot be read."""
    try:
        graph = onnx.load(model, load_external_data=False).graph
    except (OSError, DecodeError):
        return {}
    found: dict[str, float] = {}
    _look(graph, {value.name: value.name for value in graph.input}, {}, found)
    return found


def _look(
    graph: onnx.GraphProto,
    outer: dict[str, str],
    known: dict[str, float],
    found: dict[str, float],
) -> None:
    """outer: value -> the input that it is; known: constants of one number."""
    inputs, constants = dict(outer), dict(known)
    for tensor in graph.initializer:
        _note(tensor.name, tensor, constants)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            _note(node.output[0], node.attribute[0].t, constants)
        elif node.op_type in _PASSED and node.input and node.input[0] in inputs:
            inputs[node.output[0]] = inputs[node.input[0]]
        elif node.op_type in _PASSED and node.input and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        elif node.op_type == "Equal" and len(node.input) == 2:
            for one, other in (tuple(node.input), tuple(node.input)[::-1]):
                if one in inputs and other in constants:
                    found.setdefault(inputs[one], constants[other])
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                if body.node:
                    _look(body, inputs, constants, found)


def _note(name: str, tensor: onnx.TensorProto, constants: dict[str, float]) -> None:
    """Adds a constant of one number; others are nothing to compare an input of one number with."""
    if all(size == 1 for size in tensor.dims) and not tensor.external_data:
        constants[name] = float(numpy_helper.to_array(tensor).reshape(-1)[0])
