"""What is told of changed answers is counted again by NumPy from the answers of the files themselves."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import squeeze
from squeeze import seal
from squeeze.artifact import Artifact
from squeeze.errors import ConfigError, GoalMissed
from squeeze.steps import flips

FASHION = Path(__file__).parents[2] / "examples/fashion/fashion_resnet.pt2"
IMAGES = Path(__file__).parents[2] / "calib/fashion.npz"
CLASSES, WIDTH, EACH, SAMPLES = 4, 12, 60, 400


def classifier(folder: Path) -> Path:
    """Three layers with random weights."""
    random = np.random.default_rng(5)
    sizes = (WIDTH, 128, 128, CLASSES)
    nodes, constants, value = [], [], "x"
    for i, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        weights = random.normal(size=(rows, columns)) / np.sqrt(rows)
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"w{i}"))
        out = "y" if i == 2 else f"h{i}"
        nodes.append(helper.make_node("MatMul", [value, f"w{i}"], [out]))
        if i < 2:
            nodes.append(helper.make_node("Relu", [out], [f"r{i}"]))
        value = f"r{i}"
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        constants,
    )
    path = folder / "classifier.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def outputs(model: Path, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and labels that are its answers: of samples that it is sure of, and to judge by of those that it is least
    sure of, as many of each class. A tenth of the latter has the class that it holds for next to likeliest."""
    folder = tmp_path_factory.mktemp("classes")
    model, random = classifier(folder), np.random.default_rng(6)
    x = random.normal(size=(40_000, WIDTH)).astype(np.float32)
    ranked = np.argsort(outputs(model, x), axis=1)
    scores = np.sort(outputs(model, x), axis=1)
    by_margin = np.argsort(scores[:, -1] - scores[:, -2])
    each = [by_margin[ranked[by_margin, -1] == kind] for kind in range(CLASSES)]
    unsure = np.concatenate([kind[:EACH] for kind in each])
    sure = random.permutation(np.concatenate([kind[-2 * EACH :] for kind in each]))
    y_test = ranked[unsure, -1]
    y_test[::10] = ranked[unsure, -2][::10]
    data = folder / "data.npz"
    np.savez(data, x_train=x[sure], y_train=ranked[sure, -1], x_test=x[unsure], y_test=y_test)
    return model, data


