"""What a device has no operator for is told before the work, once, by the user's name of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze import compile as compile_model
from squeeze.commands.quantize import quantize_file
from squeeze.errors import UnsupportedError
from squeeze.runtimes.litert import LiteRt
from squeeze.runtimes.runtime import Refusal
from squeeze.target import load_target
from tests.runtimes.tflite_models import refused_net, samples

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ai_edge_litert", reason="LiteRT: pip install squeeze[litert]")

WHY = r"^target 'litert-cpu': .*net\.onnx does not run there: node 'volume': Det: TFLite has no such operator"


def test_an_operator_that_the_device_lacks_is_told_once_and_before_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, data = refused_net(tmp_path / "net.onnx"), tmp_path / "x.npz"
    np.savez(data, x=samples(32))
    for go in (
        lambda: quantize_file(model, tmp_path / "q.onnx", target="litert-cpu", calib=str(data)),
        lambda: compile_model(
            str(model), target="litert-cpu", recipe="ptq", calib=str(data), out=tmp_path / "p"
        ),
    ):
        with pytest.raises(UnsupportedError, match=WHY):
            go()
    assert not [one for one in caplog.records if "does not run" in one.getMessage()]
    assert not (tmp_path / "q.onnx").exists()
    assert not (tmp_path / "p").exists()


def test_an_operator_that_passes_take_out_is_not_lacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(_: LiteRt, model: Path) -> list[Refusal]:
        nodes = onnx.load(model).graph.node
        return [Refusal(one.name, "none here") for one in nodes if one.op_type == "Identity"]

    monkeypatch.setattr(LiteRt, "lacks", lacks)
    wide = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], "first"),
        helper.make_node("Identity", ["h"], ["d"], "gone"),
        helper.make_node("Gemm", ["d", "w"], ["y"], "last"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 256]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(wide, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "net.onnx")
    assert [
        one.node for one in lacks(LiteRt(load_target("litert-cpu")), tmp_path / "net.onnx")
    ] == ["gone"]
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(1).standard_normal((64, 256)))
    quantize_file(
        tmp_path / "net.onnx",
        tmp_path / "q.onnx",
        target="litert-cpu",
        calib=str(tmp_path / "x.npz"),
        aim="size",
    )
    assert (tmp_path / "q.onnx").is_file()
