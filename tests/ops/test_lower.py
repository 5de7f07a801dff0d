"""Lowering of QDQ graphs: what becomes QConv and QConvAdd, what is left alone and why, and equal results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from squeeze import ops
from squeeze.graph.lower import lower
from tests.ops.qconv_model import session

OPSET = 18
Array = NDArray[Any]  # Any: tests mix element types


class Net:
    """Writes a float network node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:  # Any: ONNX attributes
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def constant(self, value: Array) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def conv(
        self, x: str, outputs: int, inputs: int, kernel: int, **attributes: Any
    ) -> str:  # Any: ONNX attributes
        group = attributes.get("group", 1)
        fan_in = inputs // group * kernel * kernel
        w = self.rng.normal(size=(outputs, inputs // group, kernel, kernel)) / np.sqrt(fan_in)
        bias = self.rng.normal(size=outputs) * 0.1
        attributes.setdefault("pads", [kernel // 2] * 4)
        return self.add(
            "Conv", x, self.constant(w.astype(np.float32)), self.constant(bias.astype(np.float32)), **attributes
        )  # fmt: skip

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def model(self, output: str, shape: tuple[int, ...], classes: int) -> onnx.ModelProto:
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", classes])],
            self.constants,
        )
        assert output == self.nodes[-1].name.removeprefix("n_")
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9
        )


def network() -> onnx.ModelProto:
    """Stem, a residual block with identity, one with a strided shortcut, depthwise-separable, pooling, classifier."""
    net = Net()
    x = net.relu(net.conv("x", 16, 3, 3))
    branch = net.conv(net.relu(net.conv(x, 16, 16, 3)), 16, 16, 3)
    x = net.relu(net.add("Add", branch, x))
    branch = net.conv(net.relu(net.conv(x, 24, 16, 3, strides=[2, 2])), 24, 24, 3)
    x = net.relu(net.add("Add", branch, net.conv(x, 24, 16, 1, strides=[2, 2])))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.relu(net.conv(x, 24, 24, 3, group=24))
    x = net.relu(net.conv(x, 40, 24, 1))
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    weight = net.constant(net.rng.normal(size=(40, 10)).astype(np.float32))
    return net.model(net.add("Gemm", x, weight), (3, 20, 20), 10)


class Images(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.batches = iter([rng.normal(size=(8, 3, 20, 20)).astype(np.float32)] * 2)

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lower")
    onnx.save(network(), folder / "float.onnx")
    quantize_static(
        folder / "float.onnx",
        folder / "qdq.onnx",
        Images(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # 7 bits, with which the stock runtime is exact on every CPU
    )
    return folder / "qdq.onnx"


def outputs(model: bytes, x: Array, *, native: bool, threads: int = 1) -> Array:
    y: Array = session(model, native=native, threads=threads).run(None, {"x": x})[0]
    return y


def serialised(model: ir.Model) -> bytes:
    data: bytes = ir.to_proto(model).SerializeToString()
    return data


def test_network_is_lowered_and_the_given_model_stays(quantised: Path) -> None:
    given = ir.load(quantised)
    before = serialised(given)
    lowered, notes = lower(given)
    assert serialised(given) == before
    onnx.checker.check_model(ir.to_proto(lowered))
    counts = Counter(node.op_type for node in lowered.graph)
    assert (counts["Conv"], counts["QConv"], counts["QConvAdd"], counts["Add"]) == (0, 6, 2, 0)
    # The stem reads channels-first itself.
    assert counts["Transpose"] == 0
    made = ["QConv", "QConvAdd", "QGemm", "QGlobalAveragePool", "QMaxPool"]
    assert [f.name for f in lowered.functions.values()] == made
    assert lowered.ir_version <= 9
    words = [f"{note.name}: {note.why}" for note in notes if note.name.startswith("lower")]
    numbers = (6, 2, 1, 1, 1)
    assert words == [f"lower {op}: {n} made" for op, n in zip(made, numbers, strict=True)]
    assert all(note.kept for note in notes)


def test_all_made_values_have_static_shapes_but_for_the_batch(quantised: Path) -> None:
    lowered, _ = lower(ir.load(quantised))
    made = [n for n in lowered.graph if n.domain == ops.DOMAIN or n.op_type == "Transpose"]
    for node in made:
        shape = node.outputs[0].shape
        assert shape is not None
        assert not isinstance(shape[0], int)
        assert all(isinstance(size, int) for size in list(shape)[1:]), node.name


def test_native_and_body_give_the_outputs_of_the_qdq_graph(library: str, quantised: Path) -> None:
    lowered = serialised(lower(ir.load(quantised))[0])
    x = np.random.default_rng(2).normal(size=(16, 3, 20, 20)).astype(np.float32)
    wanted = outputs(quantised.read_bytes(), x, native=False)
    last = onnx.load(quantised).graph.node[-1]
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(quantised).graph.initializer}
    step = float(constants[last.input[1]])
    for native in (True, False):
        difference = np.abs(outputs(lowered, x, native=native) - wanted) / step
        assert difference.max() < 1.01
        assert np.mean(difference > 0.5) < 0.02


def test_threads_and_isa_do_not_change_a_byte(
    library: str, quantised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered = serialised(lower(ir.load(quantised))[0])
    x = np.random.default_rng(3).normal(size=(5, 3, 20, 20)).astype(np.float32)
    wanted = outputs(lowered, x, native=True)
    np.testing.assert_array_equal(outputs(lowered, x, native=True, threads=2), wanted)
    for isa in ("x86_avx512vnni", "portable"):
        monkeypatch.setenv("SQUEEZE_ISA", isa)
        np.testing.assert_array_equal(outputs(lowered, x, native=True), wanted)


def test_lowering_twice_changes_nothing_more(quantised: Path) -> None:
    once, _ = lower(ir.load(quantised))
    twice, notes = lower(once)
    assert [n.op_type for n in twice.graph] == [n.op_type for n in once.graph]
    assert notes == []


def single(
    activation: str | None = None,
    *,
    zero_point: int = 0,
    dtype: type = np.uint8,
    group: int = 1,
    kernel: int = 3,
    w_zero_point: int = 0,
    bias_scale: float = 1.0,
    clip: tuple[float, float] = (0.0, 6.0),
    second_reader: bool = False,
    rank: int = 4,
) -> ir.Model:
    """QuantizeLinear -> DequantizeLinear -> Conv [-> activation] -> QuantizeLinear, 8 channels, y_scale 0.05."""
    sizes = [8] * (rank - 2)
    shape = (8, 8 // group, *[kernel] * (rank - 2))
    values: dict[str, Array] = {
        "scale": np.float32(0.05),
        "zero": np.array(zero_point, dtype),
        # Two products fit 16 bits, so that the stock runtime does not saturate on x86 without VNNI.
        "w": np.random.default_rng(4).integers(-64, 65, shape, dtype=np.int8),
        "w_scale": np.full(8, 0.004 * group, np.float32),
        "w_zero": np.full(8, w_zero_point, np.int8),
        "b": np.arange(8, dtype=np.int32),
        "b_scale": np.full(8, 0.05 * 0.004 * group * bias_scale, np.float32),
        "low": np.float32(clip[0]),
        "high": np.float32(clip[1]),
    }
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        make("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        make("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"], axis=0),
        make("DequantizeLinear", ["b", "b_scale"], ["bd"], axis=0),
        make("Conv", ["xd", "wd", "bd"], ["c"], name="conv", group=group),
    ]
    last = "c"
    if activation:
        limits = ["low", "high"] if activation == "Clip" else []
        nodes.append(make(activation, ["c", *limits], ["a"]))
        last = "a"
    nodes.append(make("QuantizeLinear", [last, "scale", "zero"], ["q"]))
    results = [
        helper.make_tensor_value_info("q", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)
    ]
    if second_reader:
        nodes.append(make("Neg", ["c"], ["n"]))
        results.append(helper.make_tensor_value_info("n", TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes,
        "single",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8, *sizes])],
        results,
        [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return ir.from_proto(model)


@pytest.mark.parametrize(
    "model",
    [
        single(),
        single("Relu"),
        single("Clip", clip=(0.0, 12.75)),
        single("Clip", clip=(-1.0, 13.0), zero_point=20),
        single(zero_point=128),
        single(group=8),
    ],
    ids=["plain", "relu", "clip-is-range", "clip-is-wider", "zero-point", "depthwise"],
)
def test_single_convolution_is_lowered(library: str, model: ir.Model) -> None:
    lowered, notes = lower(model)
    assert [n.op_type for n in lowered.graph] == ["QuantizeLinear", "QConv"]
    assert notes[0].kept
    x = np.random.default_rng(0).uniform(-2, 8, (2, 8, 8, 8)).astype(np.float32)
    wanted = outputs(serialised(model), x, native=False)
    assert len(np.unique(wanted)) > 20
    np.testing.assert_array_equal(outputs(serialised(lowered), x, native=True), wanted)
    np.testing.assert_array_equal(outputs(serialised(lowered), x, native=False), wanted)
