"""All passes together: on the style of other exporters, on published models, and when a pass is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph
from squeeze.graph.passes import PASSES
from squeeze.interface import Interface, TensorSpec
from tests.feeds import feed_of, interface_of
from tests.graph.small import Array, batch_norm, floats, model, node, norm_inputs, run, typed

DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))
PUBLISHED = {
    "teacher-fashion/fashion_resnet.onnx": (1, 28, 28),
    "teachers-cifar10/resnet20.onnx": (3, 32, 32),
    "teachers-cifar10/resnet32.onnx": (3, 32, 32),
    "teachers-cifar10/resnet56.onnx": (3, 32, 32),
    "teachers-cifar10/resnet56_jpeg.onnx": (3, 32, 32),
    "teachers-mlperf-tiny/ic_resnet8.onnx": (3, 32, 32),
    "teachers-mlperf-tiny/vww_mobilenetv1.onnx": (3, 96, 96),
}


def optimise(found: ir.Model, x: Array) -> list[str]:
    done = graph.optimise(found, feed_of(found, x), interface_of(found))
    assert done.undone == {}
    return done.changed


def torchscript_style(opset: int) -> ir.Model:
    """Conv-BatchNormalization-Clip blocks, a strided depthwise one, mean, view and MatMul + Add, as TorchScript's
    exporter and TensorFlow's write them."""
    relu6 = {"low": np.float32(0), "high": np.float32(6)}
    constants = {
        "w1": floats(8, 3, 3, 3),
        "b1": floats(8, seed=1),
        "w2": floats(8, 1, 3, 3, seed=2),
        "w3": floats(8, 8, 1, 1, seed=3),
        "w4": floats(8, 5, seed=4),
        "b4": floats(5, seed=5),
        "first": np.int64(0),
        "rest": np.asarray([-1], np.int64),
        "zero_axis": np.asarray([0], np.int64),
        **relu6,
        **batch_norm("n1", 8),
        **batch_norm("n2", 8),
    }
    view = (
        node("Unsqueeze", ["count"], ["count1"], axes=[0])
        if opset < 13
        else node("Unsqueeze", ["count", "zero_axis"], ["count1"])
    )
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", *norm_inputs("n1")], ["d1"]),
        node("Clip", ["d1", "low", "high"], ["e1"]),
        node("Conv", ["e1", "w2"], ["c2"], group=8, strides=[2, 2], auto_pad="SAME_UPPER"),
        node("BatchNormalization", ["c2", *norm_inputs("n2")], ["d2"]),
        node("Clip", ["d2", "low", "high"], ["e2"]),
        node("Conv", ["e2", "w3"], ["c3"]),
        node("Identity", ["c3"], ["i3"]),
        node("Add", ["i3", "e2"], ["a3"]),
        node("ReduceMean", ["a3"], ["m"], axes=[2, 3], keepdims=1),
        node("Shape", ["m"], ["shape"]),
        node("Gather", ["shape", "first"], ["count"]),
        view,
        node("Concat", ["count1", "rest"], ["target"], axis=0),
        node("Reshape", ["m", "target"], ["v"]),
        node("Dropout", ["v"], ["o"]),
        node("MatMul", ["o", "w4"], ["p"]),
        node("Add", ["b4", "p"], ["y"]),
    ]
    return model(nodes, constants, (3, 10, 10), opset=opset)


@pytest.mark.parametrize("opset", [11, 12, 13])
def test_other_exporters_style_becomes_plain(opset: int) -> None:
    found = torchscript_style(opset)
    x = floats(4, 3, 10, 10, seed=9)
    expected = run(found, x)
    changed = optimise(found, x)
    assert graph.count_ops(found) == {
        "Add": 1,
        "Clip": 2,
        "Conv": 3,
        "Flatten": 1,
        "Gemm": 1,
        "GlobalAveragePool": 1,
    }
    assert ("raise_opset" in changed) == (opset < 13)
    assert set(changed) <= set(PASSES)
    np.testing.assert_allclose(run(found, x), expected, rtol=1e-4, atol=1e-4)


def test_a_second_call_changes_nothing() -> None:
    found = torchscript_style(13)
    sample = floats(1, 3, 10, 10)
    optimise(found, sample)
    before = graph.to_bytes(found)
    assert optimise(found, sample) == []
    assert graph.to_bytes(found) == before


