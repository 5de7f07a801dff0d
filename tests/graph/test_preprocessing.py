"""Preprocessing inside the graph gives what NumPy gives outside, for every layout, type and batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.calib import Preprocess
from squeeze.calib.embedded import stored_spec
from squeeze.graph.preprocessing import embed
from squeeze.interface import TensorSpec

RNG = np.random.default_rng(0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def identity(spec: TensorSpec, path: Path) -> Path:
    """y = x, with a node named as the embedded ones could be."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    sizes = ["n" if axis.kind == "batch" else axis.size for axis in spec.axes]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"], name="x_preprocess_0")],
        "g",
        [helper.make_tensor_value_info("x", kind, sizes)],
        [helper.make_tensor_value_info("y", kind, sizes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    onnx.save(model, path)
    return path


def embedded(path: Path, spec: TensorSpec, preprocess: Preprocess, x: np.ndarray) -> np.ndarray:
    """What the file with the preprocessing gives for stored samples."""
    model = ir.load(path)
    takes = stored_spec(preprocess, x, spec)
    embed(model, spec, preprocess, takes)
    proto = ir.serde.serialize_model(model)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.get_inputs()
    assert found.name == "x"
    assert found.shape[1:] == list(x.shape[1:])
    (y,) = session.run(None, {"x": takes.as_model(x)})
    return y


@pytest.mark.parametrize(
    ("layout", "stored", "by_hand"),
    [
        ("NHWC->NCHW", (4, 6, 3), lambda x: x.transpose(0, 3, 1, 2)),
        ("NCHW->NHWC", (3, 4, 6), lambda x: x.transpose(0, 2, 3, 1)),
        ("NHWC->NHWC", (4, 6, 3), lambda x: x),
        ("NHW->NCHW", (4, 6), lambda x: x[:, None]),
        ("NHWC->NHW", (4, 6, 1), lambda x: x[..., 0]),
        ("NCTF->NFAT", (1, 7, 3), lambda x: x[:, 0].swapaxes(1, 2)[:, :, None]),
        ("flatten", (4, 6, 3), lambda x: x.reshape(len(x), 72)),
        ("as-is", (4, 6), lambda x: x),
    ],
)
def test_bytes_are_moved_scaled_and_cast(tmp_path: Path, layout, stored, by_hand) -> None:  # type: ignore[no-untyped-def]
    x = RNG.integers(0, 256, (5, *stored), dtype=np.uint8)
    wanted = by_hand(x) / 255 * 2 - 1
    spec = TensorSpec("x", "float32", wanted.shape[1:])
    told = Preprocess(layout=layout, scale=1 / 255, mean=(0.5,), std=(0.5,), dtype="float32")
    y = embedded(identity(spec, tmp_path / "m.onnx"), spec, told, x)
    np.testing.assert_allclose(y, wanted, atol=1e-6)
    np.testing.assert_array_equal(y, told.apply(x))  # bit for bit as it was calibrated


@pytest.mark.parametrize(
    ("layout", "axis"), [("NHWC->NCHW", 1), ("NHWC->NHWC", 3)], ids=["first", "last"]
)
def test_channels_are_reversed_before_mean_and_std(tmp_path: Path, layout: str, axis: int) -> None:
    x = RNG.integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    wanted = (x[..., ::-1] / 255 - MEAN) / STD
    wanted = wanted.transpose(0, 3, 1, 2) if axis == 1 else wanted
    told = Preprocess(
        layout=layout, scale=1 / 255, mean=MEAN, std=STD, dtype="float32", channel_order="reversed"
    )
    spec = TensorSpec("x", "float32", wanted.shape[1:])
    y = embedded(identity(spec, tmp_path / "m.onnx"), spec, told, x)
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    np.testing.assert_array_equal(y, told.apply(x))


def test_mean_and_std_go_along_the_channels(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    wanted = ((x / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    told = Preprocess(layout="NHWC->NCHW", scale=1 / 255, mean=MEAN, std=STD, dtype="float32")
    spec = TensorSpec("x", "float32", (3, 4, 6))
    y = embedded(identity(spec, tmp_path / "m.onnx"), spec, told, x)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [("int16", "float32"), ("uint8", "int64"), ("float64", "float32"), ("uint8", "float16")],
)
def test_type_is_cast(tmp_path: Path, stored: str, dtype: str) -> None:
    x = RNG.integers(0, 100, (3, 5)).astype(stored)
    spec = TensorSpec("x", dtype, (5,))
    told = Preprocess(layout="as-is", scale=1.0, dtype=dtype)
    y = embedded(identity(spec, tmp_path / "m.onnx"), spec, told, x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x.astype(dtype))


@pytest.mark.parametrize("axis", [1, None])
def test_batch_goes_where_the_model_has_it(tmp_path: Path, axis: int | None) -> None:
    x = RNG.integers(0, 256, (1 if axis is None else 4, 6, 3), dtype=np.uint8)
    spec = TensorSpec("x", "float32", (3, 6), batch_axis=axis)
    told = Preprocess(layout="NTC->NCT", scale=0.5, dtype="float32")
    y = embedded(identity(spec, tmp_path / "m.onnx"), spec, told, x)
    moved = x.swapaxes(1, 2) * np.float32(0.5)
    np.testing.assert_array_equal(y, moved[0] if axis is None else moved.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("before", "size"),
    [((16, 20), (8, 10)), ((16, 20), (24, 30)), ((16, 20), (16, 7)), ((80, 101), (70, 33))],
)
@pytest.mark.parametrize("layout", ["NHWC->NCHW", "NHWC->NHWC", "flatten"])
def test_image_is_resized_as_pillow_does_but_for_its_rounding(
    tmp_path: Path, before: tuple[int, int], size: tuple[int, int], layout: str
) -> None:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    x = RNG.integers(0, 256, (3, *before, 3), dtype=np.uint8)
    pillow = np.stack([np.asarray(image.fromarray(p).resize(size[::-1], 2)) for p in x])
    wanted = {"NHWC->NCHW": pillow.transpose(0, 3, 1, 2), "NHWC->NHWC": pillow}.get(
        layout, pillow.reshape(3, -1)
    )
    told = Preprocess(resize=size, layout=layout, scale=1.0, dtype="float32")
    spec = TensorSpec("x", "float32", wanted.shape[1:])
    y = embedded(identity(spec, tmp_path / "m.onnx"), spec, told, x)
    # Pillow rounds to 8 bits after each of the two axes: at most half a level, and half of the first one's.
    assert np.abs(y - wanted).max() < 1.001
    np.testing.assert_allclose(y, told.apply(x), atol=1e-3)


def test_a_model_of_bytes_gets_whole_numbers(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (2, 8, 8), dtype=np.uint8)
    told = Preprocess(resize=(4, 4), layout="NHW->NHW", scale=1.0, dtype="uint8")
    spec = TensorSpec("x", "uint8", (4, 4))
    y = embedded(identity(spec, tmp_path / "m.onnx"), spec, told, x)
    np.testing.assert_array_equal(y, told.apply(x))
    plain = Preprocess(resize=(4, 4), layout="NHW->NHW", scale=1.0, dtype="float32").apply(x)
    assert np.abs(y - plain).max() <= 0.5


def test_input_that_a_branch_uses_is_replaced_there_too(tmp_path: Path) -> None:
    """y = If(true, x + 1, x) on bytes that are halved first."""

    def branch(nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        info = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
        return helper.make_graph(nodes, "b", [], [info])

    nodes = [
        helper.make_node(
            "If",
            ["c"],
            ["y"],
            then_branch=branch([helper.make_node("Add", ["x", "one"], ["b"])]),
            else_branch=branch([helper.make_node("Identity", ["x"], ["b"])]),
        )
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [
            numpy_helper.from_array(np.array(True), "c"),
            numpy_helper.from_array(np.ones(1, np.float32), "one"),
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        tmp_path / "m.onnx",
    )
    x = np.array([[2, 4, 255]], np.uint8)
    told = Preprocess(layout="as-is", scale=0.5, dtype="float32")
    y = embedded(tmp_path / "m.onnx", TensorSpec("x", "float32", (3,)), told, x)
    np.testing.assert_array_equal(y, [[2.0, 3.0, 128.5]])
