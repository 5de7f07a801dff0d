"""Which ONNX graphs can be a teacher: known operators, float arithmetic, one input and one output tensor.

Model-local functions are inlined first. Refused, each with the node's name: operators of unknown libraries, graphs
that are quantised already, several inputs or outputs, and anything but tensors of numbers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, checker, helper, inliner

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.onnx.external import all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIBRARIES = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_QUANTISED = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "MatMulNBits",
    "QConv",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_INTEGERS = {TensorProto.INT32, TensorProto.INT64}
_MOST_NODES = 200_000


def check_operators(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """`model` without functions and with one input. Raises ConfigError for invalid graphs, else UnsupportedError."""
    model = _inline(model, where)
    counts = Counter(node.op_type for node in all_nodes(model.graph))
    if quantised := sorted(counts.keys() & _QUANTISED):
        listed = ", ".join(f"{counts[op]} {op}" for op in quantised)
        raise UnsupportedError(
            f"{where}: quantised already ({listed}); give the float model it was made from"
        )
    for node in all_nodes(model.graph):
        if node.domain not in _LIBRARIES:
            raise UnsupportedError(
                f"{where}: node '{node.name or node.output[0]}' is {node.domain}::{node.op_type}, an operator that "
                f"onnxruntime does not have; allowed: ONNX's own and com.microsoft. Export without it"
            )
    stored = {t.name for t in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _check_interface(model.graph, where)
    try:
        # Old graphs list their stored tensors as inputs, which version 4 made optional.
        model.ir_version = max(model.ir_version, 8)
        checker.check_model(model)
    except (checker.ValidationError, ValueError, RuntimeError) as e:
        reason = str(e).strip().splitlines()[0][:200]
        raise ConfigError(f"{where}: not a valid ONNX model: {reason}") from e
    return model


def _check_interface(graph: onnx.GraphProto, where: str) -> None:
    names = [[v.name for v in values] for values in (graph.input, graph.output)]
    if len(names[0]) != 1 or len(names[1]) != 1:
        raise UnsupportedError(
            f"{where}: inputs {', '.join(names[0]) or 'none'}, outputs {', '.join(names[1]) or 'none'}; "
            "allowed: one input tensor and one output tensor. Export the model with one of each"
        )
    _check_value(graph.input[0], _FLOATS | _INTEGERS, "input", where)
    _check_value(graph.output[0], _FLOATS, "output", where)


def _check_value(value: onnx.ValueInfoProto, allowed: Iterable[int], role: str, where: str) -> None:
    kind = value.type.WhichOneof("value")
    element = value.type.tensor_type.elem_type
    if kind != "tensor_type" or element not in set(allowed):
        got = TensorProto.DataType.Name(element) if kind == "tensor_type" else str(kind)
        known = ", ".join(helper.tensor_dtype_to_np_dtype(t).name for t in sorted(allowed))
        hint = "; export the model without its ArgMax" if role == "output" else ""
        raise UnsupportedError(
            f"{where}: {role} '{value.name}' is {got}; allowed: tensors of {known}{hint}"
        )


def _inline(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    if not model.functions:
        return model
    _check_size(model, where)
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as e:
        raise ConfigError(
            f"{where}: its functions cannot be inlined: {str(e).strip().splitlines()[0][:200]}"
        ) from e


def _check_size(model: onnx.ModelProto, where: str) -> None:
    """Refuses functions that call themselves, and calls that would multiply to a huge graph."""
    bodies = {(f.domain, f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[onnx.NodeProto], inside: frozenset[tuple[str, str]]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in inside:
                raise ConfigError(f"{where}: the function {key[0]}::{key[1]} calls itself")
            if key in bodies and key not in sizes:
                sizes[key] = size(bodies[key], inside | {key})
            total += sizes.get(key, 1)
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    total += size(inner.node, inside)
        return total

    if size(model.graph.node, frozenset()) > _MOST_NODES:
        raise ConfigError(f"{where}: its functions expand to more than {_MOST_NODES:,} nodes")
