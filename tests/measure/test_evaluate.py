from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze import calib
from squeeze.calib import Calib
from squeeze.errors import ConfigError, MeasureError
from squeeze.interface import Interface, TensorSpec
from squeeze.measure import evaluate, outputs_in_batches, scored
from squeeze.metrics import Reading, Scorer
from tests.measure.models import linear, relu

RNG = np.random.default_rng(0)
LINEAR = Interface((TensorSpec("x", "float32", (3,)),), (TensorSpec("y", "float32", (2,)),))


def data(tmp_path: Path, n: int, labels: bool = True) -> Calib:
    """Three numbers a sample; class 1 where their sum is positive."""
    x = RNG.standard_normal((n + 10, 3)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64)
    y[:4] = 0, 1, 0, 1
    known = {"y_train": y[:10], "y_test": y[10:]} if labels else {}
    np.savez(tmp_path / "d.npz", x_train=x[:10], x_test=x[10:], **known)
    return calib.load(str(tmp_path / "d.npz")).fitted(LINEAR)


def test_evaluate_gives_scores_and_outputs_of_all_batches(tmp_path: Path) -> None:
    given = data(tmp_path, 150)
    model = linear(tmp_path / "m.onnx")
    found = evaluate(model, given, given.evaluate, (Reading("y", "top1"),), interface=LINEAR)
    expected = np.asarray(given.evaluate.x) @ np.array([[0.0, 1], [1, 2], [2, 3]]) + 1
    np.testing.assert_allclose(found.outputs["y"], expected, atol=1e-5)
    # The second output is larger exactly where the sum of x is positive.
    assert [(s.output, s.metric, s.value) for s in found.scores] == [("y", "top1", 100)]
    other = evaluate(model, given, given.calibrate, (Reading("y", "top1"),), interface=LINEAR)
    assert other.outputs["y"].shape == (len(given.calibrate), 2)


def test_evaluate_compares_with_the_teacher_when_there_are_no_labels(tmp_path: Path) -> None:
    given = data(tmp_path, 70, labels=False)
    model = linear(tmp_path / "m.onnx")
    wanted = (Reading("y", "agreement"),)
    found = evaluate(model, given, given.evaluate, wanted, interface=LINEAR)
    assert found.scores[0].value == 100
    flipped = found.outputs["y"].copy()
    flipped[:7] = flipped[:7, ::-1]
    again = evaluate(
        model, given, given.evaluate, wanted, interface=LINEAR, reference={"y": flipped}
    )
    assert again.scores[0].value == 90


def test_evaluate_says_which_output_is_not_finite(tmp_path: Path) -> None:
    given = data(tmp_path, 5)
    node = helper.make_node("Log", ["x"], ["y"])
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3]) for n in ("x", "y")]
    graph = helper.make_graph([node], "logarithm", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "log.onnx")
    interface = Interface(LINEAR.inputs, (TensorSpec("y", "float32", (3,)),))
    bad = int((np.asarray(given.evaluate.x) < 0).any(axis=1).sum())
    assert bad > 0
    with pytest.raises(
        MeasureError, match=rf"log.onnx: output 'y': values of {bad} of 5 samples are not finite"
    ):
        evaluate(
            tmp_path / "log.onnx",
            given,
            given.evaluate,
            (Reading("y", "error"),),
            interface=interface,
        )


def test_evaluate_names_the_file_that_does_not_run(tmp_path: Path) -> None:
    given = data(tmp_path, 5)
    model = relu(tmp_path / "other.onnx", ["n", 4])
    with pytest.raises(MeasureError, match=r"other.onnx: the model failed on 'x' \[5, 3\]"):
        evaluate(model, given, given.evaluate, (Reading("y", "error"),), interface=LINEAR)
    three = relu(tmp_path / "three.onnx", ["n", 3])
    with pytest.raises(ConfigError, match=r"metric mse: labels \[5\] do not fit outputs \[5, 3\]"):
        evaluate(three, given, given.evaluate, (Reading("y", "mse"),), interface=LINEAR)