def test_a_class_that_loses_too_much_misses_the_goal(
    problem: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = problem
    with pytest.raises(GoalMissed, match="points of recall lost by the worst class") as e:
        squeeze.compile(
            str(model),
            str(data),
            out=tmp_path / "out",
            recipe="ptq",
            drop=100.0,
            size_bytes=50_000,
            worst_class_drop=0.5,
            cache=tmp_path / "cache",
        )
    assert e.value.exit_code == 4
    assert "--worst-class-drop" in str(e.value).splitlines()[-1]
    made = squeeze.open(tmp_path / "out")
    check = next(c for c in made.manifest["verdict"]["checks"] if c["what"] == "class_drop")
    _counted_again(made, model, data)
    assert not check["ok"]
    assert check["got"] == pytest.approx(made.manifest["flips"]["worst_class"]["drop"])


def _counted_again(made: Artifact, model: Path, data: Path) -> None:
    found = made.manifest["flips"]
    with np.load(data) as stored:
        x, y = stored["x_test"], stored["y_test"]
    rows = list(csv.reader(io.StringIO((made.path / flips.FILE).read_text())))
    assert rows[0] == ["sample", "label", *found["stages"]]
    before = outputs(model, x).argmax(axis=1)
    after = before.copy()
    for sample, label, was, *_, now in (map(int, row) for row in rows[1:]):
        assert (label, was) == (y[sample], before[sample])
        after[sample] = now
    assert (before != after).any()
    whole = found["whole"]
    wrong = np.flatnonzero((before == y) & (after != y))
    assert whole["became_wrong"] == {"count": len(wrong), "samples": wrong[: flips.LISTED].tolist()}
    right = np.flatnonzero((before != y) & (after == y))
    assert whole["became_right"]["count"] == len(right)
    other = (before != y) & (after != y) & (before != after)
    assert whole["still_wrong"]["count"] == other.sum()
    table = found["classes"]
    for i, number in enumerate(table["number"]):
        own = y == number
        assert table["samples"][i] == own.sum()
        assert table["right"]["teacher"][i] == (before[own] == number).sum()
        assert table["right"][found["stages"][-1]][i] == (after[own] == number).sum()
    drops = [100 * ((before == y)[y == k].mean() - (after == y)[y == k].mean()) for k in range(4)]
    assert found["worst_class"]["drop"] == pytest.approx(max(drops))
    assert found["worst_class"]["class"] == int(np.argmax(drops))
    shares = np.exp(outputs(model, x).astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    error, sure = 0.0, shares.max(axis=1)
    for low in np.arange(15) / 15:
        inside = (sure > low) & (sure <= low + 1 / 15)
        error += abs((before == y)[inside].sum() - sure[inside].sum())
    assert made.manifest["calibration_error"]["teacher"] == pytest.approx(100 * error / len(y))


@pytest.mark.parametrize(
    ("labels", "metric", "words"),
    [
        ({}, None, "the calibrate split of .* has none"),
        (
            {"y": np.zeros((SAMPLES, CLASSES), np.float32)},
            "mse",
            "metric mse@y with labels float32",
        ),
    ],
    ids=["no labels", "no classes"],
)
def test_worst_class_is_refused_before_any_work_where_there_are_no_classes(
    problem: tuple[Path, Path],
    tmp_path: Path,
    labels: dict[str, np.ndarray],
    metric: str | None,
    words: str,
) -> None:
    x = np.random.default_rng(1).normal(size=(SAMPLES, WIDTH)).astype(np.float32)
    np.savez(tmp_path / "other.npz", x=x, **labels)
    with pytest.raises(ConfigError, match=rf"--worst-class-drop .*{words}"):
        squeeze.compile(
            str(problem[0]),
            str(tmp_path / "other.npz"),
            out=tmp_path / "out",
            recipe="ptq",
            metric=metric,
            worst_class_drop=2.0,
            accept_baseline=True,
            cache=tmp_path / "cache",
        )
    assert not (tmp_path / "out").exists()


def test_limit_below_one_sample_of_a_class_is_warned_of(
    problem: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, data = problem
    made = squeeze.compile(
        str(model),
        str(data),
        out=tmp_path / "out",
        recipe="ptq",
        worst_class_drop=0.01,
        drop=100.0,
        overrides={"quant.enabled": False},
        cache=tmp_path / "cache",
    )
    assert isinstance(made, Artifact)
    assert made.goal_met  # a float file answers as the teacher does
    assert "samples in the evaluate split, of which one is" in caplog.text


def test_images_of_clothes_in_int8(tmp_path: Path) -> None:
    with np.load(IMAGES) as stored:
        some = {n: stored[n][:count] for n, count in (("x_train", 300), ("y_train", 300))}
        some |= {n: stored[n][:200] for n in ("x_test", "y_test")}
    np.savez(tmp_path / "clothes.npz", **some)
    made = squeeze.compile(
        str(FASHION),
        str(tmp_path / "clothes.npz"),
        out=tmp_path / "out",
        recipe="ptq",
        preprocess={"scale": "1/255", "mean": 0.2860, "std": 0.3530},
        worst_class_drop=30.0,
        overrides={"quant.samples": 32},
        cache=tmp_path / "cache",
    )
    assert isinstance(made, Artifact)
    assert flips.FILE in made.manifest["files"]
    assert all(check.ok for check in squeeze.verify(made.path))
    found = made.manifest["flips"]
    assert found["samples"] == 200
    assert found["stages"][0] == "teacher"
    kinds, counts = np.unique(some["y_test"], return_counts=True)
    assert (found["classes"]["number"], found["classes"]["samples"]) == (
        kinds.tolist(),
        counts.tolist(),
    )
    right = sum(found["classes"]["right"]["teacher"])
    assert 100 * right / 200 == pytest.approx(made.manifest["measurements"]["teacher"]["metric"])
    assert 0 < made.manifest["calibration_error"]["teacher"] < 15
    assert "Answers that changed" in (made.path / seal.REPORT).read_text()
