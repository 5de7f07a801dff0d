"""Files that others quantised otherwise: lowered where that goes, else refused by what they are; nothing is written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

import squeeze
from squeeze import ops
from squeeze.errors import UnsupportedError
from squeeze.graph.lower import lower
from squeeze.teacher.onnx.quantised import how_quantised
from tests.graph.qdq import Net, images, outputs

X = images(2, 8, 8, 8)


def plain(*, wide: str = "") -> onnx.ModelProto:
    """Two convolutions, and a third with activations of the type `wide`."""
    net = Net(8, 8, 8, opset=21)
    y = net.quantise(net.conv(net.quantise("x"), 8, 8), 0.05, 120)
    y = net.quantise(net.conv(y, 8, 8), 0.05, 120)
    if wide:
        y = net.quantise(y, 0.001, 30000, dtype=wide)
        y = net.quantise(net.conv(y, 8, 8), 0.001, 30000, dtype=wide)
    return ir.to_proto(net.model(y))


def of_microsoft(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Its quantisers of activations in the runtime's own domain."""
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and not node.attribute:
            node.domain = "com.microsoft"
    return proto


def refused(model: onnx.ModelProto, folder: Path) -> str:
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(UnsupportedError) as caught:
        squeeze.lower(folder / "model.onnx", folder / "out.onnx", measured=False)
    assert {path.name for path in folder.iterdir()} == {"model.onnx"}
    return str(caught.value)


def floats() -> onnx.ModelProto:
    """MatMul and Relu, twice, without quantisers."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(16, 16)).astype(np.float32) for _ in range(2)]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Rows(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
    def __init__(self) -> None:
        self.left = [{"x": np.random.default_rng(1).normal(size=(8, 16)).astype(np.float32)}]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("wide", ["uint16", "int16"])
def test_the_8_bit_part_of_a_16_bit_file_is_lowered(wide: str) -> None:
    model = ir.from_proto(plain(wide=wide))
    result, _ = lower(model)
    assert Counter(n.op_type for n in result.graph)["QConv"] == 2
    (wanted,) = outputs(model, X, optimise=False)
    for native in (False, True) if ops.library_path() else (False,):
        (got,) = outputs(result, X, native=native)
        assert np.abs(got - wanted).max() <= 0.06  # a step of the 8-bit grid


@pytest.mark.parametrize(("wide", "domain"), [("uint16", ""), ("int16", "com.microsoft")])
def test_16_bits_alone_are_refused_by_name(wide: str, domain: str, tmp_path: Path) -> None:
    net = Net(8, 8, 8, opset=21)
    y = net.quantise("x", 0.001, 30000, dtype=wide)
    y = net.quantise(net.conv(y, 8, 8), 0.001, 30000, dtype=wide)
    proto = ir.to_proto(net.model(y))
    said = refused(of_microsoft(proto) if domain else proto, tmp_path)
    assert f"activations of 16 bits ({wide} QuantizeLinear)" in said
    assert "quantise activations to uint8" in said


def test_quantisers_of_the_runtimes_own_domain_are_those_of_onnx() -> None:
    net = Net(8, 8, 8, opset=17)
    y = net.quantise(net.conv(net.quantise("x"), 8, 8), 0.05, 120)
    proto = ir.to_proto(net.model(y))
    model = ir.from_proto(of_microsoft(proto))
    result, _ = lower(model)
    assert Counter(n.op_type for n in result.graph)["QConv"] == 1
    (wanted,) = outputs(model, X)
    np.testing.assert_allclose(outputs(result, X)[0], wanted, atol=0.051)


@pytest.mark.parametrize("function", ["", "HardSwish"])
def test_scales_in_half_precision_are_float32_scales(function: str) -> None:
    net = Net(8, 8, 8, opset=19)
    y = net.quantise(net.conv(net.quantise("x"), 8, 8), 0.05, 120)
    y = net.quantise(net.add(function, y), 0.05, 100) if function else y
    proto = ir.to_proto(net.model(y))
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            halves = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(halves, tensor.name))
    del proto.graph.value_info[:]
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    model = ir.from_proto(proto)
    result, _ = lower(model)
    op = "QConvLookup" if function else "QConv"
    assert Counter(n.op_type for n in result.graph)[op] == 1
    x = X.astype(np.float16)
    (wanted,) = outputs(model, x, optimise=False)
    for native in (False, True) if ops.library_path() else (False,):
        (got,) = outputs(result, x, native=native)
        assert got.dtype == np.float16
        assert np.abs(got.astype(np.float64) - wanted).max() <= 2.1 * 0.05


def test_dynamically_quantised_files_are_refused_by_their_operators(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    onnx.save(floats(), tmp_path / "made" / "float.onnx")
    quantize_dynamic(tmp_path / "made" / "float.onnx", tmp_path / "made" / "int8.onnx")
    model = onnx.load(tmp_path / "made" / "int8.onnx")
    folder = tmp_path / "given"
    folder.mkdir()
    said = refused(model, folder)
    assert "weights are already int8" in said
    assert "DynamicQuantizeLinear" in said
    assert "give the float model to squeeze quantize" in said


def test_operator_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    source, made = tmp_path / "made" / "float.onnx", tmp_path / "made" / "int8.onnx"
    onnx.save(floats(), source)
    quantize_static(source, made, Rows(), quant_format=QuantFormat.QOperator)
    folder = tmp_path / "given"
    folder.mkdir()
    said = refused(onnx.load(made), folder)
    assert "operator format" in said
    assert "QuantFormat.QDQ" in said


def test_files_with_quantised_weights_alone_are_refused_as_that(tmp_path: Path) -> None:
    net = Net(16)
    said = refused(
        ir.to_proto(net.model(net.add("MatMul", "x", net.weights(net.integers(16, 8), axis=1)))),
        tmp_path,
    )
    assert "only its weights are quantised already (1 DequantizeLinear)" in said


def test_kinds() -> None:
    assert how_quantised(floats()) is None
    found = how_quantised(plain())
    assert found is not None
    assert found.kind == "qdq"
    inside = how_quantised(ir.to_proto(lower(ir.from_proto(plain()))[0]))
    assert inside is not None
    assert inside.kind == "operators"
