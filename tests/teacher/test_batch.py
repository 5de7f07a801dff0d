"""Where the batch of inputs and outputs is: first, in the middle, fixed, nowhere; each found and proven on the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from squeeze import runtimes
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher import Teacher
from tests.teacher.conftest import load
from tests.teacher.graphs import model, run, saved, shapes, value

RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 3)).astype(np.float32)
FRAMES = RNG.normal(size=(5, 6, 4)).astype(np.float32)  # [n, t, 4]


def frames(*declared: int | str) -> onnx.ModelProto:
    """y = relu(x w) for any leading axes."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    output = [value("y", [*declared[:-1], 3])]
    return model(nodes, [value("x", list(declared))], output, {"w": W})


def infer(found: Teacher, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return runtimes.infer(runtimes.session(found.model), feed, found.interface)


@pytest.mark.parametrize(
    "example", [FRAMES, FRAMES[:, :, None]], ids=["one_axis_less", "size_1_in_its_place"]
)
@pytest.mark.parametrize("name", ["batch", "N", "batch_size"])
def test_batch_in_the_middle_is_found_by_its_name(
    name: str, example: np.ndarray, tmp_path: Path
) -> None:
    path = saved(frames(6, name, 4), tmp_path)
    found = load(path, tmp_path, example)
    (taken,), (given,) = found.interface.inputs, found.interface.outputs
    assert (taken.batch_axis, taken.shape) == (1, (6, 4))
    assert (given.batch_axis, given.shape) == (1, (6, 3))
    assert shapes(found.model) == {"x": [6, name, 4], "y": [6, name, 3]}
    expected = run(path, {"x": FRAMES.transpose(1, 0, 2)})["y"].transpose(1, 0, 2)
    np.testing.assert_allclose(infer(found, {"x": FRAMES})["y"], expected, atol=1e-5)
    np.testing.assert_allclose(found.outputs(FRAMES).logits, expected, atol=1e-5)
    assert found.macs == 6 * 4 * 3


def test_batch_without_a_telling_name_is_where_the_data_leaves_it(tmp_path: Path) -> None:
    found = load(saved(frames(6, "unk__7", 4), tmp_path), tmp_path, FRAMES)
    assert found.input.batch_axis == 1
    found = load(saved(frames("unk__7", 6, 4), tmp_path), tmp_path, FRAMES)
    assert found.input.batch_axis == 0


def test_batch_is_at_its_own_place_in_each_input(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Add", ["z", "shift"], ["y"]),
    ]
    inputs = [value("x", [6, "unk__7", 4]), value("shift", ["unk__7", 3])]
    made = model(nodes, inputs, [value("y", [6, "unk__7", 3])], {"w": W})
    shift = RNG.normal(size=(5, 3)).astype(np.float32)
    found = load(saved(made, tmp_path), tmp_path, {"x": FRAMES, "shift": shift})
    assert [s.batch_axis for s in found.interface.inputs] == [1, 0]
    got = infer(found, {"x": FRAMES, "shift": shift})["y"]
    np.testing.assert_allclose(got, FRAMES @ W + shift[:, None], atol=1e-5)


@pytest.mark.parametrize("declared", [(4,), (6, 4)], ids=str)
def test_model_without_a_batch_runs_one_sample_at_a_time(
    declared: tuple[int, ...], tmp_path: Path
) -> None:
    samples = FRAMES[:, 0] if declared == (4,) else FRAMES
    path = saved(frames(*declared), tmp_path)
    found = load(path, tmp_path, samples)
    (taken,), (given,) = found.interface.inputs, found.interface.outputs
    assert (taken.batch_axis, taken.shape) == (None, declared)
    assert given.batch_axis is None
    assert found.interface.batch_size == 1
    assert shapes(found.model)["x"] == list(declared)
    expected = np.stack([run(path, {"x": x})["y"] for x in samples])
    np.testing.assert_allclose(infer(found, {"x": samples})["y"], expected, atol=1e-6)
    np.testing.assert_allclose(found.outputs(samples).logits, expected, atol=1e-6)
    assert found.macs == np.prod(declared) * 3


def test_fixed_size_of_one_in_the_middle_is_no_batch_without_a_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Reshape", ["z", "s"], ["y"]),
    ]
    tensors = {"w": W, "s": np.array([3, 1, 6])}
    made = model(nodes, [value("x", [6, 1, 4])], [value("y", [3, 1, 6])], tensors)
    path = saved(made, tmp_path)
    found = load(path, tmp_path, FRAMES[:, :, None])
    assert found.input.batch_axis is None
    expected = np.stack([run(path, {"x": x[:, None]})["y"] for x in FRAMES])
    got = infer(found, {"x": FRAMES[:, :, None]})["y"]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_output_that_is_the_same_for_all_samples_has_no_batch(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Identity", ["w"], ["anchors"]),
    ]
    outputs = [value("y", ["n", 3]), value("anchors", [4, 3])]
    made = model(nodes, [value("x", ["n", 4])], outputs, {"w": W})
    samples = FRAMES[:, 0]
    found = load(saved(made, tmp_path), tmp_path, samples)
    assert [s.batch_axis for s in found.interface.outputs] == [0, None]
    got = infer(found, {"x": samples})
    np.testing.assert_allclose(got["y"], samples @ W, atol=1e-5)
    np.testing.assert_array_equal(got["anchors"], np.repeat(W[None], 5, axis=0))


