"""LSTM on integers, as the runtime's DynamicQuantizeLSTM does it: what a step reads is quantised when it is there.

A scale for each row of each gate and direction. Where weights have to be safe on x86 CPUs without VNNI they have 7
bits: two products of neighbours are then within 16 bits, which is what such a CPU adds them in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, contents, fresh, graph_of, integer, is_op, names
from squeeze.quant.ranges.grid import Grid, quantise_weights, weight_scales

DOMAIN = "com.microsoft"
OP = "DynamicQuantizeLSTM"
LIMIT, SAFE_LIMIT = 127, 63
# What DynamicQuantizeLSTM has of the attributes of LSTM.
_ATTRIBUTES = (
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "input_forget",
)
_INPUTS = 8  # of LSTM: X, W, R, B, sequence_lens, initial_h, initial_c, P


@dataclass(frozen=True)
class Gates:
    """Float weights of an LSTM: w [directions, 4 * hidden, inputs], r [directions, 4 * hidden, hidden]."""

    w: NDArray[np.float32]
    r: NDArray[np.float32]


def float_gates(model: ir.Model, float_outputs: Collection[str] = ()) -> dict[str, Gates]:
    """First named output of each LSTM with constant weights, in any graph of a float model -> those weights.

    float_outputs: first outputs of nodes that stay float.
    """
    found = {}
    for node in model.graph.all_nodes():
        if not is_op(node, "LSTM") or integer(node, "layout", 0):
            continue
        if node.outputs[0].name in float_outputs:
            continue
        w, r = (contents(node.inputs[i]) for i in (1, 2))
        if w is not None and r is not None and w.dtype == r.dtype == np.float32:
            found[_name(node)] = Gates(w.astype(np.float32), r.astype(np.float32))
    return found


def use_dynamic_lstm(model: ir.Model, gates: Mapping[str, Gates], *, safe: bool) -> int:
    """Replaces the LSTMs that `gates` names, in place; how many there were. safe: for x86 CPUs without VNNI."""
    taken = names(model.graph)
    grid = Grid(np.dtype(np.uint8), weight_limit=SAFE_LIMIT if safe else LIMIT)
    found = [n for n in model.graph.all_nodes() if is_op(n, "LSTM") and _name(n) in gates]
    for node in found:
        _replace(node, gates[_name(node)], grid, taken)
    if found:
        model.graph.opset_imports.setdefault(DOMAIN, 1)
    return len(found)


def _replace(node: ir.Node, weights: Gates, grid: Grid, taken: set[str]) -> None:
    owner, name = graph_of(node), _name(node)
    given: list[ir.Value | None] = [*node.inputs, *[None] * (_INPUTS - len(node.inputs))]
    for position, part, array in ((1, "w", weights.w), (2, "r", weights.r)):
        rows = array.astype(np.float64).reshape(-1, array.shape[2])  # of all directions
        scales = weight_scales(rows, grid)
        integers = quantise_weights(rows, scales, grid).reshape(array.shape).transpose(0, 2, 1)
        scales = scales.reshape(array.shape[:2])
        constants = {"int8": integers, "scale": scales, "zero": np.zeros_like(scales, np.int8)}
        made = []
        for what, constant in constants.items():
            unique = fresh(f"{name}_{part}_{what}", taken)
            taken.add(unique)
            made.append(add_constant(owner, unique, constant))
        given[position] = made[0]
        given += made[1:]
    attributes = [a for a in node.attributes.values() if a.name in _ATTRIBUTES]
    new = ir.Node(DOMAIN, OP, given, attributes, num_outputs=len(node.outputs), name=node.name)
    owner.insert_before(node, new)
    for old, value in zip(node.outputs, new.outputs, strict=True):
        value.type, value.shape = old.type, old.shape
        old.replace_all_uses_with(value, replace_graph_outputs=True)
        value.name, old.name = old.name, None
    owner.remove(node, safe=True)


def _name(node: ir.Node) -> str:
    return next(str(v.name) for v in node.outputs if v.name)
