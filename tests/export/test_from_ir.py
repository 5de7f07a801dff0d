"""The door from ONNX to torch: what is read, and what is refused with the name of its node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.errors import UnsupportedError
from squeeze.export import from_ir
from tests.graph.small import Array, floats, model, node

IMAGE = (4, 7, 6)


def one(
    op: str, *constants: Array, shape: tuple[int, ...] = IMAGE, outputs: int = 1, **attributes: Any
) -> ir.Model:
    names = [f"k{i}" for i in range(len(constants))]
    results = ["y", *(f"y{i}" for i in range(1, outputs))]
    made = node(op, ["x", *names], results, name="the_node", **attributes)
    return model([made], dict(zip(names, constants, strict=True)), shape)


def test_a_convolution_by_hand() -> None:
    params, weights = from_ir(one("Conv", floats(6, 2, 3, 3), floats(6), group=2, strides=[2, 1]))
    assert params == {
        "inputs": ["x"],
        "output": "y",
        "constants": {},
        "nodes": [
            {
                "op": "Conv",
                "inputs": ["x"],
                "outputs": ["y"],
                "layer": "conv_0",
                "sizes": {
                    "inputs": 4,
                    "outputs": 6,
                    "kernel": [3, 3],
                    "stride": [2, 1],
                    "padding": [0, 0],
                    "dilation": [1, 1],
                    "groups": 2,
                    "bias": True,
                },
                "attributes": {},
            }
        ],
    }
    assert list(weights) == ["layers.conv_0.weight", "layers.conv_0.bias"]
    np.testing.assert_array_equal(weights["layers.conv_0.weight"], floats(6, 2, 3, 3))


def test_constants_of_nodes_and_of_the_graph_are_read_alike() -> None:
    tensor = ir.to_proto(ir.tensor(floats(4, 1, 1), name="k"))
    found = model(
        [node("Constant", [], ["k.a"], value=tensor), node("Mul", ["x", "k.a"], ["y"])], {}, IMAGE
    )
    params, weights = from_ir(found)
    assert params["nodes"][0]["inputs"] == ["x", "=c_k_a"]
    assert params["constants"] == {"c_k_a": [4, 1, 1]}
    np.testing.assert_array_equal(weights["constants.c_k_a"], floats(4, 1, 1))


def test_constant_inputs_become_attributes() -> None:
    params, _ = from_ir(one("Clip", np.float32(0), np.float32(6)))
    assert params["nodes"][0]["attributes"] == {"min": 0.0, "max": 6.0}
    params, _ = from_ir(one("Reshape", np.array([0, -1], np.int64)))
    assert params["nodes"][0]["attributes"]["shape"] == [0, -1]


PAIR = np.array([1, 1, 1.5, 2], np.float32)
REFUSED: dict[str, tuple[ir.Model, str]] = {
    "auto_pad": (one("Conv", floats(5, 4, 3, 3), auto_pad="SAME_UPPER"), "auto_pad SAME_UPPER"),
    "auto_pad-average": (
        one("AveragePool", kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        "auto_pad SAME_UPPER",
    ),
    "auto_pad-max": (
        one("MaxPool", kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
        "auto_pad SAME_LOWER",
    ),
    "ceil": (
        one("MaxPool", kernel_shape=[2, 2], ceil_mode=1, pads=[0, 0, 1, 1]),
        "ceil_mode and different pads",
    ),
    "conv-3d": (one("Conv", floats(5, 4, 2, 2, 2), shape=(4, 5, 5, 5)), "3 spatial dimensions"),
    "gemm-bias": (one("Gemm", floats(7, 5), floats(2, 1), shape=(7,)), "not one number per output"),
    "gemm-transposed": (one("Gemm", floats(2, 5), shape=(7,), transA=1), "with transA"),
    "layer-norm": (
        one("LayerNormalization", floats(7, 6), axis=2),
        "over other than the last axis",
    ),
    "operand": (one("Add", np.ones(1)), "a constant operand of float64"),
    "pad-mode": (
        one("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="reflect"),
        "of mode reflect",
    ),
    "pool-3d": (one("MaxPool", kernel_shape=[2, 2, 2], shape=(4, 5, 5, 5)), "3 spatial dimensions"),
    "resize-fraction": (one("Resize", floats(0), PAIR), "other than whole multiples"),
    "resize-asymmetric": (
        one(
            "Resize",
            floats(0),
            PAIR,
            mode="linear",
            coordinate_transformation_mode="asymmetric",
        ),
        "that interpolates with asymmetric",
    ),
    "resize-corners": (
        one(
            "Resize",
            floats(0),
            PAIR,
            mode="linear",
            coordinate_transformation_mode="align_corners",
        ),
        "that interpolates with align_corners",
    ),
    "resize-antialias": (
        one("Resize", floats(0), PAIR, mode="linear", antialias=1),
        "with antialias",
    ),
    "resize-channels": (one("Resize", floats(0), 2 * PAIR, mode="linear"), "batch or channels"),
    "resize-cubic": (one("Resize", floats(0), PAIR, mode="cubic"), "of mode cubic"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_from_ir_refuses(name: str) -> None:
    found, message = REFUSED[name]
    op = found.graph[0].op_type
    with pytest.raises(UnsupportedError, match=rf"^training: {op} 'the_node' .*{message}"):
        from_ir(found)


def test_from_ir_refuses_weights_that_are_computed() -> None:
    found = model(
        [node("Neg", ["w"], ["v"]), node("Conv", ["x", "v"], ["y"], name="the_node")],
        {"w": floats(5, 4, 3, 3)},
        IMAGE,
    )
    with pytest.raises(UnsupportedError, match="Conv 'the_node' whose input 1 is computed"):
        from_ir(found)


def test_shapes_that_are_computed_stay_inputs() -> None:
    found = model(
        [node("Shape", ["x"], ["s"]), node("Reshape", ["x", "s"], ["y"], name="the_node")],
        {},
        IMAGE,
    )
    params, _ = from_ir(found)
    assert params["nodes"][1]["inputs"] == ["x", "s"]
    assert params["nodes"][1]["attributes"]["computed"] == ["shape"]


def test_from_ir_refuses_axes_that_are_computed() -> None:
    found = model(
        [node("Shape", ["x"], ["s"]), node("ReduceSum", ["x", "s"], ["y"], name="the_node")],
        {},
        IMAGE,
    )
    with pytest.raises(UnsupportedError, match="ReduceSum 'the_node' whose input 1 is computed"):
        from_ir(found)


def test_constants_that_are_no_weights_are_made_by_nodes() -> None:
    params, weights = from_ir(one("Gather", np.array([[0, 2]]), axis=1))
    assert params["nodes"][0]["attributes"] == {"value": [0, 2], "type": "int64", "shape": [1, 2]}
    assert params["nodes"][1]["inputs"] == ["x", "k0"]
    assert weights == {}


def test_from_ir_refuses_other_domains() -> None:
    found = one("Relu")
    found.graph[0].domain = "com.example"
    with pytest.raises(UnsupportedError, match=r"'the_node' of domain com\.example"):
        from_ir(found)


def test_from_ir_refuses_a_second_output_that_is_read() -> None:
    found = model(
        [
            node("MaxPool", ["x"], ["m", "i"], kernel_shape=[2, 2], name="the_node"),
            node("Cast", ["i"], ["y"], to=1),
        ],
        {},
        IMAGE,
    )
    with pytest.raises(UnsupportedError, match="MaxPool 'the_node' whose second output is read"):
        from_ir(found)


def test_from_ir_refuses_several_outputs() -> None:
    found = model(
        [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["z"])], {}, IMAGE, outputs=("y", "z")
    )
    with pytest.raises(UnsupportedError, match="inputs and one output"):
        from_ir(found)