def test_output_whose_rows_are_no_samples_keeps_one_sample_a_run(tmp_path: Path) -> None:
    """[n, 6, 4] flattened to [n * 6, 3], as detectors do it."""
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["y"]),
    ]
    tensors = {"w": W, "s": np.array([-1, 4])}
    made = model(nodes, [value("x", ["n", 6, 4])], [value("y", ["rows", 3])], tensors)
    found = load(saved(made, tmp_path), tmp_path, FRAMES)
    assert found.interface.batch_size == 1
    assert (found.output.batch_axis, found.output.shape) == (None, (6, 3))
    assert "the batch is fixed to 1" in found.changes[0]
    np.testing.assert_allclose(infer(found, {"x": FRAMES})["y"], FRAMES @ W, atol=1e-5)


def test_one_number_for_the_whole_batch_keeps_one_sample_a_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 1], keepdims=0)]
    made = model(nodes, [value("x", ["n", 4])], [value("y", [])], {})
    samples = FRAMES[:, 0]
    found = load(saved(made, tmp_path), tmp_path, samples)
    assert (found.output.batch_axis, found.output.shape) == (None, ())
    np.testing.assert_allclose(infer(found, {"x": samples})["y"], samples.mean(1), atol=1e-6)


def test_threshold_without_dimensions_is_an_input(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "threshold"], ["z"]),
        helper.make_node("Relu", ["z"], ["y"]),
    ]
    inputs = [value("x", ["n", 4]), value("threshold", [])]
    made = model(nodes, inputs, [value("y", ["n", 4])], {})
    samples, limits = FRAMES[:, 0], np.linspace(-1, 1, 5, dtype=np.float32)
    found = load(saved(made, tmp_path), tmp_path, {"x": samples, "threshold": limits})
    assert found.interface.inputs[1].shape == ()
    assert found.interface.batch_size == 1
    # The file itself still takes any number of samples with one threshold.
    assert shapes(found.model)["x"] == ["n", 4]
    got = infer(found, {"x": samples, "threshold": limits})["y"]
    np.testing.assert_allclose(got, np.maximum(samples - limits[:, None], 0), atol=1e-6)


def test_tensor_of_one_beside_a_free_batch_is_shared(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "scale"], ["y"])]
    inputs = [value("x", ["n", 4]), value("scale", [1, 4])]
    made = model(nodes, inputs, [value("y", ["n", 4])], {})
    samples, scales = FRAMES[:, 0], FRAMES[:, 1]
    found = load(saved(made, tmp_path), tmp_path, {"x": samples, "scale": scales})
    assert (found.interface.inputs[1].batch_axis, found.interface.inputs[1].shape) == (None, (1, 4))
    got = infer(found, {"x": samples, "scale": scales[:, None]})["y"]
    np.testing.assert_allclose(got, samples * scales, atol=1e-6)


def test_batches_that_contradict_are_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["y", "w"], ["b"]),
    ]
    inputs = [value("x", [2, 4]), value("y", [3, 4])]
    made = model(nodes, inputs, [value("a", [2, 3]), value("b", [3, 3])], {"w": W})
    feed = {"x": FRAMES[:, 0], "y": FRAMES[:, 1]}
    with pytest.raises(UnsupportedError, match=r"'x' has 2, 'y' has 3.*one that may vary"):
        load(saved(made, tmp_path), tmp_path, feed)


def test_sizes_that_depend_on_values_are_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("NonZero", ["r"], ["y"]),
    ]
    made = model(nodes, [value("x", ["n", 4])], [value("y", [2, "k"], 7)], {})
    samples = np.array([[1, 1, 1, 1], [1, -1, -1, 1]], np.float32)
    with pytest.raises(UnsupportedError, match=r"'y' has sizes .* cut the model before"):
        load(saved(made, tmp_path), tmp_path, samples)


def test_data_without_the_named_batch_is_refused_with_both_sides(tmp_path: Path) -> None:
    path = saved(frames(6, "batch", 4), tmp_path)
    with pytest.raises(ConfigError, match=r"\[6, n, 4\], the data gives float32 \[n, 6, 5\]"):
        load(path, tmp_path, np.zeros((3, 6, 5), np.float32))


def test_shape_that_is_not_declared_comes_from_the_data(tmp_path: Path) -> None:
    made = frames("n", 6, 4)
    made.graph.input[0].type.tensor_type.ClearField("shape")
    path = saved(made, tmp_path)
    with pytest.raises(ConfigError, match="--calib"):
        load(path, tmp_path)
    found = load(path, tmp_path, FRAMES)
    assert shapes(found.model)["x"] == ["batch", "x_1", "x_2"]
    np.testing.assert_allclose(found.outputs(FRAMES).logits, np.maximum(FRAMES @ W, 0), atol=1e-5)
