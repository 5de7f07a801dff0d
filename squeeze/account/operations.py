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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from squeeze import ops
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
# What convolutions and matrix products take in behind them; the first ones change weights and bias alone.
_FOLDED = {"Add", "BatchNormalization", "Mul"}
_SUMS = {"Add", "Sum"}
_TAKEN_IN = {"Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
_OF_SHAPES = {"Shape", "Size"}
_INTEGER_OPERATORS = {"ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", *ops.SIGNATURES}


@dataclass(frozen=True)
class Operation:
    """One kernel. reads, writes: names of values that are computed; weight_bytes: of what it reads that is stored.

    integer: it multiplies integers. macs: of all samples of a run, None where it multiplies in ways that are not
    counted. onto: of what it reads, in whose place it may write its first output. view: that output is its first input
    in another shape. bodies: of If, Loop and Scan; they see the values around them.
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
    """Those of an ONNX file for one sample; shapes and batch_size as for `squeeze.account.cost`.

    Raises MeasureError when it is no valid model.
    """
    proto = read(model)
    kept = frozenset(f.name for f in proto.functions if f.domain == ops.DOMAIN)
    proto, batch = inferred(model, proto, shapes or {}, batch_size, kept)
    found = _of_graph(proto.graph, _Around({}, {}, {}))
    return replace(found, batch=batch)


@dataclass(frozen=True)
class _Around:
    """What a graph sees. shapes and value_bytes: of all values; stored: bytes behind each constant."""

    shapes: Mapping[str, Shape]
    value_bytes: Mapping[str, int]
    stored: Mapping[str, int]


@dataclass(frozen=True)
class _Layer:
    """Nodes that run as one; `first` is the one that it is called after. codes: what it reads in place of dequantised
    values. residual: what is added to its product."""

    first: onnx.NodeProto
    last: onnx.NodeProto
    codes: Mapping[str, str]
    residual: str = ""


def _of_graph(graph: onnx.GraphProto, around: _Around) -> Operations:
    seen, own_bytes = _seen(graph, around)
    computed = [n for n in graph.node if not (n.output and n.output[0] in seen.stored)]
    layers, hidden = _layers(graph, computed, seen)
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


def _seen(graph: onnx.GraphProto, around: _Around) -> tuple[_Around, int]:
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
            node.input and all(name in stored for name in node.input if name) and not _bodies(node)
        ):
            for name in node.output:
                stored[name] = sum(stored[given] for given in node.input if given)
    return _Around(shapes, sizes, stored), own


def _value_bytes(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> dict[str, int]:
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind, shape = value.type.tensor_type.elem_type, shapes.get(value.name)
        if shape is None or None in shape or kind in (TensorProto.UNDEFINED, TensorProto.STRING):
            continue
        width = helper.tensor_dtype_to_np_dtype(kind).itemsize
        found[value.name] = math.prod(d for d in shape if d is not None) * width
    return found


def _layers(
    graph: onnx.GraphProto, computed: Sequence[onnx.NodeProto], seen: _Around
) -> tuple[dict[int, _Layer], set[int]]:
    """The layer that each node begins, by the node's identity; and the nodes that are inside of one or before it."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in computed:
        for name in {*node.input, *_captured(node)} - {""}:
            users.setdefault(name, []).append(node)
    ends = {value.name for value in graph.output}
    dequantised = {n.output[0]: n for n in computed if n.op_type == "DequantizeLinear"}
    layers: dict[int, _Layer] = {}
    hidden: set[int] = set()
    absorbed: set[tuple[int, str]] = (
        set()
    )  # a layer and the dequantised value that it does not need
    made = {value.name for value in graph.input}
    for node in computed:
        if id(node) in hidden:
            continue
        chain = _chain(node, users, ends)
        codes = _codes(node, chain, dequantised, seen)
        residual = ""
        if not codes:
            chain, residual = _taken_in(node, chain, made, seen)
        last = chain[-1] if chain else node
        layers[id(node)] = _Layer(node, last, codes, residual)
        hidden.update(map(id, chain))
        absorbed.update((id(node), name) for name in codes)
        made.update(last.output)
    for name, dequantise in dequantised.items():
        reading = users.get(name, ())
        if reading and name not in ends and all((id(u), name) in absorbed for u in reading):
            hidden.add(id(dequantise))
    return layers, hidden


def _chain(
    node: onnx.NodeProto, users: Mapping[str, Sequence[onnx.NodeProto]], ends: set[str]
) -> list[onnx.NodeProto]:
    """What is behind `node`, each the only reader of the one before: sums, activations, a QuantizeLinear."""
    chain: list[onnx.NodeProto] = []
    last = node
    if node.op_type in ("DequantizeLinear", "QuantizeLinear") or _bodies(node):
        return chain
    inside = {*_TAKEN_IN, *_FOLDED, *_SUMS, "QuantizeLinear"}
    while len(last.output) == 1 and last.output[0] not in ends and last.op_type != "QuantizeLinear":
        after = users.get(last.output[0], ())
        if len(after) != 1 or after[0].op_type not in inside:
            break
        last = after[0]
        chain.append(last)
    return chain


def _taken_in(
    node: onnx.NodeProto, chain: Sequence[onnx.NodeProto], made: Collection[str], seen: _Around
) -> tuple[list[onnx.NodeProto], str]:
    """What of the chain a float layer runs itself, and the residual that it adds, which has to be `made` before it."""
    found: list[onnx.NodeProto] = []
    residual = ""
    if node.op_type not in WEIGHT_INPUT:
        return found, residual
    activated = False
    for after in chain:
        before = (found or [node])[-1].output[0]
        others = [name for name in after.input if name and name != before]
        constant = all(name in seen.stored for name in others)
        if after.op_type in _TAKEN_IN:
            activated = True
        elif activated or residual or node.op_type != "Conv":
            break
        elif not (constant and after.op_type in _FOLDED):
            same = [seen.shapes.get(n) == seen.shapes.get(after.output[0]) for n in others]
            if after.op_type not in _SUMS or others[0] not in made or same != [True]:
                break
            residual = others[0]
        found.append(after)
    return found, residual


def _codes(
    node: onnx.NodeProto,
    chain: list[onnx.NodeProto],
    dequantised: Mapping[str, onnx.NodeProto],
    seen: _Around,
) -> dict[str, str]:
    """Dequantised value -> the codes that an int8 layer reads instead; empty where the node computes with floats.

    Cuts the chain down to what is inside of the layer.
    """
    given = [name for name in node.input if name and name not in seen.stored]
    if not given or any(name not in dequantised for name in given):
        return {}
    ends_in_codes = bool(chain) and chain[-1].op_type == "QuantizeLinear"
    if not ends_in_codes or any(n.op_type in {*_FOLDED, *_SUMS} for n in chain):
        if node.op_type not in WEIGHT_INPUT:
            return {}
        chain.clear()
    return {name: dequantised[name].input[0] for name in given}


def _operation(layer: _Layer, seen: _Around, unknown: list[str]) -> Operation:
    node = layer.first
    name = node.name or (node.output[0] if node.output else node.op_type)
    bodies = tuple(_of_graph(body, seen) for body in _bodies(node))
    given = [*node.input, *_captured(node), layer.residual]
    read_names = [layer.codes.get(n, n) for n in given if n]
    macs: int | None = 0
    if node.op_type in WEIGHT_INPUT:
        macs = node_macs(node, seen.shapes)
    elif node.op_type in NOT_KNOWN:
        macs = None
    if macs is None:
        unknown.append(f"{name} ({node.op_type}): multiplications not counted")
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
    )


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [g for a in node.attribute for g in (a.g, *a.graphs) if g.output]


def _captured(node: onnx.NodeProto) -> list[str]:
    """What the bodies of a node read of the graph around it."""
    return list(dict.fromkeys(name for body in _bodies(node) for name in _free_names(body)))


def _free_names(graph: onnx.GraphProto) -> Iterator[str]:
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    for node in graph.node:
        yield from (name for name in (*node.input, *_captured(node)) if name and name not in own)
        own.update(node.output)
    yield from (v.name for v in graph.output if v.name not in own)
