"""What an ONNX file has to compute and to store: MACs per node, parameters, bytes. Counted, never timed.

MACs are those of one sample, see `macs`. A node that should count but whose shapes stay unknown to ONNX's own shape
inference, or whose arithmetic is not known here (Einsum, attention), is listed in `unknown`, never guessed.

Parameters are the stored numbers that take part in arithmetic: weights, biases, tables. Not: scales and zero
points, shapes and axes (64-bit integers), single constants. Weight bytes are all stored tensors, scales included.
Packed indices count as the weights that they stand for, with their bits each; codebooks, like scales, as bytes alone.
Model-local functions are inlined first, except our ops that multiply, whose bodies only say what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import inliner, shape_inference

from squeeze import ops
from squeeze.account.known_sizes import with_known_sizes
from squeeze.account.macs import NOT_KNOWN, WEIGHT_INPUT, Shape, node_macs
from squeeze.account.stored import file_bytes, stored, tensor_bits, tensor_bytes
from squeeze.errors import MeasureError

_KEEP_VALUES_UP_TO = 1024  # shape inference reads small constants only
# What may stand between a stored weight and the node that uses it.
_PASSES_WEIGHTS_ON = {"Cast", "DequantizeLinear", "Identity", "Reshape", "Transpose"}
# What the runtime may fuse into the node before it, whose name is then lost.
_FUSED_INTO_WEIGHTED = {
    "BatchNormalization",
    "Clip",
    "HardSigmoid",
    "LeakyRelu",
    "QuantizeLinear",
    "Relu",
    "Sigmoid",
    "Tanh",
}


@dataclass(frozen=True)
class NodeComplexity:
    """One node that multiplies and accumulates, for one sample. The weight is 0 bits when it is computed.

    `aliases` are the names that the runtime may give it once it is fused: its own, and those of its value and of the
    element-wise nodes behind it. `shape` is that of its output, batch included.
    """

    name: str
    op: str
    macs: int
    weight_bits: int
    weight_bytes: int
    aliases: frozenset[str]
    shape: Shape = ()


@dataclass(frozen=True)
class Complexity:
    """What a file computes and stores. `unknown` names the nodes that are missing in `macs`, and why."""

    macs: int
    params: int
    weight_bytes: int
    file_bytes: int
    nodes: tuple[NodeComplexity, ...]
    unknown: tuple[str, ...]


def complexity(
    model: Path, shapes: Mapping[str, Shape] | None = None, *, batch_size: int | None = None
) -> Complexity:
    """Counts `model` for one sample. `shapes` (by input, batch included) give sizes to dimensions that may vary;
    without them only the batch is known. batch_size: how many samples a run takes, for models whose batch is not their
    inputs' first dimension; without `shapes` all that may vary is the batch then. Raises MeasureError when the file is
    no valid model.
    """
    read_proto = read(model)
    held = stored(read_proto)
    ours = frozenset(f.name for f in read_proto.functions if f.name in WEIGHT_INPUT)
    proto, batch = inferred(model, read_proto, shapes or {}, batch_size, ours)
    nodes: list[NodeComplexity] = []
    unknown: list[str] = []
    _walk(proto.graph, {}, nodes, unknown)
    per_sample = tuple(replace(node, macs=node.macs // batch) for node in nodes)
    total = sum(node.macs for node in per_sample)
    return Complexity(total, held.params, held.bytes, file_bytes(model), per_sample, tuple(unknown))


def inferred(
    model: Path,
    proto: onnx.ModelProto,
    shapes: Mapping[str, Shape],
    batch_size: int | None,
    kept: Collection[str],
) -> tuple[onnx.ModelProto, int]:
    """What was `read` from `model`, with the shapes of all values as far as they follow; and the batch.

    shapes, batch_size: as for `complexity`. kept: names of functions that are not inlined. The values of large tensors
    are gone. Changes `proto`. Raises MeasureError.
    """
    batch = _fix_inputs(proto, shapes, batch_size)
    for tensor in proto.graph.initializer:
        if math.prod(tensor.dims) > _KEEP_VALUES_UP_TO:
            tensor.CopyFrom(
                onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            )
    try:
        return with_known_sizes(_inlined(proto, kept)), batch
    except (shape_inference.InferenceError, RuntimeError, ValueError) as e:
        raise MeasureError(f"{model}: not a valid model: {str(e).strip().splitlines()[0]}") from e


def read(model: Path) -> onnx.ModelProto:
    """The file without its external data, each node of ours with all of its attributes (`_presets`).

    Raises MeasureError when it is not an ONNX file.
    """
    try:
        proto = onnx.load(model, load_external_data=False)
    except OSError as e:
        raise MeasureError(f"{model}: cannot be read: {e.strerror}") from e
    except DecodeError as e:
        raise MeasureError(f"{model}: not an ONNX file: {e}") from e
    if not proto.graph.output:
        raise MeasureError(f"{model}: not an ONNX file, or one without a graph")
    presets = _presets(proto)
    return inliner.inline_selected_functions(proto, presets) if presets else proto


def _presets(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    """The functions of others that are one node of ours with its attributes, which compact files write once."""
    return [
        (f.domain, f.name)
        for f in proto.functions
        if f.domain != ops.DOMAIN and [n.domain for n in f.node] == [ops.DOMAIN]
    ]


def _fix_inputs(proto: onnx.ModelProto, shapes: Mapping[str, Shape], batch_size: int | None) -> int:
    """Puts numbers in place of the inputs' varying dimensions, in place. Returns the batch."""
    # Some exporters write -1 or 0 for them.
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.ClearField("dim_value")
    stored_names = {t.name for t in proto.graph.initializer}
    batch = 1
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in stored_names or not dims:
            continue
        given = shapes.get(value.name)
        if given is None or len(given) != len(dims):
            given = (1,) if batch_size is None else (batch_size,) * len(dims)
        for dim, size in zip(dims, given, strict=False):
            if not dim.HasField("dim_value"):
                dim.dim_value = size
        batch = max(batch, dims[0].dim_value)
    # Stated shapes that name the varying batch would win over the inferred ones.
    for value in (*proto.graph.output, *proto.graph.value_info):
        if any(not d.HasField("dim_value") for d in value.type.tensor_type.shape.dim):
            value.type.tensor_type.ClearField("shape")
    return batch if batch_size is None else batch_size


