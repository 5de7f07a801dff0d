"""The problem: what is read off which output, and what the teacher says of both splits, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from squeeze import steps
from squeeze.case import SplitName
from squeeze.errors import ConfigError
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


def test_a_model_that_moved_is_read_where_it_is_now(
    loaded: Loaded, problem: Problem, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(problem.model.read_bytes())
    again = a_run(tmp_path / "work")
    case = steps.load(again, str(moved), None, str(problem.data), None)
    assert again.log[0]["status"] == "reused"
    assert case.teacher.source == str(moved)
    assert case.key() == loaded.case.key()


def mixing(folder: Path, *sizes: int) -> Path:
    """Each column without its mean: rows depend on each other, so that the first axis is no batch of samples."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, sizes) for n in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.mark.parametrize(
    ("sizes", "samples", "said"),
    [
        ((12, 6), 12, r"input 'x' \[12, 6\], of which axis 0 is fixed to 12.*\[n, 12, 6\]"),
        ((12,), 12, r"\[12\], which has no batch.*\[n, 12\]"),
    ],
    ids=["matrix", "vector"],
)
def test_array_of_exactly_the_declared_shape_is_no_set_of_samples(
    tmp_path: Path, sizes: tuple[int, ...], samples: int, said: str
) -> None:
    model, x = mixing(tmp_path, *sizes), np.random.default_rng(0).normal(size=sizes)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    assert len(x) == samples
    with pytest.raises(ConfigError, match=said):
        steps.load(a_run(tmp_path / "work"), str(model), None, str(tmp_path / "x.npy"), None)


def test_samples_as_the_model_takes_them_are_one_run_each(tmp_path: Path) -> None:
    model, x = mixing(tmp_path, 12, 6), np.random.default_rng(0).normal(size=(5, 12, 6))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    case = steps.load(a_run(tmp_path / "work"), str(model), None, str(tmp_path / "x.npy"), None)
    assert case.interface.only_input.batch_axis is None
    given = case.data.feed(case.data.evaluate, 0, 1)["x"].astype(np.float64)
    wanted = given - given.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(case.reference("evaluate")["y"], wanted, atol=1e-5)


def test_data_that_do_not_fit_are_told_as_they_are_in_the_file(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 8, 8]) for name in "xy"]
    relu = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([relu], "g", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "m.onnx")
    # Images of another width, channels last, which are taken for images and moved before the model is known.
    np.savez(tmp_path / "d.npz", frames=np.random.default_rng(0).random((20, 8, 9, 3)))
    with pytest.raises(ConfigError) as caught:
        steps.load(
            a_run(tmp_path / "work"), str(tmp_path / "m.onnx"), None, str(tmp_path / "d.npz"), None
        )
    told = str(caught.value)
    assert "takes 'x' float32 [n, 3, 8, 8], the data gives float64 [n, 8, 9, 3]" in told
    assert "array 'frames' float64 [20, 8, 9, 3]" in told
    assert "[n, 3, 8, 9]" not in told
    assert "layout under [preprocess]" in told


def test_what_trains_wants_samples_for_it_and_others_to_judge(
    problem: Problem, tmp_path: Path
) -> None:
    with np.load(problem.data) as stored:
        whole = dict(stored)

    def arrays(split: str, of: slice) -> dict[str, np.ndarray]:
        return {f"{name}_{split}": x[of] for name, x in whole.items()}

    first, others, backwards = slice(0, 20), slice(20, None), slice(None, None, -1)
    for given, wanted in (
        (arrays("val", first) | arrays("test", others), "none to train with"),
        (arrays("train", slice(None)) | arrays("test", backwards), "are those to fit"),
    ):
        data = tmp_path / "d.npz"
        np.savez(data, **given)
        with pytest.raises(ConfigError, match=wanted):
            steps.load(a_run(tmp_path / "w"), str(problem.model), None, str(data), None)
        run = a_run(tmp_path / "w")
        case = steps.load(run, str(problem.model), None, str(data), None, trained=False)
        assert len(case.data.calibrate) > 0
