"""Replaces QDQ patterns by our native ops, each with its ONNX body, so that the file still runs everywhere.

Between our nodes images are channels-last. Where such a region meets other operators a node reads or writes
channels-first itself, or one Transpose stands on the border.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from squeeze import ops
from squeeze.graph.passes import lower_qconv
from squeeze.graph.passes.lower_qconv import QuantisedConv
from squeeze.ops import qconv

Json = dict[str, Any]  # Any: JSON


def lower(model: ir.Model) -> tuple[ir.Model, list[Json]]:
    """A new model with QConv and QConvAdd nodes, their function bodies and shapes of all values; and notes.

    `model` is left as it is. A note has name, kept, why, numbers: one for the nodes that were made, one for each
    reason why convolutions were left alone.
    """
    lowered = _with_shapes(model)
    matches, refused = lower_qconv.find(lowered.graph)
    if matches:
        _Lowering(lowered.graph, matches).run()
        opset = lowered.graph.opset_imports[""]
        used = {node.op_type for node in lowered.graph if node.domain == ops.DOMAIN}
        for name, build in (("QConv", qconv.qconv), ("QConvAdd", qconv.qconv_add)):
            if name in used:
                function = build(ops.DOMAIN, opset)
                lowered.functions[function.identifier()] = function
        lowered.graph.opset_imports[ops.DOMAIN] = ops.VERSION
        lowered.ir_version = min(lowered.ir_version, 9)
        RemoveUnusedNodesPass()(lowered)
    return lowered, _notes(matches, refused)


def _with_shapes(model: ir.Model) -> ir.Model:
    return ir.serde.deserialize_model(
        onnx.shape_inference.infer_shapes(ir.serde.serialize_model(model), data_prop=True)
    )


def _notes(matches: list[QuantisedConv], refused: dict[str, str]) -> list[Json]:
    notes: list[Json] = []
    if matches:
        adds = sum(m.residual is not None for m in matches)
        why = f"{len(matches)} quantised convolutions, {adds} with a residual"
        notes.append({"name": "lower QConv", "kept": True, "why": why, "numbers": {}})
    for reason, count in Counter(refused.values()).items():
        why = f"{count} left alone: {reason}"
        notes.append({"name": "lower QConv", "kept": False, "why": why, "numbers": {}})
    return notes


class _Lowering:
    """One rewrite of a graph in place. `nhwc` maps a channels-first value to its channels-last twin."""

    def __init__(self, graph: ir.Graph, matches: list[QuantisedConv]) -> None:
        self.graph = graph
        self.matches = matches
        read = {m.x.value for m in matches} | {m.residual.value for m in matches if m.residual}
        self.nhwc: dict[ir.Value, ir.Value] = {
            m.y.value: _twin(m.y.value)
            for m in matches
            if m.y.value in read or m.residual is not None
        }

    def run(self) -> None:
        for match in self.matches:
            self._replace(match)

    def _replace(self, match: QuantisedConv) -> None:
        value, twin = match.y.value, self.nhwc.get(match.y.value)
        planes = ir.Value(type=value.type, shape=value.shape)
        node = self._node(match, twin or planes)
        self.graph.insert_before(match.last, node)
        if twin is not None:  # unused, and removed later, where all readers are ours
            self.graph.insert_before(match.last, _transpose(twin, planes, qconv.FROM_NHWC))
        value.replace_all_uses_with(planes, replace_graph_outputs=True)
        planes.name, value.name = value.name, None

    def _node(self, match: QuantisedConv, output: ir.Value) -> ir.Node:
        x, name = self.nhwc.get(match.x.value), match.conv.name or f"{match.y.value.name}_conv"
        inputs = [
            x or match.x.value,
            match.x.scale,
            match.x.zero_point,
            self._initializer(f"{name}.w", match.w),
            self._initializer(f"{name}.w_scale", match.w_scale),
            self._initializer(f"{name}.bias", match.bias),
        ]
        if match.residual is not None and match.convolved is not None:
            inputs += [match.convolved.scale, match.convolved.zero_point]
            inputs += [self._channels_last(match.residual.value, before=match.last)]
            inputs += [match.residual.scale, match.residual.zero_point]
        inputs += [match.y.scale, match.y.zero_point]
        perms = {
            "x_perm": qconv.FROM_NHWC if x else qconv.NCHW,
            "y_perm": qconv.TO_NHWC if match.y.value in self.nhwc else qconv.NCHW,
        }
        attributes = ir.convenience.convert_attributes({**match.attributes, **perms})
        op_type = "QConvAdd" if match.residual else "QConv"
        return ir.Node(ops.DOMAIN, op_type, inputs, attributes, outputs=[output], name=name)

    def _channels_last(self, value: ir.Value, before: ir.Node) -> ir.Value:
        if value not in self.nhwc:
            self.nhwc[value] = _twin(value)
            node = _transpose(value, self.nhwc[value], qconv.TO_NHWC)
            self.graph.insert_before(before, node)
        return self.nhwc[value]

    def _initializer(self, name: str, array: lower_qconv.Array) -> ir.Value:
        value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
        self.graph.register_initializer(value)
        return value


def _twin(value: ir.Value) -> ir.Value:
    shape = None
    if value.shape is not None:
        shape = ir.Shape([value.shape[axis] for axis in qconv.TO_NHWC])
    return ir.Value(name=f"{value.name}_nhwc", type=value.type, shape=shape)


def _transpose(value: ir.Value, output: ir.Value, perm: tuple[int, ...]) -> ir.Node:
    return ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", perm)], outputs=[output])