def _inlined(proto: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    ours = [(f.domain, f.name) for f in proto.functions if f.name in kept]
    if len(ours) == len(proto.functions):
        return proto
    return inliner.inline_selected_functions(proto, ours, exclude=True)


def _walk(
    graph: onnx.GraphProto,
    outer: Mapping[str, Shape],
    nodes: list[NodeComplexity],
    unknown: list[str],
) -> None:
    """Appends the complexity of each node, those inside of If and Loop once."""
    shapes = {**outer, **shapes_in(graph)}
    weights = _weights(graph)
    names = _later_names(graph)
    for node in graph.node:
        name = node.name or (node.output[0] if node.output else "")
        bodies = [g for a in node.attribute for g in (a.g, *a.graphs) if g.node]
        for body in bodies:
            _walk(body, shapes, nodes, unknown)
        if bodies:
            said = "both branches are counted" if len(bodies) > 1 else "its body is counted once"
            unknown.append(f"{name} ({node.op_type}): {said}")
        if node.op_type in NOT_KNOWN:
            unknown.append(f"{name} ({node.op_type}): not counted")
        if node.op_type not in WEIGHT_INPUT:
            continue
        count = node_macs(node, shapes)
        if count is None:
            unknown.append(f"{name} ({node.op_type}): shapes unknown")
            continue
        bits, size = _weight(node, weights)
        aliases = frozenset({name, *names.get(node.output[0], ())})
        shape = shapes.get(node.output[0], ())
        nodes.append(NodeComplexity(name, node.op_type, count, bits, size, aliases, shape))


def _weight(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> tuple[int, int]:
    """Bits of one weight, and bytes of all, codebooks included; zeros when they are computed."""
    position = WEIGHT_INPUT[node.op_type]
    weight = weights.get(node.input[position])
    if weight is None:
        return 0, 0
    ours = ops.SIGNATURES.get(node.op_type)
    at = ours.position("codebooks") if ours is not None else None
    bits = next((a.i for a in node.attribute if a.name == "bits"), None)
    if bits is None or at is None:
        return tensor_bits(weight), tensor_bytes(weight)
    books = weights.get(node.input[at])
    return bits, tensor_bytes(weight) + (tensor_bytes(books) if books is not None else 0)


def _weights(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Value name -> the stored tensor that it is, or is a view or a dequantised form of."""
    found = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type in _PASSES_WEIGHTS_ON and node.input and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return found


def _later_names(graph: onnx.GraphProto) -> dict[str, set[str]]:
    """Value name -> it, and the names of the nodes and values in the chain of element-wise nodes behind it."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found: dict[str, set[str]] = {}
    for node in reversed(graph.node):
        for output in node.output[:1]:
            later = {output}
            behind = users.get(output, [])
            if len(behind) == 1 and behind[0].op_type in _FUSED_INTO_WEIGHTED:
                later |= {behind[0].name} | found.get(behind[0].output[0], set())
            found[output] = later
    return found


def shapes_in(graph: onnx.GraphProto) -> dict[str, Shape]:
    """Value name -> its shape, None for sizes that are not known; of stored and inferred values."""
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            shapes[value.name] = tuple(
                d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim
            )
    return shapes
