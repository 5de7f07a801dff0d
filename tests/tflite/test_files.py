"""Whole networks, the ports that a file has, its bytes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert: pip install squeeze[litert]")

from squeeze import tflite
from squeeze.errors import ConfigError, UnsupportedError
from tests.tflite.models import (
    Net,
    agrees,
    agrees_int8,
    by_litert,
    by_onnx,
    feed_of,
    int8,
    net,
    node,
    normal,
    operators,
    saved,
)


def residual() -> Net:
    """x -> Conv, Relu -> a -> depthwise -> + a -> Relu -> average -> Gemm."""
    nodes = [
        node("Conv", "x w1 b1", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "c", "a"),
        node("Conv", "a w2 b2", "d", pads=[1, 1, 1, 1], group=8),
        node("Add", "a d", "s"),
        node("Relu", "s", "r"),
        node("GlobalAveragePool", "r", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w3 b3", "y", transB=1),
    ]
    constants = {
        "w1": normal(8, 3, 3, 3, scale=0.3),
        "b1": normal(8, seed=1, scale=0.1),
        "w2": normal(8, 1, 3, 3, seed=2, scale=0.3),
        "b2": normal(8, seed=3, scale=0.1),
        "w3": normal(5, 8, seed=4),
        "b3": normal(5, seed=5),
    }
    biases = {"b1": ("x", "w1"), "b2": ("a", "w2"), "b3": ("f", "w3")}
    return net(
        nodes,
        {"x": ["n", 3, 12, 12]},
        constants,
        weights={"w1": 0, "w2": 0, "w3": 0},
        biases=biases,
        bare=["c", "s"],
    )


def test_a_residual_network(tmp_path: Path) -> None:
    wanted = ["PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "RESHAPE", "FULLY_CONNECTED"]
    assert operators(agrees(residual(), tmp_path)) == wanted
    # A step in the image is up to one in the average, and that of the average in each of eight channels.
    assert operators(agrees_int8(residual(), tmp_path, steps=2)) == wanted


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    model = int8(tmp_path / "net.onnx", residual())
    first, second = tmp_path / "a.tflite", tmp_path / "b.tflite"
    tflite.write(model, first)
    tflite.write(model, second)
    assert first.read_bytes() == second.read_bytes()


def test_constants_lie_where_a_microcontroller_can_read_them(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    path = agrees(residual(), tmp_path)
    data = path.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    stored = [bytes(b.data) for b in model.buffers if b.data is not None and len(b.data) > 31]
    assert len(stored) >= 6
    for one in stored:
        assert data.index(one) % 16 == 0


def test_ports_say_how_tensors_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    written = tflite.write(int8(tmp_path / "net.onnx", residual()), path)
    ports = tflite.ports_of(path)
    assert ports == written.ports
    ((x,), (y,)) = (ports.inputs, ports.outputs)
    assert (x.name, x.axes, x.shape, x.dtype) == ("x", (0, 2, 3, 1), (1, 12, 12, 3), "int8")
    assert (y.name, y.axes, y.shape, y.dtype) == ("y", (0, 1), (1, 5), "int8")
    model = onnx.load(tmp_path / "net.onnx")
    known = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert (x.scale, x.zero_point) == (known["x_scale"], known["x_zero"])
    assert written.in_float == ()


def test_ports_of_a_file_of_others_are_those_of_its_tensors(tmp_path: Path) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    path = tmp_path / "net.tflite"
    tflite.write(int8(tmp_path / "net.onnx", residual()), path)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.metadata = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    (x,) = tflite.ports_of(path).inputs
    assert (x.name, x.axes, x.shape) == ("x", (0, 1, 2, 3), (1, 12, 12, 3))
    assert x.scale is not None


@pytest.mark.parametrize("data", [b"", b"1234TFL3", b"\x1c\0\0\0TFL3" + b"\xff" * 64, b"no model"])
def test_a_damaged_file_has_no_ports(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"net\.tflite"):
        tflite.ports_of(path)


def test_bytes_of_uint8_activations_are_int8_ones(tmp_path: Path) -> None:
    """Codes and zero points less 128 stand for the same numbers."""
    model = onnx.load(int8(tmp_path / "net.onnx", residual()))
    for one in model.graph.initializer:
        if one.name.endswith("_zero") and one.data_type == onnx.TensorProto.INT8 and not one.dims:
            value = onnx.numpy_helper.to_array(one).astype(np.int64) + 128
            one.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.uint8), one.name))
    onnx.save(model, tmp_path / "unsigned.onnx")
    tflite.write(tmp_path / "net.onnx", tmp_path / "a.tflite")
    tflite.write(tmp_path / "unsigned.onnx", tmp_path / "b.tflite")
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_what_stays_float_between_int8_is_said(tmp_path: Path) -> None:
    made = net(
        [
            node("Conv", "x w", "c"),
            node("Exp", "c", "e"),
            node("MaxPool", "e", kernel_shape=[2, 2]),
        ],
        {"x": [1, 2, 5, 5]},
        {"w": normal(3, 2, 2, 2, scale=0.3)},
        weights={"w": 0},
    )
    path = agrees_int8(made, tmp_path, steps=2)  # one of c, and what exp makes of it
    assert operators(path) == ["CONV_2D", "DEQUANTIZE", "EXP", "QUANTIZE", "MAX_POOL_2D"]
    written = tflite.write(tmp_path / "net8.onnx", path)
    assert written.in_float == ("Exp e",)


def test_an_int8_input_of_a_model_is_taken_as_it_is(tmp_path: Path) -> None:
    scale, zero = np.float32(0.05), np.uint8(100)
    made = net(
        [node("DequantizeLinear", "x s z", "d"), node("Tanh", "d")],
        {"x": [1, 9]},
        {"s": scale, "z": zero},
    )
    model = onnx.load(saved_of_bytes(tmp_path / "net.onnx", made))
    tflite.write(tmp_path / "net.onnx", tmp_path / "net.tflite")
    (port,) = tflite.ports_of(tmp_path / "net.tflite").inputs
    assert (port.dtype, port.scale) == ("uint8", None)
    feed = {"x": np.arange(9, dtype=np.uint8)[None] * 20}
    found = by_litert(tmp_path / "net.tflite", feed)["y"]
    np.testing.assert_allclose(found, by_onnx(tmp_path / "net.onnx", feed)["y"], atol=1e-6)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def saved_of_bytes(path: Path, made: Net) -> Path:
    """With an input of uint8."""
    graph = onnx.helper.make_graph(
        made.nodes,
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, made.inputs["x"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, made.inputs["x"])],
        [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in made.constants.items()],
    )
    onnx.save(
        onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9
        ),
        path,
    )
    return path


def test_shapes_that_are_computed_from_shapes_are_known(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n zeros", "m"),
        node("Concat", "m rest", "to", axis=0),
        node("Reshape", "x to"),
    ]
    constants = {"zero": np.int64(0), "zeros": np.asarray([0]), "rest": np.asarray([-1])}
    assert operators(agrees(net(nodes, {"x": ["n", 3, 4]}, constants), tmp_path)) == ["RESHAPE"]


def test_half_precision_is_written_as_floats(tmp_path: Path) -> None:
    made = residual()
    path = saved(tmp_path / "net.onnx", made)
    model = onnx.load(path)
    for one in model.graph.initializer:
        one.CopyFrom(
            onnx.numpy_helper.from_array(
                onnx.numpy_helper.to_array(one).astype(np.float16), one.name
            )
        )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, path)
    tflite.write(path, tmp_path / "net.tflite")
    feed = feed_of(made)
    found = by_litert(tmp_path / "net.tflite", feed)["y"]
    whole = by_onnx(path, {name: x.astype(np.float16) for name, x in feed.items()})["y"]
    np.testing.assert_allclose(found, whole, atol=0.02)


def test_a_size_that_is_free_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", net([node("Relu", "x")], {"x": ["n", 3, "high", 4]}))
    ((name, why),) = tflite.refusals(path)
    assert name == ""
    assert "size 'high' of an input is free" in why
    with pytest.raises(UnsupportedError, match="size 'high'"):
        tflite.write(path, tmp_path / "net.tflite")


def test_all_that_is_refused_is_named_with_its_origin(tmp_path: Path) -> None:
    made = net(
        [node("Det", "x", "d"), node("Relu", "d", "r"), node("Asinh", "r")], {"x": [1, 3, 3]}
    )
    made.nodes[2].metadata_props.add(key="namespace", value="model.head")
    found = tflite.refusals(saved(tmp_path / "net.onnx", made))
    assert [name for name, _ in found] == ["Det d", "Asinh y"]
    assert found[1][1].startswith("Asinh (from model.head): TFLite has no such operator")


@pytest.mark.parametrize("data", [b"", b"\x00\x01no model"])
def test_what_is_no_onnx_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ConfigError, match=r"net\.onnx"):
        tflite.write(tmp_path / "net.onnx", tmp_path / "net.tflite")
