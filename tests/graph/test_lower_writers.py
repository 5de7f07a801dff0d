"""Lowering of what other tools write: ONNX Runtime's static quantiser in its settings, and nncf."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from squeeze.graph.passes.u8_activations import u8_activations
from squeeze.old_x86.emulation import saturates
from tests.graph.qdq import Net, fused, lowered, outputs

Array = NDArray[Any]  # Any: tests mix element types


def network() -> onnx.ModelProto:
    """Stem, residual block, 1x1 and depthwise convolution, pooling, classifier; float."""
    net = Net(3, 16, 16)

    def conv(x: str, outputs: int, inputs: int, kernel: int, **attributes: Any) -> str:  # Any: ONNX
        per_group = inputs // attributes.get("group", 1)
        w = net.rng.normal(size=(outputs, per_group, kernel, kernel)) / np.sqrt(
            per_group * kernel**2
        )
        bias = net.rng.normal(size=outputs) * 0.1
        constants = [net.constant(a.astype(np.float32)) for a in (w, bias)]
        return net.add("Conv", x, *constants, pads=[kernel // 2] * 4, **attributes)

    x = net.add("Relu", conv("x", 16, 3, 3))
    x = net.add("Relu", net.add("Add", conv(net.add("Relu", conv(x, 16, 16, 3)), 16, 16, 3), x))
    x = net.add("Relu", conv(x, 24, 16, 1))
    x = net.add("Relu", conv(x, 24, 24, 3, group=24))
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    w, b = net.rng.normal(size=(10, 24)), net.rng.normal(size=10)
    y = net.add("Gemm", x, *(net.constant(a.astype(np.float32)) for a in (w, b)), transB=1)
    proto: onnx.ModelProto = ir.to_proto(net.model(y))
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info(y, TensorProto.FLOAT, ["batch", 10]))
    return proto


class Images(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
    def __init__(self) -> None:
        self.batches = iter([np.random.default_rng(1).normal(size=(8, 3, 16, 16))])

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch.astype(np.float32)}


def close(plain: Path, result: ir.Model, *, full_range: bool) -> None:
    """Nearly all outputs are the same as those of the plain graph, and none is far.

    `full_range`: weights have all eight bits, so that fused products saturate on some CPUs; there, graphs run unfused.
    """
    optimise = not (full_range and saturates())
    x = np.random.default_rng(2).normal(size=(16, 3, 16, 16)).astype(np.float32)
    wanted = outputs(ir.load(plain), x, optimise=optimise)[0]
    step = float(wanted.max() - wanted.min()) / 255
    for native in (False, True):
        got = outputs(result, x, native=native, optimise=optimise)[0]
        apart = np.abs(got - wanted) / step
        assert apart.max() < 4
        assert np.median(apart) < 1


@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activations", [QuantType.QUInt8, QuantType.QInt8])
@pytest.mark.filterwarnings("ignore")
def test_static_quantisation_of_onnxruntime(
    activations: QuantType, tmp_path: Path, *, per_channel: bool, reduce_range: bool
) -> None:
    onnx.save(network(), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "qdq.onnx",
        Images(),
        quant_format=QuantFormat.QDQ,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
        reduce_range=reduce_range,
    )
    result, counts, notes = lowered(ir.load(tmp_path / "qdq.onnx"))
    assert counts == {
        "QuantizeLinear": 1,
        "QConv": 4,
        "QConvAdd": 1,
        "QGlobalAveragePool": 1,
        "Flatten": 1,
        "QGemm": 1,
        "DequantizeLinear": 1,
    }
    assert all(note.kept for note in notes)
    close(tmp_path / "qdq.onnx", result, full_range=not reduce_range)
    assert fused(result, tmp_path)["QLinearConv"] == 5


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_symmetric_s8_activations(tmp_path: Path, *, symmetric: bool) -> None:
    """Their zero point is 0, so that a Relu is half of the range: a table, or a Clip behind a sum."""
    onnx.save(network(), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "qdq.onnx",
        Images(),
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # 7 bits, with which the stock runtime is exact on every CPU
        extra_options={"ActivationSymmetric": symmetric},
    )
    result, counts, _ = lowered(ir.load(tmp_path / "qdq.onnx"))
    relus = counts["QConvLookup"] + counts["Clip"]
    assert (counts["Conv"], counts["Gemm"], counts["Transpose"]) == (0, 0, 0)
    assert relus == (5 if symmetric else 0)
    close(tmp_path / "qdq.onnx", result, full_range=False)


@pytest.mark.filterwarnings("ignore")
def test_nncf_mixes_signs_and_scales_per_channel(tmp_path: Path) -> None:
    nncf = pytest.importorskip("nncf", reason="nncf is not installed")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    rng = np.random.default_rng(1)
    samples = [rng.normal(size=(1, 3, 16, 16)).astype(np.float32) for _ in range(8)]
    data = nncf.Dataset(samples, lambda x: {"x": x})
    quantised = nncf.quantize(network(), data, subset_size=8, target_device=nncf.TargetDevice.CPU)
    onnx.save(quantised, tmp_path / "qdq.onnx")
    kinds = {numpy_helper.to_array(t).dtype.name for t in quantised.graph.initializer}
    assert {"int8", "uint8"} <= kinds
    result, counts, notes = lowered(ir.load(tmp_path / "qdq.onnx"))
    assert (counts["Conv"], counts["QConv"], counts["QConvAdd"]) == (0, 4, 1)
    assert counts["Transpose"] == 0
    assert "one scale" in {note.name for note in notes}
    close(tmp_path / "qdq.onnx", result, full_range=True)


def test_u8_is_exact_and_leaves_borders_alone() -> None:
    net = Net(4, 6)
    kind = "int8"
    x = net.add("QuantizeLinear", "x", *net.grid(0.05, -7, kind))
    moved = net.add("Transpose", net.add("Flatten", x), perm=[1, 0])
    y = net.add("DequantizeLinear", moved, *net.grid(0.05, -7, kind))
    model = net.model(y)
    data = np.random.default_rng(0).uniform(-9, 9, (3, 4, 6)).astype(np.float32)
    wanted = outputs(model, data)[0]
    typed = ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(model)))
    assert u8_activations(typed) == 3
    np.testing.assert_array_equal(outputs(typed, data)[0], wanted)
    leaving = Net(4, 6)
    out = leaving.add("QuantizeLinear", "x", *leaving.grid(0.05, -7, kind))
    typed = ir.from_proto(
        onnx.shape_inference.infer_shapes(ir.to_proto(leaving.model(out, kind=kind)))
    )
    assert u8_activations(typed) == 0
