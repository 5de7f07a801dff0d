"""Linear layers and layer normalisation in a graph, in whichever nodes they were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import Array, contents, integer, is_op, producer, real

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Linear:
    """value = source @ weight.T + bias; weight: [outputs, inputs]."""

    source: ir.Value
    weight: Array
    bias: Array

    def arrays(self, name: str) -> Weights:
        return {f"{name}.weight": real_array(self.weight), f"{name}.bias": real_array(self.bias)}


@dataclass(frozen=True)
class Norm:
    """output = normalised(input) * weight + bias, over the last axis."""

    input: ir.Value
    output: ir.Value
    weight: Array
    bias: Array
    eps: float

    def arrays(self, name: str) -> Weights:
        return {f"{name}.weight": real_array(self.weight), f"{name}.bias": real_array(self.bias)}


def linear(value: ir.Value | None) -> Linear | None:
    """The linear layer with constant weights that gives `value`."""
    bias: Array | None = None
    add = producer(value, "Add")
    if add is not None:
        sides = [(v, contents(c)) for v, c in (tuple(add.inputs), tuple(add.inputs)[::-1])]
        known = [(v, c) for v, c in sides if c is not None]
        if len(known) != 1 or known[0][1] is None:
            return None
        value, bias = known[0]
    node = producer(value, "MatMul", "Gemm")
    if node is None or node.inputs[0] is None:
        return None
    weight = contents(node.inputs[1])
    if weight is None or weight.ndim != 2 or integer(node, "transA", 0):
        return None
    if is_op(node, "Gemm"):
        weight = weight if integer(node, "transB", 0) else weight.T
        weight = real_array(weight) * np.float32(real(node, "alpha", 1.0))
        own = contents(node.inputs[2]) if len(node.inputs) > 2 else None
        if bias is None and own is not None:
            bias = real_array(own) * np.float32(real(node, "beta", 1.0))
    else:
        weight = weight.T
    width = len(weight)
    bias = np.zeros(width, np.float32) if bias is None else bias.reshape(-1)
    return Linear(node.inputs[0], weight, bias) if bias.size == width else None


def norms_of(node: ir.Node) -> Iterator[Norm]:
    """The normalisation that ends with `node`, if one does."""
    source = node.inputs[0] if node.inputs else None
    if is_op(node, "LayerNormalization") and source is not None:
        weight, bias = contents(node.inputs[1]), None
        if len(node.inputs) > 2:
            bias = contents(node.inputs[2])
        if weight is not None and weight.ndim == 1:
            bias = np.zeros_like(weight) if bias is None else bias
            yield Norm(source, node.outputs[0], weight, bias, real(node, "epsilon", 1e-5))
        return
    # ((x - mean) / sqrt(var + eps)) * weight + bias
    scaled, bias = with_constant(node, "Add")
    inner, weight = with_constant(producer(scaled, "Mul"), "Mul")
    div = producer(inner, "Div")
    if weight is None or bias is None or div is None or weight.shape != bias.shape:
        return
    sub, root = producer(div.inputs[0], "Sub"), producer(div.inputs[1], "Sqrt")
    if sub is None or root is None or weight.ndim != 1 or sub.inputs[0] is None:
        return
    _, eps = with_constant(producer(root.inputs[0], "Add"), "Add")
    if producer(sub.inputs[1], "ReduceMean") is not None and eps is not None and eps.size == 1:
        yield Norm(sub.inputs[0], node.outputs[0], weight, bias, float(eps.item()))


def unscaled(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """What `value` is a multiple of, and the factor."""
    factor = 1.0
    while (node := producer(value, "Mul", "Div")) is not None:
        sides = [(node.inputs[0], contents(node.inputs[1]))]
        if is_op(node, "Mul"):
            sides.append((node.inputs[1], contents(node.inputs[0])))
        known = [(v, c) for v, c in sides if c is not None and c.size == 1]
        if not known:
            break
        value, number = known[0]
        factor *= 1 / float(number.item()) if is_op(node, "Div") else float(number.item())
    return value, factor


def with_constant(node: ir.Node | None, op: str) -> tuple[ir.Value | None, Array | None]:
    """The two sides of a node of which one is constant."""
    if node is None or not is_op(node, op):
        return None, None
    a, b = node.inputs
    if (known := contents(b)) is not None:
        return a, known
    return b, contents(a)


def real_array(array: Array) -> NDArray[np.float32]:
    return np.array(array, np.float32, order="C")