@pytest.mark.data
@pytest.mark.parametrize("path", PUBLISHED)
def test_published_models_keep_their_outputs(path: str) -> None:
    if not (DATA / path).is_file():
        pytest.skip(f"{DATA / path} is missing; set SQUEEZE_DATA")
    found = graph.load(DATA / path)
    x = floats(2, *PUBLISHED[path])
    expected = run(found, x)
    optimise(found, x)
    left = set(graph.count_ops(found))
    assert left <= {"Add", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"}
    np.testing.assert_allclose(run(found, x), expected, rtol=1e-4, atol=1e-4)
    assert optimise(found, x) == []


def undone(found: ir.Model, x: Array) -> dict[str, str]:
    """What was undone; the outputs are those of the model as it was, and the other passes went on."""
    expected = run(found, x)
    done = graph.optimise(found, feed_of(found, x), interface_of(found))
    np.testing.assert_allclose(run(found, x), expected, atol=1e-5)
    assert "fuse_gemm" in done.changed
    return done.undone


def test_a_pass_that_changes_the_outputs_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(found: ir.Model) -> bool:
        products = [n for n in found.graph if n.op_type == "Gemm"]
        for product in products:
            product.attributes["alpha"] = ir.AttrFloat32("alpha", 2.0)
        return bool(products)

    monkeypatch.setitem(PASSES, "wrong", wrong)
    why = undone(torchscript_style(13), floats(1, 3, 10, 10))["wrong"]
    assert re.match(r"output 'y' changed by .* at most, allowed ", why)


def two_heads() -> ir.Model:
    return typed(
        [
            node("MatMul", ["x", "w"], ["scores"]),
            node("ArgMax", ["scores"], ["class"], axis=1, keepdims=0),
        ],
        {"w": floats(6, 4)},
        {"x": ("float32", ["n", 6])},
        {"scores": ("float32", ["n", 4]), "class": ("int64", ["n"])},
    )


@pytest.mark.parametrize("output", ["scores", "class"])
def test_every_output_is_looked_at(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(found: ir.Model) -> bool:
        (value,) = [v for v in found.graph.outputs if v.name == output]
        node = value.producer()
        assert node is not None
        if output == "scores":
            node.op_type = "Gemm"
            node.attributes["alpha"] = ir.AttrFloat32("alpha", 1.001)
        else:
            node.op_type = "ArgMin"
        return True

    monkeypatch.setitem(PASSES, "wrong", wrong)
    assert f"output '{output}' changed " in undone(two_heads(), floats(1, 6))["wrong"]


def test_a_pass_that_breaks_the_graph_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(found: ir.Model) -> bool:
        found.graph[-1].op_type = "NoSuchOperator"
        return True

    monkeypatch.setitem(PASSES, "breaking", breaking)
    why = undone(torchscript_style(13), floats(1, 3, 10, 10))["breaking"]
    assert "no longer valid" in why


def test_a_pass_that_fails_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(found: ir.Model) -> bool:
        found.graph[-1].attributes["alpha"] = ir.AttrFloat32("alpha", 3.0)
        raise KeyError("nobody")

    monkeypatch.setitem(PASSES, "failing", failing)
    assert undone(torchscript_style(13), floats(1, 3, 10, 10)) == {"failing": "KeyError: 'nobody'"}


def test_a_pass_that_bakes_the_data_s_size_in_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def baking(found: ir.Model) -> bool:
        for reshape in (n for n in found.graph if n.op_type == "Reshape"):
            sizes = ir.Value(name="sizes", const_value=ir.tensor(np.array([1, 4, 30])))
            found.graph.register_initializer(sizes)
            reshape.replace_input_with(1, sizes)
        return True

    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "zero", "two"], ["kept"]),
        node("Concat", ["kept", "rest"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["y"]),
    ]
    tensors = {
        "zero": np.array([0]),
        "two": np.array([2]),
        "rest": np.array([-1]),
    }
    ends = {"x": ("float32", [1, 4, 5, "w"])}, {"y": ("float32", [1, 4, "t"])}
    found = typed(nodes, tensors, *ends)
    spec = TensorSpec("x", "float32", (4, 5, 6), 0, 1, ((2, "w"),))
    interface = Interface((spec,), (TensorSpec("y", "float32", (4, 30), 0, 1, ((1, "t"),)),))
    monkeypatch.setitem(PASSES, "baking", baking)
    done = graph.optimise(found, {"x": floats(1, 4, 5, 6)}, interface)
    assert list(done.undone) == ["baking"]
    wide = floats(1, 4, 5, 9)
    np.testing.assert_array_equal(run(found, wide), wide.reshape(1, 4, 45))