def test_evaluate_takes_several_inputs_and_outputs_with_the_batch_anywhere(tmp_path: Path) -> None:
    """sum = frames + mask along the time, count = the mask's ones: frames [4, n, 3], a batch of 7 that is fixed."""
    frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, [4, 7, 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.INT64, [7, 4])
    total = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [4, 7, 3])
    ones = helper.make_tensor_value_info("count", TensorProto.INT64, [7])
    nodes = [
        helper.make_node("Transpose", ["mask"], ["turned"], perm=[1, 0]),
        helper.make_node("Cast", ["turned"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "axis"], ["wide"]),
        helper.make_node("Add", ["frames", "wide"], ["sum"]),
        helper.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [frames, mask],
        [total, ones],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "two.onnx")
    interface = Interface(
        (TensorSpec("frames", "float32", (4, 3), 1, 7), TensorSpec("mask", "int64", (4,), 0, 7)),
        (TensorSpec("sum", "float32", (4, 3), 1, 7), TensorSpec("count", "int64", (), 0, 7)),
    )
    x = RNG.standard_normal((100, 4, 1, 3)).astype(np.float32)  # stored with a batch of 1
    m = RNG.integers(0, 2, (100, 4))
    np.savez(tmp_path / "d.npz", mask=m[:20], frames=x[:20], mask_test=m[20:], frames_test=x[20:])
    given = calib.load(str(tmp_path / "d.npz"), inputs=("frames", "mask")).fitted(interface)
    wanted = (Reading("sum", "error"), Reading("count", "agreement"))
    found = evaluate(tmp_path / "two.onnx", given, given.evaluate, wanted, interface=interface)
    by_hand = x[20:, :, 0] + m[20:, :, None]
    np.testing.assert_allclose(found.outputs["sum"], by_hand, rtol=1e-6)
    np.testing.assert_array_equal(found.outputs["count"], m[20:].sum(axis=1))
    assert [s.value for s in found.scores] == [0, 100]


def test_outputs_may_go_into_files_and_scores_alone_are_the_same(tmp_path: Path) -> None:
    given = data(tmp_path, 150, labels=False)
    model = linear(tmp_path / "m.onnx")
    wanted = (Reading("y", "channel_error"), Reading("y", "agreement"))
    first = evaluate(model, given, given.evaluate, wanted, interface=LINEAR)
    reference = {"y": first.outputs["y"] + RNG.normal(size=(150, 2)).astype(np.float32)}
    known = evaluate(
        model, given, given.evaluate, wanted, interface=LINEAR, reference=reference, intervals=True
    )
    found = evaluate(
        model,
        given,
        given.evaluate,
        wanted,
        interface=LINEAR,
        reference=reference,
        files={"y": tmp_path / "y.npy"},
        intervals=True,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), known.outputs["y"])
    np.testing.assert_array_equal(found.outputs["y"], known.outputs["y"])
    assert found.scores == known.scores
    assert known.scores[0].value > 0
    assert found.intervals == known.intervals
    assert len(known.intervals) == 2
    scorer = Scorer(wanted, None, reference)
    assert scored(model, given, given.evaluate, scorer, interface=LINEAR) == known.scores
    again = scorer.again()
    assert scored(model, given, given.evaluate, again, interface=LINEAR) == known.scores


def test_dense_outputs_run_a_few_samples_at_a_time(tmp_path: Path) -> None:
    """What a batch takes and gives stays below 2 Mi numbers: of [16, 1024, 1024] a sample one at a time."""
    node = helper.make_node("Expand", ["x", "shape"], ["y"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [1, 16, 1024, 1024])
    value = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 1, 1]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16, 1024, 1024]),
    ]
    graph = helper.make_graph([node], "wide", value[:1], value[1:], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "wide.onnx")
    interface = Interface(
        (TensorSpec("x", "float32", (1, 1, 1)),), (TensorSpec("y", "float32", (16, 1024, 1024)),)
    )
    np.savez(tmp_path / "d.npz", x=RNG.normal(size=(12, 1, 1, 1)).astype(np.float32))
    given = calib.load(str(tmp_path / "d.npz")).fitted(interface)
    batches = outputs_in_batches(tmp_path / "wide.onnx", given, given.fit, interface=interface)
    assert [len(batch["y"]) for batch in batches] == [1] * len(given.fit)
