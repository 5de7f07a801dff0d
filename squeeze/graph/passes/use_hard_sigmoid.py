"""Writes a limited ramp as HardSigmoid: one operator for three, which runtimes compute at once.

    Clip(x + b, 0, h) / h        ->  HardSigmoid(x), with alpha = 1 / h and beta = b / h
    x * Clip(x + b, 0, h) / h    ->  x * HardSigmoid(x): HardSwish, for b = 3 and h = 6, as many exporters write it

Cases: b and h are one number each, h > 0; / h may be * (1 / h), in front of the product or behind it.
Left:  what others read in between, another divisor than the limit, b that varies.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from squeeze.graph.values import constant, is_op, only_user, producer, rank, replace

# Clip takes its limits as inputs since then.
LEAST_OPSET = 11
# How exactly 1 / h must be h, as float32 numbers have it.
TOLERANCE = 1e-6


def use_hard_sigmoid(model: ir.Model) -> bool:
    """True when a node was replaced."""
    if model.graph.opset_imports.get("", 0) < LEAST_OPSET:
        return False
    return any([_put(model.graph, n) for n in tuple(model.graph) if is_op(n, "Clip")])


def _put(graph: ir.Graph, clip: ir.Node) -> bool:
    most, ramp = _height(clip), producer(clip.inputs[0], "Add")
    if most is None or ramp is None or only_user(ramp.outputs[0]) is not clip:
        return False
    x, shift = _and_number(ramp)
    if x is None or x.dtype != ir.DataType.FLOAT:
        return False
    product, behind = None, only_user(clip.outputs[0])
    if behind is not None and is_op(behind, "Mul") and x in behind.inputs:
        product, behind = behind, only_user(behind.outputs[0])
    if behind is None or not _divides(behind, most):
        return False
    attributes = [ir.AttrFloat32("alpha", 1 / most), ir.AttrFloat32("beta", shift / most)]
    gate = ir.Node("", "HardSigmoid", [x], attributes, name=clip.name)
    made = [gate]
    if product is not None:
        made.append(ir.Node("", "Mul", [x, gate.outputs[0]], name=product.name))
    old = behind.outputs[0]
    for node, what in zip(made, ("gate", "gated"), strict=False):
        new = node.outputs[0]
        new.name, new.type, new.shape = f"{old.name}_{what}", old.type, old.shape
    graph.insert_before(behind, made)
    replace(old, made[-1].outputs[0])
    graph.remove([behind, *([product] if product else []), clip, ramp], safe=True)
    return True


def _height(clip: ir.Node) -> float | None:
    """h of Clip(.., 0, h)."""
    if len(clip.inputs) < 3:
        return None
    low, high = (constant(v) for v in clip.inputs[1:3])
    if low is None or high is None or low.size != 1 or high.size != 1 or low.item() != 0:
        return None
    number = float(high.item())
    return number if math.isfinite(number) and number > 0 else None


def _and_number(node: ir.Node) -> tuple[ir.Value | None, float]:
    """The operand that is not constant, and the one number that the other is; (None, 0) where it is not so."""
    for value, other in (node.inputs[:2], node.inputs[1::-1]):
        found = constant(other)
        if constant(value) is not None or found is None or found.size != 1:
            continue
        dims = rank(value)
        # A number of more axes than the value would give the result more of them.
        if found.ndim == 0 or (dims is not None and found.ndim <= dims):
            return value, float(found.item())
    return None, 0.0


def _divides(node: ir.Node, by: float) -> bool:
    """Whether it divides what it reads by this number."""
    if not is_op(node, "Div", "Mul"):
        return False
    if is_op(node, "Div") and constant(node.inputs[1]) is None:
        return False
    value, number = _and_number(node)
    wanted = by if is_op(node, "Div") else 1 / by
    return value is not None and bool(np.isclose(number, wanted, rtol=TOLERANCE, atol=0))
