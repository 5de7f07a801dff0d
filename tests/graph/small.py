"""Small ONNX graphs written by hand, and ONNX Runtime to run them, for the tests of passes and of the quantiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.generic]
node = helper.make_node


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    shape: Sequence[int | str],
    *,
    opset: int = 20,
    outputs: Sequence[str] = ("y",),
    functions: Sequence[onnx.FunctionProto] = (),
) -> ir.Model:
    """A graph from the float input "x" [batch, *shape] to `outputs`."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(f.domain, 1) for f in functions]
    proto = helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=8)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto, data_prop=True))


def run(graph: ir.Model, x: Array) -> Array:
    """The first output, without any optimisation of the runtime."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.serde.serialize_model(graph).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def ops(graph: ir.Model) -> list[str]:
    """The op types in the order of the graph."""
    return [n.op_type for n in graph.graph]


def floats(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Standard normal numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def batch_norm(prefix: str, channels: int) -> dict[str, Array]:
    """Constants of a BatchNormalization that is far from doing nothing."""
    rng = np.random.default_rng(channels)
    values = {
        "gamma": rng.uniform(-2, 2, channels),
        "beta": rng.normal(size=channels),
        "mean": rng.normal(size=channels),
        "variance": rng.uniform(0.1, 3, channels),
    }
    return {f"{prefix}_{k}": v.astype(np.float32) for k, v in values.items()}


def norm_inputs(prefix: str) -> list[str]:
    """Their names in the order of the operator."""
    return [f"{prefix}_{k}" for k in ("gamma", "beta", "mean", "variance")]


def typed(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    inputs: Mapping[str, tuple[str, Sequence[int | str]]],
    outputs: Mapping[str, tuple[str, Sequence[int | str]]],
    *,
    opset: int = 20,
) -> ir.Model:
    """A graph with any inputs and outputs: name -> (NumPy type, shape with the batch)."""

    def infos(
        values: Mapping[str, tuple[str, Sequence[int | str]]],
    ) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
            )
            for name, (dtype, shape) in values.items()
        ]

    weights = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "small", infos(inputs), infos(outputs), weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto, data_prop=True))
