"""States without data are those that the model goes through: compared with a loop in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import steps
from squeeze.case import Case
from squeeze.errors import ConfigError
from squeeze.spec import load_recipe

W = (np.random.default_rng(1).standard_normal((4, 3)) * 0.5).astype(np.float32)
U = (np.random.default_rng(2).standard_normal((3, 3)) * 0.5).astype(np.float32)


def recurrent(path: Path, activation: str, batch: str | None) -> Path:
    """h_out = activation(x W + h_in U); y is twice that. h: [1, batch, 3]."""
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["a"]),
        helper.make_node("Squeeze", ["h_in", "zero"], ["h"]),
        helper.make_node("MatMul", ["h", "U"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node(activation, ["c"], ["d"]),
        helper.make_node("Unsqueeze", ["d", "zero"], ["h_out"]),
        helper.make_node("Add", ["d", "d"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [
            value("x", TensorProto.FLOAT, [batch, 4]),
            value("h_in", TensorProto.FLOAT, [1, batch, 3]),
        ],
        [
            value("y", TensorProto.FLOAT, [batch, 3]),
            value("h_out", TensorProto.FLOAT, [1, batch, 3]),
        ],
        [
            numpy_helper.from_array(W, "W"),
            numpy_helper.from_array(U, "U"),
            numpy_helper.from_array(np.array([0], np.int64), "zero"),
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def case_of(
    tmp_path: Path,
    activation: str,
    x: np.ndarray,
    batch: str | None = "batch",
    **others: np.ndarray,
) -> Case:
    model = recurrent(tmp_path / "m.onnx", activation, batch)
    np.savez(tmp_path / "d.npz", x=x, **others)
    run = steps.begin(load_recipe("ptq", {}), tmp_path / "cache", 1, "cpu", None)
    return steps.load(run, str(model), None, str(tmp_path / "d.npz"), None)


@pytest.mark.parametrize("batch", ["batch", None])
def test_each_sample_has_the_state_that_the_one_before_left(
    tmp_path: Path, batch: str | None
) -> None:
    x = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    case = case_of(tmp_path, "Tanh", x, batch)
    feed = case.data.feed(case.data.fit)
    h = np.zeros(3, np.float32)
    for i, sample in enumerate(feed["x"]):
        if i % 32 == 0:
            h = np.zeros(3, np.float32)
        np.testing.assert_allclose(feed["h_in"][i].reshape(-1), h, atol=1e-5)
        h = np.tanh(sample @ W + h @ U)
    assert any("takes what 'h_out' gave" in text for text in case.data.assumed)


def test_samples_keep_their_groups(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    case = case_of(tmp_path, "Tanh", x, groups=np.arange(40))
    for split in case.data.splits.values():
        assert split.groups is not None
        np.testing.assert_array_equal(x[split.groups], case.data.feed(split)["x"])


def test_a_state_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32) * 100
    with pytest.raises(ConfigError, match="its next value 'h_out' is not finite"):
        case_of(tmp_path, "Exp", x)
