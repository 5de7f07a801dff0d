"""A teacher that knows samples by heart: the label of the nearest sample that it has in its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.case import Case
from squeeze.steps import load
from squeeze.steps.samples import calibrate_lost
from tests.steps.conftest import a_run

CLASSES, WIDTH, TRAINED, NEW = 4, 64, 1200, 600
RNG = np.random.default_rng(0)
MEANS = 0.35 * RNG.standard_normal((CLASSES, WIDTH)).astype(np.float32)


def drawn(count: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    y = np.tile(np.arange(CLASSES), count // CLASSES)
    return (MEANS[y] + noise * RNG.standard_normal((count, WIDTH))).astype(np.float32), y


X, Y = drawn(TRAINED)
X_NEW, Y_NEW = drawn(NEW)


def saved(folder: Path, name: str, rows: np.ndarray, labels: np.ndarray) -> Path:
    """y = softmax(100 (2 x . row - row . row)) labels: the label of the nearest of the rows."""
    constants = {
        "rows": 200 * rows,
        "less": -100 * (rows**2).sum(axis=1),
        "labels": np.eye(CLASSES, dtype=np.float32)[labels],
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "rows", "less"], ["near"], transB=1),
            helper.make_node("Softmax", ["near"], ["share"], axis=1),
            helper.make_node("MatMul", ["share", "labels"], ["y"]),
        ],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in constants.items()],
    )
    path = folder / f"{name}.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return path


def accuracy(rows: np.ndarray, labels: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Of nearest rows, in percent, by NumPy."""
    away = (rows.astype(np.float64) ** 2).sum(axis=1) - 2 * x.astype(np.float64) @ rows.T
    return 100 * float((labels[away.argmin(axis=1)] == y).mean())


def case_of(folder: Path, teacher: Path, new: tuple[np.ndarray, np.ndarray]) -> Case:
    np.savez(folder / "data.npz", x_train=X, y_train=Y, x_test=new[0], y_test=new[1])
    return load(a_run(folder / "work"), str(teacher), None, str(folder / "data.npz"), None)


def test_samples_beside_the_sets_own_change_nothing_of_it(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "table", X, Y)
    plain = case_of(tmp_path, teacher, (X_NEW, Y_NEW))
    np.savez(tmp_path / "more.npz", x=drawn(200)[0])
    given = (str(teacher), None, str(tmp_path / "data.npz"), None)
    case = load(a_run(tmp_path / "beside"), *given, extra=[str(tmp_path / "more.npz")])
    assert case.data.fit.extra == 200
    assert case.data.fit.y is None
    assert case.by_heart == plain.by_heart != ()


def test_student_is_held_against_what_the_teacher_has_on_new_samples(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "table", X, Y)
    student = saved(tmp_path, "means", MEANS, np.arange(CLASSES))
    case = case_of(tmp_path, teacher, (X_NEW, Y_NEW))
    on_new = accuracy(X, Y, X_NEW, Y_NEW)
    assert on_new < 90
    assert case.by_heart == (pytest.approx(on_new, abs=0.01),)

    split = case.data.calibrate
    known = accuracy(MEANS, np.arange(CLASSES), np.asarray(split.x[:]), split.y)  # type: ignore[arg-type]
    kept = case.judging(case.net)
    as_student = case.judging(replace(case.net, origin="student"))
    assert calibrate_lost(kept, student, threads=1).drop == pytest.approx(100 - known, abs=0.01)
    assert calibrate_lost(as_student, student, threads=1).drop == pytest.approx(
        on_new - known, abs=0.01
    )
    assert calibrate_lost(kept, teacher, threads=1).drop == 0
    assert kept.key() != as_student.key()


def test_classes_of_a_student_are_held_against_recalls_on_new_samples(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "table", X, Y)
    student = saved(tmp_path, "means", MEANS, np.arange(CLASSES))
    case = case_of(tmp_path, teacher, (X_NEW, Y_NEW))
    x, y = np.asarray(case.data.calibrate.x[:]), case.data.calibrate.y
    assert y is not None
    on_new = [accuracy(X, Y, X_NEW[k == Y_NEW], Y_NEW[k == Y_NEW]) for k in range(CLASSES)]
    recalls = dict(case.by_heart_recalls)
    assert [recalls[k] for k in range(CLASSES)] == pytest.approx(on_new, abs=0.01)

    own = [accuracy(MEANS, np.arange(CLASSES), x[y == k], y[y == k]) for k in range(CLASSES)]
    as_student = case.judging(replace(case.net, origin="student"))
    found = calibrate_lost(as_student, student, threads=1).class_drop
    assert found == pytest.approx(max(a - b for a, b in zip(on_new, own, strict=True)), abs=0.01)
    kept = case.judging(case.net)
    found = calibrate_lost(kept, student, threads=1).class_drop
    assert found == pytest.approx(max(100 - b for b in own), abs=0.01)


def test_a_teacher_that_is_as_good_on_new_samples_knows_nothing_by_heart(tmp_path: Path) -> None:
    teacher = saved(tmp_path, "means", MEANS, np.arange(CLASSES))
    assert case_of(tmp_path, teacher, (X_NEW, Y_NEW)).by_heart == ()


def test_samples_that_were_held_out_are_not_known_though_the_fit_split_is(tmp_path: Path) -> None:
    """What the teacher is better on is what it trained on; here it did not on the calibrate split, which is easier than
    the evaluate split."""
    teacher = saved(tmp_path, "table", X, Y)
    easy, hard = drawn(NEW, noise=0.8), drawn(NEW, noise=2.0)
    np.savez(
        tmp_path / "data.npz",
        x_train=X,
        y_train=Y,
        x_val=easy[0],
        y_val=easy[1],
        x_test=hard[0],
        y_test=hard[1],
    )
    run = a_run(tmp_path / "work")
    case = load(run, str(teacher), None, str(tmp_path / "data.npz"), None)
    assert accuracy(X, Y, *easy) > accuracy(X, Y, *hard) + 10
    assert case.by_heart == ()
