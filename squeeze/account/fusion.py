"""Which nodes of an ONNX graph run as one: layers with what they take in, int8 layers from codes to codes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from squeeze.account.macs import WEIGHT_INPUT, Shape

# What convolutions and matrix products take in behind them; the first ones change weights and bias alone.
_FOLDED = {"Add", "BatchNormalization", "Mul"}
_SUMS = {"Add", "Sum"}
_TAKEN_IN = {"Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}


@dataclass(frozen=True)
class Seen:
    """What a graph sees. shapes and value_bytes: of all values; stored: bytes behind each constant; whole_numbers: of
    constants that are one."""

    shapes: Mapping[str, Shape]
    value_bytes: Mapping[str, int]
    stored: Mapping[str, int]
    whole_numbers: Mapping[str, int]


@dataclass(frozen=True)
class Layer:
    """Nodes that run as one; `first` is the one that it is called after. codes: what it reads in place of dequantised
    values. residual: what is added to its product."""

    first: onnx.NodeProto
    last: onnx.NodeProto
    codes: Mapping[str, str]
    residual: str = ""


def layers_of(
    graph: onnx.GraphProto, computed: Sequence[onnx.NodeProto], seen: Seen
) -> tuple[dict[int, Layer], set[int]]:
    """The layer that each node begins, by the node's identity; and the nodes that are inside of one or before it."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in computed:
        for name in {*node.input, *captured(node)} - {""}:
            users.setdefault(name, []).append(node)
    ends = {value.name for value in graph.output}
    dequantised = {n.output[0]: n for n in computed if n.op_type == "DequantizeLinear"}
    weights = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    layers: dict[int, Layer] = {}
    hidden: set[int] = set()
    absorbed: set[tuple[int, str]] = set()  # a layer, and a dequantised value that it does not need
    made = {value.name for value in graph.input}
    for node in computed:
        if id(node) in hidden:
            continue
        chain = _chain(node, users, ends)
        codes = _codes(node, chain, dequantised, weights, seen)
        residual = ""
        if not codes:
            chain, residual = _taken_in(node, chain, made, seen)
        last = chain[-1] if chain else node
        layers[id(node)] = Layer(node, last, codes, residual)
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
    if node.op_type in ("DequantizeLinear", "QuantizeLinear") or bodies_of(node):
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
    node: onnx.NodeProto, chain: Sequence[onnx.NodeProto], made: Collection[str], seen: Seen
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
    weights: Collection[str],
    seen: Seen,
) -> dict[str, str]:
    """Dequantised value -> the codes that an int8 layer reads instead; empty where the node computes with floats.

    weights: what is dequantised, constants too. Cuts the chain down to what is inside of the layer.
    """
    if node.op_type in WEIGHT_INPUT and node.input[WEIGHT_INPUT[node.op_type]] not in weights:
        return {}
    given = [name for name in node.input if name and name not in seen.stored]
    if not given or any(name not in dequantised for name in given):
        return {}
    ends_in_codes = bool(chain) and chain[-1].op_type == "QuantizeLinear"
    if not ends_in_codes or any(n.op_type in {*_FOLDED, *_SUMS} for n in chain):
        if node.op_type not in WEIGHT_INPUT:
            return {}
        chain.clear()
    return {name: dequantised[name].input[0] for name in given}


def bodies_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside of If, Loop and Scan."""
    return [g for a in node.attribute for g in (a.g, *a.graphs) if g.output]


def captured(node: onnx.NodeProto) -> list[str]:
    """What the bodies of a node read of the graph around it."""
    return list(dict.fromkeys(name for body in bodies_of(node) for name in _free_names(body)))


def _free_names(graph: onnx.GraphProto) -> Iterator[str]:
    own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    for node in graph.node:
        yield from (name for name in (*node.input, *captured(node)) if name and name not in own)
        own.update(node.output)
    yield from (v.name for v in graph.output if v.name not in own)
