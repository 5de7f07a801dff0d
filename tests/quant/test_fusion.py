"""Everything that is quantised must run in int8: counted in the graph as the runtime optimises it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from squeeze import graph, quant, runtimes
from squeeze.old_x86.emulation import saturates
from squeeze.spec import QuantPart
from tests.feeds import feed_of, interface_of, passes_of
from tests.quant.families import FAMILIES, inputs, model

DATA = Path(os.environ.get("SQUEEZE_DATA", "../shared/data"))
# These only move integers.
MOVING = {"Flatten", "MaxPool", "NhwcMaxPool", "Reshape", "Transpose"}
# HardSwish has no int8 kernel; the runtime writes it as a product, and what follows it alone stays float as well. PRelu
# has none either.
FLOAT = {
    "bottleneck-hard": {"DequantizeLinear", "GlobalAveragePool", "HardSigmoid", "Mul"},
    "sloped": {"DequantizeLinear", "PRelu"},
}
PART = QuantPart(samples=64)


def int8(
    name: str, activations: str = "uint8", part: QuantPart = PART, *, safe: bool = False
) -> quant.Quantised:
    passes = passes_of(model(name), inputs(name, 64), 32)
    return quant.quantize(
        model(name),
        passes,
        activations=activations,  # type: ignore[arg-type]
        part=part,
        reduce_range=safe,
    )


def fused_ops(model: ir.Model, folder: Path, activations: str) -> Counter[str]:
    """What the runtime makes of a model. It fuses signed activations on Arm alone, unless it is told otherwise."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    if activations == "int8":
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    ort.InferenceSession(graph.to_bytes(model), options, providers=["CPUExecutionProvider"])
    return Counter(n.op_type for n in onnx.load(folder / "optimised.onnx").graph.node)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_convolution_and_product_is_fused(
    name: str, activations: str, tmp_path: Path
) -> None:
    float_ops = graph.count_ops(model(name))
    fused = fused_ops(int8(name, activations).model, tmp_path, activations)
    assert sum(n for op, n in fused.items() if op.endswith("QLinearConv")) == float_ops.get(
        "Conv", 0
    )
    assert fused["QGemm"] == float_ops["Gemm"]
    left = {op for op in fused if not op.startswith("Q") and "QLinear" not in op}
    assert left <= MOVING | FLOAT.get(name, set())
    if name not in FLOAT:
        assert fused["QuantizeLinear"] == 1


@pytest.mark.parametrize("safe", [False, True], ids=["full-range", "safe"])
@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_stay_near_the_float_ones(name: str, activations: str, *, safe: bool) -> None:
    x = inputs(name, 64, seed=1)
    expected = runtimes.run(runtimes.session(graph.to_bytes(model(name))), x)
    found = graph.to_bytes(int8(name, activations, safe=safe).model)
    # Fused products of full-range weights are not what the graph says on CPUs that saturate.
    got = runtimes.run(runtimes.session(found, optimise=safe or not saturates()), x)
    error = np.sqrt(np.mean((got - expected) ** 2)) / expected.std()
    assert error < 0.1


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("teacher-fashion/fashion_resnet.onnx", (1, 28, 28)),
        ("teachers-cifar10/resnet20.onnx", (3, 32, 32)),
        ("teachers-mlperf-tiny/ic_resnet8.onnx", (3, 32, 32)),
        ("teachers-mlperf-tiny/vww_mobilenetv1.onnx", (3, 96, 96)),
    ],
    ids=["fashion", "resnet20", "resnet8", "mobilenetv1"],
)
def test_published_models_are_int8_from_end_to_end(
    path: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    if not (DATA / path).is_file():
        pytest.skip(f"{DATA / path} is missing; set SQUEEZE_DATA")
    x = np.random.default_rng(0).random((4, *shape)).astype(np.float32)
    found = graph.load(DATA / path)
    graph.optimise(found, feed_of(found, x), interface_of(found))
    part = QuantPart(observer="minmax", bias_correction=False)
    quantised = quant.quantize(found, passes_of(found, x), activations="uint8", part=part)
    fused = fused_ops(quantised.model, tmp_path, "uint8")
    assert set(fused) <= {
        "Flatten",
        "QGemm",
        "QLinearAdd",
        "QLinearConv",
        "QLinearGlobalAveragePool",
        "QuantizeLinear",
        "Transpose",
    }
    assert fused["QLinearConv"] == graph.count_ops(found)["Conv"]
    assert fused["QuantizeLinear"] == 1
