"""Models whose sizes may vary, without data: shapes that were asked for or chosen, and tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from squeeze import teacher
from squeeze.commands.profile import profile_model
from squeeze.errors import ConfigError
from squeeze.teacher.sized import samples_of
from tests.started import run as squeeze
from tests.teacher import models
from tests.teacher.conftest import save_pt2


def open_image(path: Path, hint: str | None = None) -> Path:
    """[batch, 3, h, w] -> [batch, 3], the mean of each plane."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if hint is not None:
        helper.set_model_props(model, {"imgsz": hint})
    onnx.save(model, path)
    return path


def test_samples_have_the_shape_that_was_asked_for_or_the_files_own_hint(tmp_path: Path) -> None:
    path = open_image(tmp_path / "m.onnx", "[32, 48]")
    for shapes, wanted in (({}, (3, 32, 48)), ({"x": (1, 3, 20, 24)}, (3, 20, 24))):
        feed, said = samples_of(str(path), None, shapes)
        assert feed is not None
        assert feed["x"].shape[1:] == wanted
        assert bool(said) == (not shapes)
        found = teacher.load(str(path), weights=None, example=feed, folder=tmp_path / "step")
        assert found.input.shape == wanted


def test_a_model_that_says_its_sizes_needs_no_samples(vector_pt2: Path) -> None:
    assert samples_of(str(vector_pt2), None, {}) == (None, ())
    with pytest.raises(ConfigError, match=r"--shape: .*'y'"):
        samples_of(str(vector_pt2), None, {"y": (1, 6)})


def test_profile_runs_an_archive_whose_sizes_may_vary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x).mean((2, 3))

    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        Mean(), (torch.randn(2, 3, 9, 11),), dynamic_shapes=({0: free, 2: free, 3: free},)
    )
    torch.export.save(program, tmp_path / "m.pt2")
    found = profile_model(tmp_path / "m.pt2", runs=10, shape={"x": (1, 3, 16, 20)})
    assert found["inputs"]["x"]["shape"] == [1, 3, 16, 20]
    assert "may vary" not in caplog.text
    found = profile_model(tmp_path / "m.pt2", runs=10)
    assert found["inputs"]["x"]["shape"] == [1, 3, 224, 224]
    assert "input 'x' is 1x3x224x224" in caplog.text


def test_a_shape_beside_data_is_refused(tmp_path: Path) -> None:
    path = save_pt2(models.make(models.Vector), models.INPUTS["Vector"], tmp_path / "m.pt2")
    np.save(tmp_path / "x.npy", np.zeros((20, 6), np.float32))
    done = squeeze(
        "quantize",
        str(path),
        *("--calib", str(tmp_path / "x.npy"), "--shape", "1,6", "-o", str(tmp_path / "q.onnx")),
    )
    assert done.returncode == 2
    assert "say the sizes" in done.stderr
