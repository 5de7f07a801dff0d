"""ONNX files of every age and shape: what is read, what is changed, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.errors import ConfigError, SqueezeError, UnsupportedError
from tests.teacher.conftest import load
from tests.teacher.graphs import model, saved, value

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 6)).astype(np.float32)
W = RNG.normal(size=(6, 3)).astype(np.float32)
B = RNG.normal(size=3).astype(np.float32)


def linear(
    batch: int | str = "n", *, opset: int = 17, kind: type = np.float32, **more: object
) -> onnx.ModelProto:
    """y = x W + b, for x [batch, 6]."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    ends = [value("x", [batch, 6], element)], [value("y", [batch, 3], element)]
    return model(nodes, *ends, {"w": W.astype(kind), "b": B.astype(kind)}, opset=opset, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 20, 22])
def test_opsets_old_and_new_compute_the_same(opset: int, tmp_path: Path) -> None:
    teacher = load(saved(linear(opset=opset), tmp_path), tmp_path, X)
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)
    found = onnx.load(teacher.model)
    assert 13 <= found.opset_import[0].version <= 20
    onnx.checker.check_model(found)


def test_file_of_a_newer_onnx_than_the_runtime_is_read(tmp_path: Path) -> None:
    made = linear()
    made.ir_version = 99
    teacher = load(saved(made, tmp_path), tmp_path, X)
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)
    assert onnx.load(teacher.model).ir_version <= 10
    assert "IR version 99 lowered to 10, which runtimes since 1.18 read" in teacher.changes


def test_old_softmax_and_squeeze_are_converted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["u"], axes=[2]),
        helper.make_node("Squeeze", ["u"], ["v"], axes=[2]),
        helper.make_node("Gemm", ["v", "w", "b"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"], axis=1),
    ]
    made = model(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], {"w": W, "b": B}, opset=11)
    teacher = load(saved(made, tmp_path), tmp_path, X)
    assert teacher.output_activation == "softmax"
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)


def test_old_upsample_becomes_resize(tmp_path: Path) -> None:
    nodes = [helper.make_node("Upsample", ["x", "s"], ["y"], mode="nearest")]
    scales = np.array([1, 1, 2, 2], np.float32)
    ends = [value("x", [1, 1, 4, 4])], [value("y", [1, 1, 8, 8])]
    teacher = load(saved(model(nodes, *ends, {"s": scales}, opset=9), tmp_path), tmp_path)
    assert teacher.census == {"Resize": 1}
    assert teacher.taps.embedding is teacher.taps.feature_map is None
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    np.testing.assert_allclose(teacher.outputs(x).logits, x.repeat(2, 2).repeat(2, 3))


@pytest.mark.parametrize("as_constant", [True, False])
def test_dropout_in_training_mode_drops_nothing_and_is_said(
    tmp_path: Path, as_constant: bool, caplog: pytest.LogCaptureFixture
) -> None:
    made = linear()
    nodes = [
        helper.make_node("Dropout", ["y0", "ratio", "training"], ["y"]),
        helper.make_node("Gemm", ["x", "w", "b"], ["y0"]),
    ]
    tensors = [
        numpy_helper.from_array(np.float32(0.5), "ratio"),
        numpy_helper.from_array(np.array(True), "training"),
    ]
    made.graph.initializer.append(tensors[0])
    if as_constant:
        nodes.append(helper.make_node("Constant", [], ["training"], value=tensors[1]))
    else:
        made.graph.initializer.append(tensors[1])
    del made.graph.node[:]
    made.graph.node.extend(reversed(nodes))
    teacher = load(saved(made, tmp_path), tmp_path, X)
    assert any("1 Dropout node was in training mode" in words for words in teacher.changes)
    assert "export after .eval()" in caplog.text
    plain = ort.SessionOptions()
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(teacher.model, plain, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": X})[0], X @ W + B, atol=1e-5)


def test_opset_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    relu = helper.make_node("Relu", ["a"], ["b"])
    body = helper.make_graph([relu], "body", [value("a", [6])], [value("b", [6])])
    # Since opset 9 a Scan has no batch of its own.
    nodes = [helper.make_node("Scan", ["", "x"], ["y"], num_scan_inputs=1, body=body)]
    made = model(nodes, [value("x", [1, 4, 6])], [value("y", [1, 4, 6])], {}, opset=8)
    with pytest.raises(
        UnsupportedError, match=r"opset 8 cannot be converted to 13.*export it with"
    ):
        load(saved(made, tmp_path), tmp_path)


@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batch_becomes_free(batch: int, tmp_path: Path) -> None:
    teacher = load(saved(linear(batch), tmp_path), tmp_path, X)
    assert ort.InferenceSession(teacher.model).get_inputs()[0].shape == ["batch", 6]
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)


