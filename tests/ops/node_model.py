"""Models of one node of ai.squeeze for the tests, and how to run one: natively, from its body, in onnx.reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from squeeze import ops

Array = NDArray[Any]  # Any: tests mix element types
OPSET = 19


@dataclass(frozen=True)
class Node:
    """One node: every input by name, in order; those in `fed` are inputs of the model, others are constants."""

    op_type: str
    inputs: dict[str, Array]
    fed: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)  # Any: integers and lists of them
    y_type: int = 0  # of TensorProto; 0: that of the first input
    formula: ops.Formula | None = None  # of a lookup

    def feeds(self) -> dict[str, Array]:
        return {name: self.inputs[name] for name in self.fed}

    def having(self, **inputs: Array) -> Node:
        return replace(self, inputs={**self.inputs, **inputs})

    def saying(self, **attributes: Any) -> Node:  # Any: broken attributes too
        kept = {**self.attributes, **attributes}
        return replace(self, attributes={k: v for k, v in kept.items() if v is not None})


def build(node: Node, *, body: bool, opset: int = OPSET, loose: bool = False) -> onnx.ModelProto:
    """The node alone, or with its function body. Ranks are known, sizes are not.

    `loose`: not even ranks are known, and a broken node is not refused here. An input called "" is left out.
    """
    names = list(node.inputs)
    outputs = ops.SIGNATURES[node.op_type].outputs
    made = helper.make_node(node.op_type, names, outputs, name="the node", domain=ops.DOMAIN)
    for key, value in node.attributes.items():
        # An empty list does not tell its type.
        kind = onnx.AttributeProto.INTS if value == [] else None
        made.attribute.append(helper.make_attribute(key, value, attr_type=kind))
    first = next(iter(node.inputs.values()), np.empty(0))  # every op keeps its rank, but those
    rank = first.ndim + (node.op_type in ops.GATHERS.values())  # that give a row for each id
    y_type = node.y_type or helper.np_dtype_to_tensor_dtype(first.dtype)
    graph = helper.make_graph(
        [made],
        "g",
        [
            helper.make_tensor_value_info(
                n,
                helper.np_dtype_to_tensor_dtype(node.inputs[n].dtype),
                [None] * node.inputs[n].ndim,
            )
            for n in node.fed
        ],
        [helper.make_tensor_value_info("y", y_type, [None] * rank)],
        [numpy_helper.from_array(v, k) for k, v in node.inputs.items() if k and k not in node.fed],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ops.DOMAIN, ops.VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if body:
        function = ops.body_of(node.op_type, ops.DOMAIN, opset, node.formula)
        model.functions.append(ir.to_proto(function))
        if not loose:
            onnx.checker.check_model(model)
    if loose:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.ClearField("shape")
    return model


def session(
    model: onnx.ModelProto, *, native: bool, threads: int = 1, **settings: Any
) -> ort.InferenceSession:
    """`settings` are attributes of SessionOptions, hence Any."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    for name, value in settings.items():
        setattr(options, name, value)
    if native:
        options.register_custom_ops_library(str(ops.library_path()))
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run_native(node: Node, *, threads: int = 1) -> Array:
    """By the library, without a body that could stand in for it."""
    y: Array = session(build(node, body=False), native=True, threads=threads).run(
        None, node.feeds()
    )[0]
    return y


def run_body(node: Node, *, opset: int = OPSET) -> Array:
    y: Array = session(build(node, body=True, opset=opset), native=False).run(None, node.feeds())[0]
    return y


def run_reference(node: Node) -> Array:
    y: Array = ReferenceEvaluator(build(node, body=True)).run(None, node.feeds())[0]
    return y


def fused(node: Node, folder: Path, opset: int = OPSET) -> Mapping[str, int]:
    """How many nodes of each type the stock runtime makes of the body."""
    path = folder / "optimised.onnx"
    session(build(node, body=True, opset=opset), native=False, optimized_model_filepath=str(path))
    return Counter(n.op_type for n in onnx.load(path).graph.node)


def most_steps_apart(a: Array, b: Array) -> int:
    """The largest difference of two integer tensors of one shape."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max(initial=0))
