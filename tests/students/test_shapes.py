"""Operators on sizes, indices and conditions: ONNX Runtime has to compute what torch does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto

from squeeze.students.imported import imported
from tests.graph.small import Array, floats, model, node, run

X = floats(4, 3, 5)
TO_FLOAT = {"to": TensorProto.FLOAT}


def last(*nodes: onnx.NodeProto, **constants: Array) -> ir.Model:
    """The nodes, and "y" made of the value "v" as real numbers."""
    return model([*nodes, node("Cast", ["v"], ["y"], **TO_FLOAT)], constants, [3, 5])


def compared(op: str) -> ir.Model:
    return last(node(op, ["x", "k"], ["v"]), k=np.float32(0.25))


def joined(op: str) -> ir.Model:
    return last(
        node("Greater", ["x", "k"], ["a"]),
        node("Less", ["x", "m"], ["b"]),
        node(op, ["a", "b"], ["v"]),
        k=np.float32(-0.5),
        m=np.float32(0.5),
    )


def sized(*nodes: onnx.NodeProto, **constants: Array) -> ir.Model:
    """Nodes that read the sizes "s" of x."""
    return last(node("Shape", ["x"], ["s"]), *nodes, **constants)


def plain(op: str, *constants: Array, **attributes: Any) -> ir.Model:  # Any: as ONNX has them
    names = [f"k{i}" for i in range(len(constants))]
    return last(
        node(op, ["x", *names], ["v"], **attributes), **dict(zip(names, constants, strict=True))
    )


ONE, TWO = np.array([1]), np.array([2])
MODELS = {
    "abs": plain("Abs"),
    "and": joined("And"),
    "arg-max": plain("ArgMax", axis=2, keepdims=0),
    "constant-of-shape": sized(
        node(
            "ConstantOfShape",
            ["s"],
            ["v"],
            value=onnx.numpy_helper.from_array(np.array([3], np.int64)),
        )
    ),
    "cum-sum": plain("CumSum", np.array(1)),
    "cum-sum-exclusive": plain("CumSum", np.array(2), exclusive=1, reverse=1),
    "equal": last(
        node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        node("Equal", ["i", "k"], ["v"]),
        k=np.array(0),
    ),
    "expand": sized(
        node("ReduceMax", ["x", "one"], ["m"]), node("Expand", ["m", "s"], ["v"]), one=ONE
    ),
    "expand-to-less": plain("Expand", np.array([3, 1])),
    "gather": plain("Gather", np.array([[0, -1], [2, 1]]), axis=1),
    "greater-or-equal": compared("GreaterOrEqual"),
    "is-nan": last(node("Sqrt", ["x"], ["r"]), node("IsNaN", ["r"], ["v"])),
    "less-or-equal": compared("LessOrEqual"),
    "max": last(node("Max", ["x", "k", "m"], ["v"]), k=np.float32(0), m=floats(5)),
    "min": last(node("Min", ["x", "k"], ["v"]), k=np.float32(0)),
    "not": last(node("Less", ["x", "k"], ["a"]), node("Not", ["a"], ["v"]), k=np.float32(0)),
    "or": joined("Or"),
    "reduce-l2": plain("ReduceL2", TWO, keepdims=0),
    "reduce-nothing": plain("ReduceSum", np.array([], np.int64), noop_with_empty_axes=1),
    "reciprocal": plain("Reciprocal"),
    "reshape": sized(
        node("Slice", ["s", "zero", "one", "zero"], ["n"]),
        node("Concat", ["n", "rest"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["v"]),
        zero=np.array([0]),
        one=ONE,
        rest=np.array([-1]),
    ),
    "sizes-divided": sized(
        node("Gather", ["s", "two"], ["w"]),
        node("Div", ["w", "k"], ["h"]),
        node("Slice", ["x", "zero", "h", "two"], ["v"]),
        two=TWO,
        k=TWO,
        zero=np.array([0]),
    ),
    "tile": plain("Tile", np.array([1, 2, 1])),
    "tril": plain("Trilu", np.array(-1), upper=0),
    "where": last(
        node("Greater", ["x", "k"], ["a"]), node("Where", ["a", "x", "k"], ["v"]), k=np.float32(0)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_torch_computes_what_the_runtime_does(name: str) -> None:
    found = imported(MODELS[name])
    with torch.no_grad():
        got = found(torch.from_numpy(X)).numpy()
    expected = run(MODELS[name], X)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_constant_may_be_called_as_a_module_s_own_names() -> None:
    found = imported(model([node("Mul", ["x", "half"], ["y"])], {"half": np.float32(0.5)}, [3, 5]))
    with torch.no_grad():
        np.testing.assert_array_equal(found(torch.from_numpy(X)).numpy(), X / 2)