@pytest.mark.parametrize("shape", [[1, 6], [1, 2, -1], [1, -1]], ids=str)
def test_batch_in_reshapes_becomes_free(shape: list[int], tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["r"]),
        helper.make_node("Reshape", ["r", "t"], ["q"]),
        helper.make_node("Gemm", ["q", "w", "b"], ["y"]),
    ]
    tensors = {"s": np.array(shape), "t": np.array([1, 6]), "w": W, "b": B}
    made = model(nodes, [value("x", [1, 6])], [value("y", [1, 3])], tensors)
    teacher = load(saved(made, tmp_path), tmp_path, X)
    assert ort.InferenceSession(teacher.model).get_inputs()[0].shape == ["batch", 6]
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)


@pytest.mark.parametrize("batch", [2, "n"])
def test_model_that_mixes_samples_keeps_a_fixed_batch(
    batch: int | str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["d"]),
        helper.make_node("Gemm", ["d", "w", "b"], ["y"]),
    ]
    made = model(nodes, [value("x", [batch, 6])], [value("y", [batch, 3])], {"w": W, "b": B})
    teacher = load(saved(made, tmp_path), tmp_path, X)
    kept = 1 if batch == "n" else batch
    assert f"its batch stays {kept}" in caplog.text
    assert ort.InferenceSession(teacher.model).get_inputs()[0].shape[0] == kept
    assert teacher.outputs(X).logits.shape == (5, 3)
    if kept == 1:
        np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)


def test_casts_inside_become_float32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Gemm", ["h", "w", "b"], ["z"]),
        helper.make_node("Cast", ["z"], ["y"], to=TensorProto.FLOAT),
    ]
    tensors = {"w": W.astype(np.float16), "b": B.astype(np.float16)}
    made = model(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], tensors)
    teacher = load(saved(made, tmp_path), tmp_path, X)
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=2e-2)
    assert teacher.taps.embedding is not None


def test_stored_tensors_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    made = linear()
    made.graph.input.extend([value("w", [6, 3]), value("b", [3])])
    made.ir_version = 3
    teacher = load(saved(made, tmp_path), tmp_path, X)
    assert teacher.input.name == "x"
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)


def test_sizes_that_vary_come_from_the_data(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["e", "ids"], ["g"]),
        helper.make_node("ReduceMean", ["g"], ["m"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["z"]),
        helper.make_node("Add", ["z", "b"], ["y"]),
    ]
    table = RNG.normal(size=(20, 6)).astype(np.float32)
    ids = RNG.integers(0, 20, (4, 7))
    ends = [value("ids", ["n", "t"], TensorProto.INT64)], [value("y", ["n", 3])]
    path = saved(model(nodes, *ends, {"e": table, "w": W, "b": B}), tmp_path)
    teacher = load(path, tmp_path, ids)
    assert teacher.input.shape == (7,)
    assert teacher.input.dtype == "int64"
    found = teacher.outputs(ids)
    np.testing.assert_allclose(found.logits, table[ids].mean(1) @ W + B, atol=1e-5)
    np.testing.assert_allclose(found.taps["feature_map"], table[ids].transpose(0, 2, 1), atol=1e-6)
    with pytest.raises(ConfigError, match=r"int64 \[n, t\].*--calib"):
        load(path, tmp_path / "without")


def test_channels_last_model_with_a_point_convolution_at_the_end(tmp_path: Path) -> None:
    kernel = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
    last = RNG.normal(size=(2, 4, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["c", "k"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["p"]),
        helper.make_node("Conv", ["p", "l"], ["q"]),
        helper.make_node("Flatten", ["q"], ["y"]),
    ]
    ends = [value("x", ["n", 8, 8, 3])], [value("y", ["n", 2])]
    x = RNG.normal(size=(3, 8, 8, 3)).astype(np.float32)
    teacher = load(saved(model(nodes, *ends, {"k": kernel, "l": last}), tmp_path), tmp_path, x)
    found = teacher.outputs(x)
    assert teacher.input.shape == (8, 8, 3)
    assert found.taps["feature_map"].shape == (3, 4, 6, 6)
    np.testing.assert_allclose(
        found.taps["embedding"], found.taps["feature_map"].mean((2, 3)), atol=1e-6
    )
    np.testing.assert_allclose(
        found.logits, found.taps["embedding"] @ last[:, :, 0, 0].T, atol=1e-5
    )


def test_map_pooled_with_channels_last_is_given_with_channels_first(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["f"]),
        helper.make_node("ReduceMean", ["f"], ["p"], axes=[1, 2], keepdims=0),
        helper.make_node("Gemm", ["p", "w", "b"], ["y"]),
    ]
    ends = [value("x", ["n", 4, 5, 6])], [value("y", ["n", 3])]
    x = RNG.normal(size=(3, 4, 5, 6)).astype(np.float32)
    found = load(saved(model(nodes, *ends, {"w": W, "b": B}), tmp_path), tmp_path, x).outputs(x)
    np.testing.assert_allclose(found.taps["feature_map"], np.maximum(x, 0).transpose(0, 3, 1, 2))


