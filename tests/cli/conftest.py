"""A small model as a file, data that it was right about, and folders of a test's own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

INPUTS, HIDDEN, CLASSES = 16, 512, 3


@dataclass(frozen=True)
class Made:
    """A classifier, and samples labelled by itself: its top-1 is 100 %."""

    model: Path
    data: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    random = np.random.default_rng(0)
    sizes = (INPUTS, HIDDEN, HIDDEN, CLASSES)
    weights = [
        random.normal(0, (2 / a) ** 0.5, (a, b)).astype(np.float32) for a, b in pairwise(sizes)
    ]
    nodes, at = [], "x"
    for i in range(len(weights)):
        last = i == len(weights) - 1
        nodes.append(helper.make_node("MatMul", [at, f"w{i}"], ["y" if last else f"h{i}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
        at = f"r{i}"
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    x = random.normal(size=(400, INPUTS)).astype(np.float32)
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    y = session.run(None, {"x": x})[0].argmax(1)
    np.savez(folder / "data.npz", x=x, y=y)
    return Made(folder / "model.onnx", folder / "data.npz")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's cache or state."""
    monkeypatch.setenv("SQUEEZE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "state"))
