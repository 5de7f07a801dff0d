"""A run writes into buffers of its own: what an earlier one gave stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from squeeze.measure.bound import Bound
from squeeze.runtimes.ort import session
from tests.measure.models import save


def test_each_run_has_fresh_outputs(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, ["n", 4], ["n", 4])
    bound = Bound(session(path), {"x": np.zeros((1, 4), np.float32)})
    kept = []
    for _ in range(3):
        bound.prepare()
        bound.run()
        (value,) = bound._binding.get_outputs()
        kept.append((value, value.numpy().copy()))
    for value, then in kept:
        np.testing.assert_array_equal(value.numpy(), then)
    assert not np.array_equal(kept[0][1], kept[1][1])