def test_value_with_frames_folded_into_the_batch_is_no_tap(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "frames"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["p"]),
        helper.make_node("Reshape", ["p", "clips"], ["e"]),
        helper.make_node("Gemm", ["e", "w", "b"], ["y"]),
    ]
    ends = [value("x", ["n", 2, 3, 4, 4])], [value("y", ["n", 3])]
    tensors = {"frames": np.array([-1, 3, 4, 4]), "clips": np.array([-1, 6]), "w": W, "b": B}
    x = RNG.normal(size=(5, 2, 3, 4, 4)).astype(np.float32)
    found = load(saved(model(nodes, *ends, tensors), tmp_path), tmp_path, x).outputs(x)
    means = x.mean((3, 4)).reshape(5, 6)
    np.testing.assert_allclose(found.taps["embedding"], means, atol=1e-6)
    np.testing.assert_allclose(found.logits, means @ W + B, atol=1e-5)
    assert "feature_map" not in found.taps


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    body = [helper.make_node("Gemm", ["a", "c", "d"], ["e"])]
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("mine", "Layer", ["a", "c", "d"], ["e"], body, imports)
    nodes = [helper.make_node("Layer", ["x", "w", "b"], ["y"], domain="mine")]
    ends = [value("x", ["n", 6])], [value("y", ["n", 3])]
    made = model(nodes, *ends, {"w": W, "b": B}, libraries=("mine",), functions=(function,))
    teacher = load(saved(made, tmp_path), tmp_path, X)
    assert teacher.census == {"Gemm": 1}
    np.testing.assert_allclose(teacher.outputs(X).logits, X @ W + B, atol=1e-5)


def test_functions_that_multiply_or_call_themselves_are_refused(tmp_path: Path) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]

    def calling(name: str, other: str) -> onnx.FunctionProto:
        body = [
            helper.make_node(other, ["a"], ["b"], domain="mine"),
            helper.make_node(other, ["b"], ["c"], domain="mine"),
        ]
        return helper.make_function("mine", name, ["a"], ["c"], body, imports)

    ends = [value("x", ["n", 6])], [value("y", ["n", 6])]
    leaf = helper.make_function(
        "mine", "F0", ["a"], ["c"], [helper.make_node("Relu", ["a"], ["c"])], imports
    )
    laughs = (leaf, *(calling(f"F{i}", f"F{i - 1}") for i in range(1, 40)))
    for functions, first, text in (
        (laughs, "F39", "more than"),
        ((calling("F", "G"), calling("G", "F")), "F", "calls itself"),
    ):
        nodes = [helper.make_node(first, ["x"], ["y"], domain="mine")]
        made = model(nodes, *ends, {}, libraries=("mine",), functions=functions)
        with pytest.raises(ConfigError, match=text):
            load(saved(made, tmp_path), tmp_path, X)


def test_operator_of_an_unknown_library_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Magic", ["x"], ["y"], domain="acme", name="trick")]
    ends = [value("x", ["n", 6])], [value("y", ["n", 6])]
    made = model(nodes, *ends, {}, libraries=("acme",))
    with pytest.raises(UnsupportedError, match="'trick' is acme::Magic"):
        load(saved(made, tmp_path), tmp_path, X)


def test_quantised_model_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    tensors = {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8)}
    made = model(nodes, [value("x", ["n", 6])], [value("y", ["n", 6])], tensors)
    with pytest.raises(UnsupportedError, match=r"is quantised already.*float model"):
        load(saved(made, tmp_path), tmp_path, X)


def test_model_that_fails_on_the_data_says_the_runtimes_reason(tmp_path: Path) -> None:
    table = RNG.normal(size=(20, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["e", "ids"], ["g"]),
        helper.make_node("ReduceMean", ["g"], ["y"], axes=[1], keepdims=0),
    ]
    ends = [value("ids", ["n", 2], TensorProto.INT64)], [value("y", ["n", 3])]
    path = saved(model(nodes, *ends, {"e": table}), tmp_path)
    with pytest.raises(ConfigError, match=r"fails on int64 .*indices element out of data bounds"):
        load(path, tmp_path, np.full((4, 2), 20))


@pytest.mark.parametrize(
    "content", [b"garbage" * 100, b"\x08\x01\x12\x00", b"\x00", b"PK\x03\x04" + b"0" * 60]
)
def test_garbage_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"net\.onnx: not an ONNX file"):
        load(path, tmp_path, X)


def test_every_truncation_is_refused_or_whole(tmp_path: Path) -> None:
    whole = linear().SerializeToString()
    path = tmp_path / "net.onnx"
    for end in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(SqueezeError, match=r"net\.onnx"):
            load(path, tmp_path, X)
