"""The problem: what is read off which output, and what the teacher says of both splits, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from squeeze import steps
from squeeze.case import SplitName
from tests.steps.conftest import Loaded, Problem, a_run

SPLITS: tuple[SplitName, ...] = ("calibrate", "evaluate")


def test_without_labels_there_is_one_reading_for_each_output(loaded: Loaded) -> None:
    assert [reading.output for reading in loaded.case.readings] == ["kinds", "level"]


def test_answers_on_disk_are_those_of_onnx_runtime(loaded: Loaded, problem: Problem) -> None:
    session = ort.InferenceSession(str(problem.model), providers=["CPUExecutionProvider"])
    for name in SPLITS:
        split = loaded.case.split(name)
        assert len(split) > 0
        feed = {n: np.asarray(array[:]) for n, array in split.arrays.items()}
        wanted = dict(zip(["kinds", "level"], session.run(["kinds", "level"], feed), strict=True))
        got = loaded.case.reference(name)
        assert set(got) == set(wanted)
        for output, values in wanted.items():
            np.testing.assert_allclose(got[output], values, rtol=1e-5, atol=1e-5)


def test_a_second_load_reuses_both_steps_and_gives_the_same_problem(
    loaded: Loaded, problem: Problem, tmp_path: Path
) -> None:
    again = a_run(tmp_path / "work")
    case = steps.load(again, str(problem.model), None, str(problem.data), None)
    assert [(s["name"], s["status"]) for s in again.log] == [
        ("teacher", "reused"),
        ("baseline", "reused"),
    ]
    assert case.key() == loaded.case.key()
    assert case.answers == loaded.case.answers
