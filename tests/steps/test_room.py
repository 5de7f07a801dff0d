"""How large a student may be by its bytes, and what is said where no file can be so small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.errors import ConfigError
from squeeze.quant.bits.allocate import allocate
from squeeze.quant.bits.sensitivity import Sensitivity
from squeeze.steps.room import parameters_within
from squeeze.steps.widths import out_of_reach

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = 1000


def written(folder: Path) -> tuple[Path, int]:
    """A file of 1000 numbers of 4 bytes, and what it takes beside them."""
    table = numpy_helper.from_array(np.ones((WEIGHTS // 10, 10), np.float32), "table")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", WEIGHTS // 10), ("y", 10))
    ]
    nodes = [helper.make_node("MatMul", ["x", "table"], ["y"], name="a" * 500)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [table])
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path, path.stat().st_size - 4 * WEIGHTS


def test_bytes_of_the_graph_have_no_room_for_parameters(tmp_path: Path) -> None:
    path, graph = written(tmp_path)
    assert graph > 500
    assert parameters_within(graph + 4 * 300, path, WEIGHTS) == pytest.approx(300)
    assert parameters_within(graph - 100, path, WEIGHTS) == 0
    # However few bytes the teacher has, int8 has one for each.
    assert parameters_within(graph + 300, path, 100 * WEIGHTS) == pytest.approx(300)
    assert parameters_within(5_000, None, WEIGHTS) == 5_000
    assert parameters_within(-5, None, WEIGHTS) == 0


def test_out_of_reach_says_no_number_below_zero() -> None:
    table = {8: 4_000, 4: 2_000, 2: 1_000}
    row = Sensitivity("fc", 4_000, table, dict.fromkeys(table, 0.0), {}, dict.fromkeys(table, 0.0))
    for wished, said in (
        (40_000, "what is no weight of them takes 43 KB"),
        (43_500, "into 500 bytes"),
    ):
        with pytest.raises(ConfigError) as failed:
            allocate([row], wished - 43_000)
        words = out_of_reach(44_000, 43_000, wished, failed.value)
        assert words.startswith(f"all layers at 2 bits take 44 KB; {wished / 1000:g} KB is out")
        assert said in words
        assert "-" not in words
