"""A tiny real problem: an .onnx file with two inputs and two outputs, its data, and a run in a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import steps
from squeeze.case import Case
from squeeze.device import Device, connect
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.spec import Recipe
from squeeze.target import RuntimePart, Target
from squeeze.train.compute import Compute
from squeeze.workdir import Workdir


@dataclass(frozen=True)
class Problem:
    """The files of a teacher and of its data."""

    model: Path
    data: Path


def two_by_two(folder: Path) -> Problem:
    """kinds = x @ A + z @ B, four classes; level = x @ C, one number."""
    random = np.random.default_rng(3)

    def weights(rows: int, columns: int) -> NDArray[np.float32]:
        return random.normal(size=(rows, columns)).astype(np.float32)

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "A"], ["xa"]),
            helper.make_node("MatMul", ["z", "B"], ["zb"]),
            helper.make_node("Add", ["xa", "zb"], ["kinds"]),
            helper.make_node("MatMul", ["x", "C"], ["level"]),
        ],
        "two",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 5]),
        ],
        [
            helper.make_tensor_value_info("kinds", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("level", TensorProto.FLOAT, ["n", 3]),
        ],
        [
            numpy_helper.from_array(weights(8, 4), "A"),
            numpy_helper.from_array(weights(5, 4), "B"),
            numpy_helper.from_array(weights(8, 3), "C"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "two.onnx")
    np.savez(folder / "two.npz", x=weights(200, 8), z=weights(200, 5))
    return Problem(folder / "two.onnx", folder / "two.npz")


@pytest.fixture(scope="session")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return two_by_two(tmp_path_factory.mktemp("problem"))


def a_run(folder: Path) -> Run:
    """A run whose steps are kept in `folder`."""
    return Run(Workdir(folder), 0, 1, Compute.choose("cpu"), Progress())


def a_device(folder: Path, *, custom_ops: bool = True) -> Device:
    """This machine."""
    return connect(
        Target(name="t", summary="s", runtime=RuntimePart(custom_ops=custom_ops)), folder
    )


def a_recipe(**parts: dict[str, object]) -> Recipe:
    """No search, post-training int8."""
    quant = {"method": "post-training", "samples": 32, **parts.pop("quant", {})}
    known = {"schema": 1, "name": "tiny", "search": {"evaluations": 0}, "quant": quant}
    return Recipe.model_validate({**known, **parts})


@dataclass(frozen=True)
class Loaded:
    """A problem that was loaded by `run`; `device` is this machine."""

    run: Run
    case: Case
    device: Device


@pytest.fixture
def loaded(problem: Problem, tmp_path: Path) -> Loaded:
    run = a_run(tmp_path / "work")
    case = steps.load(run, str(problem.model), None, str(problem.data), None)
    return Loaded(run, case, a_device(tmp_path / "state"))
