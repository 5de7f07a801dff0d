"""Samples that are sequences: steps stay together and in order, and states begin anew with each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from squeeze import calib, steps
from squeeze.calib.rows import Rows
from squeeze.errors import ConfigError
from squeeze.spec import load_recipe

N, STEPS = 12, 5
X = np.random.default_rng(0).normal(size=(N, STEPS, 3)).astype(np.float32)
TOML = 'schema = 1\nname = "d"\ndata = "d.npz"\nsteps = true\n'


def load(folder: Path, **arrays: np.ndarray) -> calib.Calib:
    np.savez(folder / "d.npz", **arrays)
    (folder / "d.toml").write_text(TOML)
    return calib.load(str(folder / "d.toml"))


def test_steps_of_a_sequence_are_samples_that_stay_together(tmp_path: Path) -> None:
    data = load(tmp_path, x=X)
    seen = []
    for split in data.splits.values():
        rows = np.asarray(split.x[:]).reshape(-1, STEPS, 3)
        found = [int(np.flatnonzero((row == X).all(axis=(1, 2)))[0]) for row in rows]
        seen += found
    assert sorted(seen) == list(range(N))
    assert calib.describe(data)["steps"] == STEPS


def test_labels_and_groups_are_of_sequences_or_of_steps(tmp_path: Path) -> None:
    of_sequence, of_step = np.arange(N) % 3, np.arange(N * STEPS).reshape(N, STEPS) % 4
    one = load(tmp_path, x=X, y=of_sequence, groups=np.arange(N) // 2).fit
    assert one.y is not None
    assert one.groups is not None
    number = [int(np.flatnonzero((row == X).all(axis=2).any(axis=1))[0]) for row in one.x]
    np.testing.assert_array_equal(one.y, np.asarray(number) % 3)
    np.testing.assert_array_equal(one.groups, np.asarray(number) // 2)
    each = load(tmp_path, x=X, y=of_step).fit
    assert each.y is not None
    place = [int(np.flatnonzero((X.reshape(-1, 3) == row).all(axis=1))[0]) for row in each.x]
    np.testing.assert_array_equal(each.y, np.asarray(place) % 4)


def test_sequences_on_disk_are_unrolled_there(tmp_path: Path) -> None:
    x = np.arange(24.0).reshape(4, 2, 3)
    np.save(tmp_path / "x.npy", x)
    offset = (tmp_path / "x.npy").stat().st_size - x.nbytes
    rows = Rows(lambda: (tmp_path / "x.npy").open("rb"), x.dtype, x.shape, offset)
    some = rows.select(np.array([3, 1])).unrolled()
    np.testing.assert_array_equal(some[:], x[[3, 1]].reshape(4, 3))
    np.testing.assert_array_equal(some[1:3], x[[3, 1]].reshape(4, 3)[1:3])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X[:, 0, 0]}, r"got x \['n'\]; allowed with steps = true: \[n, steps, ...\]"),
        ({"x": X[:2]}, "2 sequences, at least 3 are needed"),
        ({"x": X, "x_test": X[:, :3]}, "all splits must be alike"),
    ],
    ids=["numbers", "few", "other-steps"],
)
def test_what_has_no_steps_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, **arrays)


def test_states_begin_anew_with_each_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEEZE_STATE", str(tmp_path / "state"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3])
        for name in ("x", "state", "y", "stateN")
    ]
    nodes = [
        helper.make_node("Add", ["x", "state"], ["stateN"]),
        helper.make_node("Relu", ["stateN"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "sum", ends[:2], ends[2:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=X)
    (tmp_path / "d.toml").write_text(TOML)
    run = steps.begin(load_recipe("ptq", {}), tmp_path / "work", 1, "cpu", None)
    case = steps.load(run, str(tmp_path / "m.onnx"), None, str(tmp_path / "d.toml"), None)
    assert any("from zero at each sequence of 5" in text for text in case.data.assumed)
    for split in case.data.splits.values():
        x, state = (
            np.asarray(split.arrays[n][:]).reshape(-1, STEPS, 3).astype(np.float64)
            for n in ("x", "state")
        )
        # Before a step stands the sum of those before it, in its sequence.
        np.testing.assert_allclose(state, np.cumsum(x, axis=1) - x, atol=1e-5)
    reference = case.reference("evaluate")["stateN"].reshape(-1, STEPS, 3)
    x = np.asarray(case.data.evaluate.arrays["x"][:]).reshape(-1, STEPS, 3)
    np.testing.assert_allclose(reference, np.cumsum(x, axis=1), atol=1e-5)
