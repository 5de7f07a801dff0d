"""Small models that the mutations start from: kinds of graph that people have, each in a few nodes and kilobytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
OPSET = 17


def conv_net() -> onnx.ModelProto:
    """Convolutions, batch norm, an addition, pooling, a classifier."""
    weights = _Weights()
    nodes = [
        helper.make_node("Conv", ["x", weights(4, 3, 3, 3), weights(4)], ["a"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["a", *weights.norm(4)], ["b"], epsilon=1e-3),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", weights(4, 1, 3, 3)], ["d"], pads=[1] * 4, group=4),
        helper.make_node("Clip", ["d", weights.scalar(0), weights.scalar(6)], ["e"]),
        helper.make_node("Add", ["c", "e"], ["f"]),
        helper.make_node("MaxPool", ["f"], ["g"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["g"], ["h"]),
        helper.make_node("Flatten", ["h"], ["i"]),
        helper.make_node("Gemm", ["i", weights(5, 4), weights(5)], ["y"], transB=1),
    ]
    return _model(nodes, [("x", FLOAT, ["n", 3, 8, 8])], [("y", FLOAT, ["n", 5])], weights)


def mlp() -> onnx.ModelProto:
    """Matrix products with biases, activations, a softmax, two outputs."""
    weights = _Weights()
    nodes = [
        helper.make_node("MatMul", ["x", weights(6, 8)], ["a"]),
        helper.make_node("Add", ["a", weights(8)], ["b"]),
        helper.make_node("Sigmoid", ["b"], ["s"]),
        helper.make_node("Mul", ["b", "s"], ["c"]),
        helper.make_node("Gemm", ["c", weights(8, 4), weights(4)], ["d"], alpha=0.5),
        helper.make_node("Softmax", ["d"], ["y"], axis=-1),
        helper.make_node("ReduceMean", ["c"], ["z"], axes=[1], keepdims=1),
    ]
    ends = [("y", FLOAT, ["n", 4]), ("z", FLOAT, ["n", 1])]
    return _model(nodes, [("x", FLOAT, ["n", 6])], ends, weights)


def qdq_net() -> onnx.ModelProto:
    """What quantisers write: Q and DQ around a convolution, an addition and a matrix product."""
    weights = _Weights()

    def grid(value: str, name: str, scale: float) -> list[onnx.NodeProto]:
        ends = [weights.scalar(scale), weights.zero(np.uint8)]
        return [
            helper.make_node("QuantizeLinear", [value, *ends], [f"{name}_q"]),
            helper.make_node("DequantizeLinear", [f"{name}_q", *ends], [name]),
        ]

    def codes(*shape: int) -> str:
        made = f"w{weights.count}_dq"
        scales = weights.array(np.full(shape[0], 0.02, np.float32))
        inputs = [weights.codes(*shape), scales, weights.array(np.zeros(shape[0], np.int8))]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [made], axis=0))
        return made

    nodes: list[onnx.NodeProto] = []
    nodes += grid("x", "xd", 0.02)
    nodes.append(helper.make_node("Conv", ["xd", codes(8, 3, 3, 3)], ["a"], pads=[1] * 4))
    nodes.append(helper.make_node("Relu", ["a"], ["b"]))
    nodes += grid("b", "bd", 0.03)
    nodes.append(helper.make_node("Conv", ["bd", codes(8, 8, 1, 1)], ["c"]))
    nodes += grid("c", "cd", 0.03)
    nodes.append(helper.make_node("Add", ["bd", "cd"], ["d"]))
    nodes += grid("d", "dd", 0.05)
    nodes.append(helper.make_node("GlobalAveragePool", ["dd"], ["e"]))
    nodes += grid("e", "ed", 0.04)
    nodes.append(helper.make_node("Flatten", ["ed"], ["f"]))
    nodes.append(helper.make_node("Gemm", ["f", codes(4, 8)], ["y"], transB=1))
    return _model(nodes, [("x", FLOAT, ["n", 3, 6, 6])], [("y", FLOAT, ["n", 4])], weights)


def branches() -> onnx.ModelProto:
    """An If whose bodies capture names from outside, and a Loop that repeats a product."""
    weights = _Weights()
    w, b = weights(4, 4), weights(4)
    state = helper.make_tensor_value_info("s", FLOAT, ["n", 4])
    then = helper.make_graph(
        [helper.make_node("Gemm", ["a", w, b], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", FLOAT, ["n", 4])],
    )
    other = helper.make_graph(
        [helper.make_node("Relu", ["a"], ["o"])],
        "else",
        [],
        [helper.make_tensor_value_info("o", FLOAT, ["n", 4])],
    )
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("MatMul", ["s", w], ["m"]),
            helper.make_node("Tanh", ["m"], ["s_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go_in", BOOL, []),
            state,
        ],
        [
            helper.make_tensor_value_info("go_out", BOOL, []),
            helper.make_tensor_value_info("s_out", FLOAT, ["n", 4]),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["x", w], ["a"]),
        helper.make_node("ReduceMax", ["a"], ["top"], keepdims=0),
        helper.make_node("Greater", ["top", weights.scalar(0)], ["high"]),
        helper.make_node("If", ["high"], ["c"], then_branch=then, else_branch=other),
        helper.make_node("Loop", [weights.array(np.asarray(2)), "", "c"], ["y"], body=body),
    ]
    return _model(nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], weights)


def lstm() -> onnx.ModelProto:
    """A recurrent layer over a sequence that comes batch first, and its last step."""
    weights = _Weights()
    inputs = ["t", weights(1, 12, 5), weights(1, 12, 3), weights(1, 24)]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", inputs, ["all", "h", "c"], hidden_size=3),
        helper.make_node("Squeeze", ["h", weights.array(np.asarray([0]))], ["last"]),
        helper.make_node("Gemm", ["last", weights(3, 2), weights(2)], ["y"]),
    ]
    return _model(nodes, [("x", FLOAT, ["n", 4, 5])], [("y", FLOAT, ["n", 2])], weights)


def transformer() -> onnx.ModelProto:
    """An embedding, one head of attention, a normalisation and a feed-forward part with the error function."""
    weights = _Weights()
    root = weights.scalar(2**-0.5)
    nodes = [
        helper.make_node("Gather", [weights(16, 4), "x"], ["e"]),
        helper.make_node("MatMul", ["e", weights(4, 4)], ["q"]),
        helper.make_node("MatMul", ["e", weights(4, 4)], ["k"]),
        helper.make_node("MatMul", ["e", weights(4, 4)], ["v"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["a"]),
        helper.make_node("Add", ["e", "a"], ["r"]),
        helper.make_node("LayerNormalization", ["r", weights(4), weights(4)], ["l"], axis=-1),
        helper.make_node("MatMul", ["l", weights(4, 8)], ["f"]),
        helper.make_node("Mul", ["f", root], ["f2"]),
        helper.make_node("Erf", ["f2"], ["g"]),
        helper.make_node("Add", ["g", weights.scalar(1)], ["g1"]),
        helper.make_node("Mul", ["f", "g1"], ["h"]),
        helper.make_node("MatMul", ["h", weights(8, 4)], ["y"]),
    ]
    return _model(nodes, [("x", INT64, ["n", "t"])], [("y", FLOAT, ["n", "t", 4])], weights)


BASES: dict[str, Callable[[], onnx.ModelProto]] = {
    "branches": branches,
    "conv_net": conv_net,
    "lstm": lstm,
    "mlp": mlp,
    "qdq_net": qdq_net,
    "transformer": transformer,
}


class _Weights:
    """Constants with random numbers, which go into the file as they are asked for."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.constants: list[onnx.TensorProto] = []

    @property
    def count(self) -> int:
        return len(self.constants)

    def array(self, value: np.ndarray) -> str:
        name = f"w{self.count}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def __call__(self, *shape: int) -> str:
        return self.array(self.rng.normal(0, 0.5, shape).astype(np.float32))

    def codes(self, *shape: int) -> str:
        return self.array(self.rng.integers(-100, 101, shape).astype(np.int8))

    def scalar(self, value: float) -> str:
        return self.array(np.asarray(value, np.float32))

    def zero(self, dtype: type[np.generic]) -> str:
        return self.array(np.asarray(0, dtype))

    def norm(self, channels: int) -> list[str]:
        return [
            self(channels),
            self(channels),
            self(channels),
            self.array(np.ones(channels, np.float32)),
        ]


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, list[str | int]]],
    outputs: Sequence[tuple[str, int, list[str | int]]],
    weights: _Weights,
) -> onnx.ModelProto:
    for i, node in enumerate(nodes):
        node.name = f"{node.op_type}_{i}"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        weights.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
