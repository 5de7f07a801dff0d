"""Sizes that are equal in every run, and those that only may be."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import runtimes
from squeeze.graph import to_bytes
from squeeze.graph.extents import same_shape
from tests.graph.qdq import Net, assert_same, lowered
from tests.graph.small import floats, node, typed

Size = int | str | None


def values(
    nodes: list[onnx.NodeProto], *inputs: list[Size], **constants: np.ndarray
) -> dict[str, ir.Value]:
    """The values of a graph from the inputs "x", "z" to "y", with what ONNX infers of their shapes."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip("xz", inputs, strict=False)
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "small", ends, [result], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto, data_prop=True))
    found = {str(v.name): v for v in model.graph.inputs}
    return found | {str(v.name): v for n in model.graph for v in n.outputs}


@pytest.mark.parametrize(
    ("x", "z", "same"),
    [
        ([2, 3], [2, 3], True),
        ([2, 3], [2, 1], False),
        ([2, 3], [2, 3, 1], False),
        (["n", 3], ["n", 3], True),
        (["n", 3], ["m", 3], False),
        ([None, 3], [None, 3], False),
        (["n", 3], [None, 3], False),
    ],
)
def test_named_sizes_are_equal_and_unnamed_ones_are_not(
    x: list[Size], z: list[Size], same: bool
) -> None:
    found = values([node("Add", ["x", "z"], ["y"])], x, z)
    assert same_shape(found["x"], found["z"]) is same


W3, W1, W2 = floats(3, 3, 3, 3), floats(3, 3, 1, 1), floats(3, 3, 2, 2)
BLOCKS: dict[str, tuple[list[onnx.NodeProto], bool]] = {
    "padded convolution": ([node("Conv", ["x", "w3"], ["b"], pads=[1] * 4)], True),
    "convolution that cuts the edges": ([node("Conv", ["x", "w3"], ["b"])], False),
    "edges cut and put back": (
        [node("Conv", ["x", "w3"], ["c"]), node("Conv", ["c", "w3"], ["b"], pads=[2] * 4)],
        False,  # equal, and not seen
    ),
    "stride": ([node("Conv", ["x", "w3"], ["b"], pads=[1] * 4, strides=[2, 2])], False),
    "dilated": ([node("Conv", ["x", "w3"], ["b"], pads=[2] * 4, dilations=[2, 2])], True),
    "uneven padding": ([node("Conv", ["x", "w2"], ["b"], pads=[0, 0, 1, 1])], True),
    "padding that the file leaves to the runtime": (
        [node("Conv", ["x", "w3"], ["b"], auto_pad="VALID")],
        False,
    ),
    "pool": ([node("MaxPool", ["x"], ["b"], kernel_shape=[5, 5], pads=[2] * 4)], True),
    "function written out": (
        [
            node("Conv", ["x", "w1"], ["c"]),
            node("Sigmoid", ["c"], ["s"]),
            node("Mul", ["c", "s"], ["b"]),
        ],
        True,
    ),
    "sum inside": (
        [
            node("Conv", ["x", "w1"], ["c"]),
            node("Add", ["c", "x"], ["d"]),
            node("Conv", ["d", "w3"], ["b"], pads=[1] * 4),
        ],
        True,
    ),
    "sum with another input": ([node("Add", ["x", "z"], ["b"])], False),
    "enlarged": ([node("Resize", ["x", "", "twice"], ["b"])], False),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_branch_keeps_free_sizes_where_each_of_its_nodes_does(block: str) -> None:
    nodes, same = BLOCKS[block]
    free: list[Size] = ["n", 3, None, None]
    found = values(nodes, free, free, w1=W1, w2=W2, w3=W3, twice=np.float32([1, 1, 2, 2]))
    assert same_shape(found["x"], found["b"]) is same
    assert same_shape(found["b"], found["x"]) is same
    assert same_shape(found["b"], found["b"])


@pytest.mark.parametrize(("stride", "same"), [(2, True), (3, False)])
def test_branches_with_the_same_stride_meet(stride: int, same: bool) -> None:
    found = values(
        [
            node("Conv", ["x", "w3"], ["a"], pads=[1] * 4, strides=[2, 2]),
            node("Conv", ["x", "w1"], ["b"], strides=[stride, stride]),
        ],
        ["n", 3, "h", "w"],
        w1=W1,
        w3=W3,
    )
    # A window of 3 with one of padding on both sides misses as much as one of 1 without; only the padding differs.
    assert same_shape(found["a"], found["b"]) is False
    found = values(
        [
            node("Conv", ["x", "w3"], ["a"], pads=[1] * 4, strides=[2, 2]),
            node("Conv", ["x", "w3"], ["c"], pads=[1] * 4, strides=[stride, stride]),
            node("Relu", ["c"], ["b"]),
        ],
        ["n", 3, "h", "w"],
        w3=W3,
    )
    assert same_shape(found["a"], found["b"]) is same


def test_a_long_chain_of_sums_is_followed() -> None:
    nodes, last = [], "x"
    for i in range(600):
        nodes += [node("Sigmoid", [last], [f"s{i}"]), node("Mul", [last, f"s{i}"], [f"m{i}"])]
        last = f"m{i}"
    found = values(nodes, ["n", 3, None, None])
    assert same_shape(found["x"], found[last])


def test_a_sum_of_unnamed_sizes_may_spread_and_is_left_alone() -> None:
    grid = ["scale", "zero"]
    nodes = [
        node("QuantizeLinear", ["x", *grid], ["xq"]),
        node("DequantizeLinear", ["xq", *grid], ["xd"]),
        node("QuantizeLinear", ["z", *grid], ["zq"]),
        node("DequantizeLinear", ["zq", *grid], ["zd"]),
        node("Add", ["xd", "zd"], ["s"]),
        node("QuantizeLinear", ["s", *grid], ["sq"]),
        node("DequantizeLinear", ["sq", *grid], ["y"]),
    ]
    constants = {"scale": np.float32(0.05), "zero": np.uint8(100)}
    inputs = {"x": ("float32", ["n", 8]), "z": ("float32", ["m", 8])}
    named = typed(nodes, constants, inputs, {"y": ("float32", ["k", 8])})
    for value in (*named.graph.inputs, *(v for n in named.graph for v in n.outputs)):
        value.shape = ir.Shape([None, 8])
    result, counts, _ = lowered(named)
    assert counts["QAdd"] == 0
    x, z = floats(3, 8), floats(1, 8, seed=1)
    session = runtimes.session(to_bytes(result))
    (y,) = session.run(None, {"x": x, "z": z})
    np.testing.assert_allclose(y, x + z, atol=0.1)


def test_a_residual_of_free_sizes_is_fused() -> None:
    net = Net(8, "h", "w")
    x = net.quantise("x")
    inner = net.quantise(net.conv(x, 8, 8, pads=[1] * 4), 0.07, 100)
    y = net.quantise(net.add("Add", inner, x), 0.1, 60)
    model = net.model(y)
    result, counts, _ = lowered(model)
    assert counts["QConvAdd"] == 1
    assert_same(model, result, floats(2, 8, 7, 9), 0.1)
