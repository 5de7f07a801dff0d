"""Graphs are read from and written to self-contained files, always the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from squeeze import graph
from squeeze.errors import ConfigError
from tests.graph.small import floats, model, node, run


def product() -> ir.Model:
    return model([node("MatMul", ["x", "w"], ["y"])], {"w": floats(40, 30)}, (40,))


def test_a_saved_graph_computes_the_same_when_loaded(tmp_path: Path) -> None:
    x = floats(2, 40)
    graph.save(product(), tmp_path / "a.onnx")
    np.testing.assert_array_equal(run(graph.load(tmp_path / "a.onnx"), x), run(product(), x))


def test_saving_twice_gives_the_same_bytes_and_leaves_no_other_file(tmp_path: Path) -> None:
    graph.save(product(), tmp_path / "a.onnx")
    graph.save(graph.load(tmp_path / "a.onnx"), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a.onnx").read_bytes() == graph.to_bytes(product())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x00" * 100], ids=["empty", "text", "zeros"]
)
def test_a_file_that_is_no_model_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.onnx: not an ONNX file"):
        graph.load(tmp_path / "bad.onnx")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        graph.load(tmp_path / "none.onnx")


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    onnx.save(
        ir.serde.serialize_model(product()),
        tmp_path / "big.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with pytest.raises(ConfigError, match="the weight 'w' lies in another file"):
        graph.load(tmp_path / "big.onnx")


def test_ops_are_counted_by_type_and_domain() -> None:
    found = model([node("Relu", ["x"], ["a"]), node("Relu", ["a"], ["y"])], {}, (3,))
    found.graph.append(ir.Node("ai.other", "Mine", [found.graph.inputs[0]]))
    assert graph.count_ops(found) == {"Relu": 2, "ai.other::Mine": 1}
