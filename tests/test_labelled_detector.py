"""A small detector with labelled boxes: what `quantize` and `profile --against` say of its average precision is what
the file that was written does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.commands.likeness import likeness
from squeeze.commands.quantize import quantize_file
from squeeze.metrics import score

SIZE, STRIDE, BOX, FILTERS = 32, 4, 8, 32
GRID = SIZE // STRIDE
SAMPLES = 60


def detector() -> onnx.ModelProto:
    """Finds squares of 8 pixels: red ones are class 0, green ones class 1. Output [n, 4 + 2, 64]."""
    rng = np.random.default_rng(0)
    # Filters that look for a square of one colour, each a little otherwise; half of them for each class.
    weight = rng.normal(0, 0.002, (FILTERS, 3, BOX, BOX))
    weight[: FILTERS // 2, 0] += 1 / BOX**2
    weight[FILTERS // 2 :, 1] += 1 / BOX**2
    heads = np.zeros((2, FILTERS, 1, 1))
    heads[0, : FILTERS // 2] = heads[1, FILTERS // 2 :] = 20 / (FILTERS // 2)
    y, x = np.divmod(np.arange(GRID * GRID), GRID)
    centres = np.stack([x, y]) * STRIDE + STRIDE // 2 + 0.0
    sizes = np.full((2, GRID * GRID), float(BOX))
    given = {
        "w": weight,
        "heads": heads,
        "bias": np.full(2, -14.0),
        "boxes": np.concatenate([centres, sizes])[None],
        "zero": np.zeros((1, 1, 1)),
    }
    constants = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in given.items()]
    constants.append(numpy_helper.from_array(np.array([0, 2, -1]), "flat"))
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["f"], pads=[2, 2, 2, 2], strides=[4, 4]),
        helper.make_node("Relu", ["f"], ["r"]),
        helper.make_node("Conv", ["r", "heads", "bias"], ["logits"]),
        helper.make_node("Reshape", ["logits", "flat"], ["rows"]),
        helper.make_node("Sigmoid", ["rows"], ["scores"]),
        helper.make_node("ReduceMax", ["scores"], ["any"], axes=[1, 2], keepdims=1),
        helper.make_node("Mul", ["any", "zero"], ["nothing"]),
        helper.make_node("Add", ["boxes", "nothing"], ["placed"]),
        helper.make_node("Concat", ["placed", "scores"], ["output0"], axis=1),
    ]
    ends = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIZE, SIZE]),
        helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 6, GRID * GRID]),
    ]
    graph = helper.make_graph(nodes, "detector", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The detector, and images of one or two squares that lie within a pixel of its grid."""
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "state"))
    rng = np.random.default_rng(1)
    images = rng.uniform(0, 0.1, (SAMPLES, 3, SIZE, SIZE)).astype(np.float32)
    labels = np.full((SAMPLES, 2, 5), -1.0)
    for i in range(SAMPLES):
        for row, half in enumerate((0, 1)[: 1 + i % 2]):
            kind = int(rng.integers(0, 2))
            x = half * 16 + 4 * int(rng.integers(0, 2)) + 2 + int(rng.integers(-1, 2))
            y = 4 * int(rng.integers(0, 6)) + 2 + int(rng.integers(-1, 2))
            images[i, kind, y : y + BOX, x : x + BOX] = 1
            labels[i, row] = x, y, x + BOX, y + BOX, kind
    onnx.save(detector(), tmp_path / "detector.onnx")
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    np.savez(tmp_path / "judged.npz", images=images, labels=labels, **_test(images, labels))
    return tmp_path


def _test(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {"images_test": images[:30], "labels_test": labels[:30]}


def test_average_precision_of_a_quantised_detector_is_that_of_its_file(folder: Path) -> None:
    model, out = folder / "detector.onnx", folder / "int8.onnx"
    data = str(folder / "judged.npz")
    found = quantize_file(model, out, calib=data, drop=5, aim="size", threads=1)
    arrays = np.load(data)
    images, labels = arrays["images_test"], arrays["labels_test"]

    def of(file: Path) -> float:
        options = ort.SessionOptions()
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return score("map", session.run(None, {"images": images})[0], labels)

    before = of(model)
    assert 20 < before < 100
    assert found["metric"]["name"] == "map"
    assert found["metric"]["before"] == pytest.approx(before)
    # Without our library the file may round otherwise.
    assert found["metric"]["after"] == pytest.approx(of(out), abs=1)
    assert found["drop"] == pytest.approx(before - found["metric"]["after"])
    low, high = found["metric"]["interval"]
    assert low < found["metric"]["after"] < high

    beside = likeness(out, model, calib=data, metric="map50")
    (row,) = beside["outputs"]
    assert (row["metric"], row["unit"], beside["samples"]) == ("map50", "%", 30)
    assert row["against"] > before
