"""Which ONNX graphs can be a teacher: known operators, float arithmetic, tensors of numbers in and out.

Model-local functions are inlined first, and nodes of one name are told apart. Refused, each with its name: operators of
unknown libraries, graphs that are quantised already, inputs and outputs that are no tensors of numbers, that share a
name, and inputs that nothing reads.
"""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import TensorProto, checker, helper, inliner

from squeeze import runtimes
from squeeze.errors import ConfigError, MeasureError, UnsupportedError
from squeeze.teacher.onnx.external import all_nodes
from squeeze.teacher.onnx.fused import DOMAIN, is_fused
from squeeze.teacher.onnx.opset import opset_of
from squeeze.teacher.onnx.quantised import how_quantised
from squeeze.teacher.onnx.signature import inputs_of

_LIBRARIES = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_WHOLE = {
    TensorProto.BOOL,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.INT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
    TensorProto.UINT8,
}


def check_operators(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """`model` without functions, and with inputs that are inputs. Raises ConfigError for invalid graphs, else
    UnsupportedError.
    """
    model = _inline(model, where)
    if (quantised := how_quantised(model)) is not None:
        raise UnsupportedError(
            f"{where}: {quantised.words}; give the float model it was made from"
            + (
                ", or put our ops into this one with squeeze lower"
                if quantised.kind == "qdq"
                else ""
            )
        )
    for node in all_nodes(model.graph):
        if node.domain not in _LIBRARIES:
            raise UnsupportedError(
                f"{where}: node '{node.name or node.output[0]}' is {node.domain}::{node.op_type}, an operator that "
                f"onnxruntime does not have; allowed: ONNX's own and com.microsoft. Export without it"
            )
    inputs = inputs_of(model.graph)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _check_interface(model.graph, where)
    _tell_apart(model, where)
    ends = [v.type.tensor_type for v in (*model.graph.input, *model.graph.output)]
    unshaped = [tensor for tensor in ends if not tensor.HasField("shape")]
    try:
        # Old graphs list their stored tensors as inputs, which version 4 made optional.
        model.ir_version = max(model.ir_version, 8)
        # The checker wants a shape, the runtime does not.
        for tensor in unshaped:
            tensor.shape.SetInParent()
        _check_standard(model)
        for tensor in unshaped:
            tensor.ClearField("shape")
    except (checker.ValidationError, ValueError, RuntimeError) as e:
        reason = str(e).strip().splitlines()[0][:200]
        raise ConfigError(f"{where}: not a valid ONNX model: {reason}") from e
    return model


def _check_standard(model: onnx.ModelProto) -> None:
    """Raises as the checker, which knows nothing of the runtime's own operators with standard names."""
    opset = opset_of(model)
    own = [n for n in model.graph.node if n.domain in ("", "ai.onnx") and is_fused(n, opset)]
    domains = [node.domain for node in own]
    for node in own:
        node.domain = DOMAIN
    try:
        checker.check_model(model)
    finally:
        for node, domain in zip(own, domains, strict=True):
            node.domain = domain


def _check_interface(graph: onnx.GraphProto, where: str) -> None:
    for role, values in (("input", graph.input), ("output", graph.output)):
        names = Counter(v.name for v in values)
        if not names:
            raise UnsupportedError(f"{where}: the model has no {role}; export it with one")
        doubled = [name for name, count in names.items() if count > 1 or not name]
        if doubled:
            raise ConfigError(
                f"{where}: {names[doubled[0]]} {role}s are called '{doubled[0]}'; export it with a name for each"
            )
        for value in values:
            _check_value(value, role, where)
    read = {name for node in all_nodes(graph) for name in node.input}
    read |= {v.name for v in graph.output}
    if unread := [v.name for v in graph.input if v.name not in read]:
        raise UnsupportedError(
            f"{where}: input '{unread[0]}' is never read by the model; export it without that input"
        )


def _check_value(value: onnx.ValueInfoProto, role: str, where: str) -> None:
    kind = value.type.WhichOneof("value")
    element = value.type.tensor_type.elem_type
    allowed = _FLOATS | _WHOLE
    if kind != "tensor_type" or element not in allowed:
        got = TensorProto.DataType.Name(element) if kind == "tensor_type" else str(kind)
        known = ", ".join(helper.tensor_dtype_to_np_dtype(t).name for t in sorted(allowed))
        raise UnsupportedError(
            f"{where}: {role} '{value.name}' is {got}; allowed: tensors of {known}"
        )


def _tell_apart(model: onnx.ModelProto, where: str) -> None:
    """Takes doubled names from nodes, in place: nobody outside of the graph sees them, and other passes go by them.

    The runtime opens many such files, and refuses some; those are refused here with what is wrong.
    """
    counts = Counter(node.name for node in all_nodes(model.graph) if node.name)
    doubled = [name for name, count in counts.items() if count > 1]
    if not doubled:
        return
    try:
        runtimes.session(model.SerializeToString(), optimise=False)
    except MeasureError as e:
        raise ConfigError(
            f"{where}: {counts[doubled[0]]} nodes have the name '{doubled[0]}', which onnxruntime does not open; "
            "give each node a name of its own, or none"
        ) from e
    seen: set[str] = set()
    for node in all_nodes(model.graph):
        if node.name in seen:
            node.name = ""
        elif node.name:
            seen.add(node.name)


def _inline(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    if not model.functions:
        return model
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as e:
        raise ConfigError(
            f"{where}: its functions cannot be inlined: {str(e).strip().splitlines()[0][:200]}"
        ) from e
