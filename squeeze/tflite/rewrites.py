"""Several operators that are one of TFLite's: a Gelu written out by Erf, a BatchNormalization behind a convolution.

What they leave unread is dropped by `read`. A Gelu that something else reads the inside of stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array, Codes


def rewritten(
    nodes: list[Node], outputs: list[str], constants: dict[str, Array], codes: Mapping[str, Codes]
) -> list[Node]:
    """`constants` gets the weights of convolutions that took a normalisation in."""
    makers = {name: node for node in nodes for name in node.outputs}
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    for name in outputs:  # an output is read by the world
        readers.setdefault(name, []).extend((nodes[0], nodes[-1]))
    taken: dict[Node, Node] = {}
    for node in nodes:
        if node.op == "Erf" and not node.domain:
            taken |= _gelu(node, makers, readers, constants)
        elif node.op == "BatchNormalization" and not node.domain:
            taken |= _normalised(node, makers, readers, constants, codes)
    return [taken.get(node, node) for node in nodes]


def _gelu(
    erf: Node,
    makers: Mapping[str, Node],
    readers: Mapping[str, list[Node]],
    constants: Mapping[str, Array],
) -> dict[Node, Node]:
    """x / sqrt(2) -> erf -> + 1 -> times x and 1/2, in any order."""
    x = _factor(makers.get(erf.inputs[0]), constants, math.sqrt(0.5))
    plus = _only(readers, erf.outputs[0], "Add")
    if not x or plus is None or _number(constants, _other(plus, erf.outputs[0])) != 1.0:
        return {}
    value, factor, seen = plus.outputs[0], 1.0, False
    for _ in range(3):
        product = _only(readers, value, "Mul")
        if product is None:
            return {}
        other = _other(product, value)
        number = _number(constants, other)
        if number is not None:
            factor *= number
        elif other == x:
            seen = True
        elif _factor(makers.get(other), constants, 0.5) == x:
            seen, factor = True, factor * 0.5
        else:
            return {}
        value = product.outputs[0]
        if seen and abs(factor - 0.5) < 1e-4:
            return {product: replace(product, op="Gelu", inputs=(x,), attributes={})}
    return {}


def _factor(node: Node | None, constants: Mapping[str, Array], wanted: float) -> str:
    """x of a node that is x times a number, "" for another."""
    if node is None or node.op not in ("Mul", "Div"):
        return ""
    for i in range(2 if node.op == "Mul" else 1):
        number = _number(constants, node.inputs[1 - i])
        if number and abs((number if node.op == "Mul" else 1 / number) - wanted) < 1e-4:
            return node.inputs[i]
    return ""


def _normalised(
    node: Node,
    makers: Mapping[str, Node],
    readers: Mapping[str, list[Node]],
    constants: dict[str, Array],
    codes: Mapping[str, Codes],
) -> dict[Node, Node]:
    """Only of float weights: codes would have to be rounded again."""
    conv = makers.get(node.inputs[0])
    if conv is None or conv.domain or len(readers[conv.outputs[0]]) != 1:
        return {}
    whole = int(conv.attributes.get("group", 1)) == 1
    if conv.op != "Conv" and not (conv.op == "ConvTranspose" and whole):
        return {}
    weights, bias = conv.input(1), conv.input(2)
    needed = [*node.inputs[1:5], weights, *([bias] if bias else [])]
    if any(name not in constants for name in needed) or weights in codes:
        return {}
    scale, shift, mean, variance = (constants[name].astype(np.float64) for name in node.inputs[1:5])
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
    outputs = 0 if conv.op == "Conv" else 1
    along = [-1 if axis == outputs else 1 for axis in range(constants[weights].ndim)]
    kernel = constants[weights] * factor.reshape(along)
    before = constants[bias].astype(np.float64) if bias else 0.0
    own = [f"{node.outputs[0]}/kernel", f"{node.outputs[0]}/bias"]
    constants[own[0]] = kernel.astype(np.float32)
    constants[own[1]] = np.asarray((before - mean) * factor + shift, np.float32)
    return {node: replace(conv, inputs=(conv.inputs[0], *own), outputs=node.outputs[:1])}


def _only(readers: Mapping[str, list[Node]], name: str, op: str) -> Node | None:
    """The one node that reads a value, where it is such an operator."""
    found = readers.get(name, [])
    return found[0] if len(found) == 1 and found[0].op == op and not found[0].domain else None


def _other(node: Node, name: str) -> str:
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def _number(constants: Mapping[str, Array], name: str) -> float | None:
    value = constants.get(name)
    return float(value.reshape(())) if value is not None and value.size == 1 else None
