"""What a runtime runs of an ONNX file, one operation after the other: what each reads, writes, multiplies and stores.

An operation is a node, or several that runtimes run as one: a convolution or matrix product with the activation behind
it; a float convolution with the constants behind it and the addition of a residual as well; an int8 layer from its
DequantizeLinear to its QuantizeLinear, which reads and writes codes and no floats. What follows from constants alone is
no operation, and neither is the shape of a value whose shape is known. Our own operators are one operation each, as in
our library; other functions are written out.

The order is that of the file. Sizes that do not follow from the file are listed in `unknown` and count as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from squeeze import ops
from squeeze.account.fusion import Layer, Seen, bodies_of, captured, layers_of
from squeeze.account.loops import runs_of_body, whole_numbers
from squeeze.account.macs import NOT_KNOWN, WEIGHT_INPUT, Shape, node_macs
from squeeze.account.stored import tensor_bytes
from squeeze.account.weigh import inferred, read, shapes_in

_VIEWS = {"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
# Those of which ONNX Runtime 1.31 was seen to take no memory for the result (tests/account/test_liveness.py); sums,
# products and most functions of ONNX do.
_IN_PLACE = {
    *("Cast", "Clip", "Elu", "HardSigmoid", "LeakyRelu", "LogSoftmax", "Relu", "Selu", "Sigmoid"),
    *("Softmax", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"),
}
_OF_SHAPES = {"Shape", "Size"}
_INTEGER_OPERATORS = {"ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", *ops.SIGNATURES}


@dataclass(frozen=True)
class Operation:
    """One kernel. reads, writes: names of values that are computed; weight_bytes: of what it reads that is stored.

    integer: it multiplies integers. macs: of all samples of a run, None where it multiplies in ways that are not
    counted. onto: of what it reads, in whose place it may write its first output. view: that output is its first input
    in another shape. bodies: of If, Loop and Scan; they see the values around them. runs: of a body, each time.
    """

    name: str
    op: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    weight_bytes: int
    macs: int | None
    integer: bool
    onto: tuple[str, ...] = ()
    view: bool = False
    bodies: tuple[Operations, ...] = ()
    runs: int = 1


@dataclass(frozen=True)
class Operations:
    """In their order. value_bytes: of every value that is computed or given; batch: samples of one run."""

    operations: tuple[Operation, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    value_bytes: Mapping[str, int]
    weight_bytes: int
    batch: int
    unknown: tuple[str, ...]


def operations(
    model: Path, shapes: Mapping[str, Shape] | None = None, *, batch_size: int | None = None
) -> Operations:
    """Those of an ONNX file for one sample; shapes and batch_size as for `squeeze.account.complexity`.

    Raises MeasureError when it is no valid model.
    """
    proto = read(model)
    kept = frozenset(f.name for f in proto.functions if f.domain == ops.DOMAIN)
    proto, batch = inferred(model, proto, shapes or {}, batch_size, kept)
    found = _of_graph(proto.graph, Seen({}, {}, {}, {}))
    return replace(found, batch=batch)


def _of_graph(graph: onnx.GraphProto, around: Seen) -> Operations:
    seen, own_bytes = _seen(graph, around)
    computed = [n for n in graph.node if not (n.output and n.output[0] in seen.stored)]
    layers, hidden = layers_of(graph, computed, seen)
    unknown: list[str] = []
    found = [
        _operation(layers[id(node)], seen, unknown) for node in computed if id(node) not in hidden
    ]
    given = tuple(v.name for v in graph.input if v.name not in seen.stored)
    written = (*given, *(name for one in found for name in one.writes))
    unknown += [f"{name}: size unknown" for name in written if name not in seen.value_bytes]
    sizes = {name: seen.value_bytes.get(name, 0) for name in written}
    outputs = tuple(v.name for v in graph.output)
    inner = sum(body.weight_bytes for one in found for body in one.bodies)
    return Operations(
        tuple(found), given, outputs, sizes, own_bytes + inner, 1, tuple(dict.fromkeys(unknown))
    )


def _seen(graph: onnx.GraphProto, around: Seen) -> tuple[Seen, int]:
    """What the nodes of a graph see, and the bytes that it stores itself."""
    shapes = {**around.shapes, **shapes_in(graph)}
    sizes = {**around.value_bytes, **_value_bytes(graph, shapes)}
    stored = {**around.stored, **{t.name: tensor_bytes(t) for t in graph.initializer}}
    own = sum(tensor_bytes(tensor) for tensor in graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant":
            size = sum(tensor_bytes(a.t) for a in node.attribute if a.HasField("t"))
            own += size
            stored[node.output[0]] = size
        elif node.op_type in _OF_SHAPES:
            shape = shapes.get(node.input[0])
            if shape is not None and None not in shape:
                stored[node.output[0]] = 0
        elif (
            node.input
            and all(name in stored for name in node.input if name)
            and not bodies_of(node)
        ):
            for name in node.output:
                stored[name] = sum(stored[given] for given in node.input if given)
    numbers = {**around.whole_numbers, **whole_numbers(graph)}
    return Seen(shapes, sizes, stored, numbers), own


def _value_bytes(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> dict[str, int]:
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind, shape = value.type.tensor_type.elem_type, shapes.get(value.name)
        if shape is None or None in shape or kind in (TensorProto.UNDEFINED, TensorProto.STRING):
            continue
        width = helper.tensor_dtype_to_np_dtype(kind).itemsize
        found[value.name] = math.prod(d for d in shape if d is not None) * width
    return found


def _operation(layer: Layer, seen: Seen, unknown: list[str]) -> Operation:
    node = layer.first
    name = node.name or (node.output[0] if node.output else node.op_type)
    bodies = tuple(_of_graph(body, seen) for body in bodies_of(node))
    given = [*node.input, *captured(node), layer.residual]
    read_names = [layer.codes.get(n, n) for n in given if n]
    macs: int | None = 0
    if node.op_type in WEIGHT_INPUT:
        macs = node_macs(node, seen.shapes)
    elif node.op_type in NOT_KNOWN:
        macs = None
    if macs is None:
        unknown.append(f"{name} ({node.op_type}): multiplications not counted")
    runs, left_open = runs_of_body(node, seen.shapes, seen.whole_numbers)
    if left_open:
        unknown.append(f"{name} ({node.op_type}): {left_open}")
    unknown += [line for body in bodies for line in body.unknown]
    reads = tuple(dict.fromkeys(n for n in read_names if n not in seen.stored))
    return Operation(
        name=name,
        op=node.op_type,
        reads=reads,
        writes=tuple(n for n in layer.last.output if n),
        weight_bytes=sum(seen.stored[n] for n in dict.fromkeys(read_names) if n in seen.stored),
        macs=macs,
        integer=bool(layer.codes)
        or node.op_type in _INTEGER_OPERATORS
        or node.op_type.startswith("QLinear"),
        onto=reads
        if node.op_type in _IN_PLACE
        else tuple(n for n in reads if n == layer.residual and n not in node.input),
        view=node.op_type in _VIEWS,
        bodies=bodies,
        runs=runs,
    )
