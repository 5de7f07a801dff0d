from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.account.weigh import NodeComplexity
from squeeze.errors import ConfigError, MeasureError
from squeeze.interface import Interface, TensorSpec
from squeeze.machine.facts import facts_of_this_machine
from squeeze.measure import layers, profile
from squeeze.measure.layer_table import table
from squeeze.measure.node_times import NodeTime, node_times
from squeeze.runtimes import fused_ops
from tests.measure.models import conv, needs_data, quantised_conv, quantised_gemm, save

FACTS = facts_of_this_machine()


def test_fused_ops_shows_that_a_quantised_convolution_is_one_node(tmp_path: Path) -> None:
    found = fused_ops(quantised_conv(tmp_path / "m.onnx"))
    assert found["QLinearConv"] == 1
    assert "Conv" not in found
    assert "Relu" not in found


def test_fused_ops_of_a_float_convolution_has_none_in_int8(tmp_path: Path) -> None:
    found = fused_ops(conv(tmp_path / "m.onnx", channels=3, filters=16, kernel=3, size=8))
    assert found["Conv"] == 1
    assert "QLinearConv" not in found


def test_profile_of_one_model_is_json_and_adds_up(tmp_path: Path) -> None:
    path = quantised_conv(tmp_path / "m.onnx")
    found = json.loads(json.dumps(profile(path, facts=FACTS, runs=30)))
    # 20 rounds of at least 30 / 20; on a busy machine some may not count
    assert 5 <= found["latency"]["runs"] <= 40
    assert found["latency"]["p50_ms"] <= found["latency"]["p90_ms"] <= found["latency"]["p99_ms"]
    assert found["against"] is None
    assert (found["threads"], found["source"]) == (1, "measured")
    assert (found["host"], found["isa"]) == (FACTS.host, list(FACTS.isa))
    assert (found["runtime"], found["runtime_version"]) == (FACTS.runtime, FACTS.runtime_version)
    assert found["macs"] == 8 * 36 * 36
    assert found["gmacs_per_s"] == pytest.approx(found["macs"] / found["latency"]["p50_ms"] / 1e6)
    assert found["file_bytes"] == path.stat().st_size
    assert sum(op["share"] for op in found["ops"]) == pytest.approx(1)
    assert sum(op["count"] for op in found["ops"]) == len(found["nodes"])
    shares = [op["share"] for op in found["ops"]]
    assert shares == sorted(shares, reverse=True)
    assert {op["op"] for op in found["ops"]} >= {"QLinearConv"}


def test_profile_against_another_gives_both_ratios_and_their_spread(tmp_path: Path) -> None:
    small = conv(tmp_path / "small.onnx", channels=3, filters=4, kernel=3, size=8)
    large = conv(tmp_path / "large.onnx", channels=3, filters=64, kernel=7, size=64)
    found = profile(small, facts=FACTS, against=large, runs=30)
    other = found["against"]
    assert other["model"] == str(large)
    assert (found["macs"], other["macs"]) == (64 * 4 * 27, 64 * 64 * 64 * 147)
    faster, slower = other["speedup"], other["slowdown"]
    assert faster["p10"] <= faster["median"] <= faster["p90"]
    assert slower["median"] == pytest.approx(1 / faster["median"])
    assert (slower["p10"], slower["p90"]) == pytest.approx((1 / faster["p90"], 1 / faster["p10"]))
    assert slower["rounds"] == faster["rounds"] <= 20
    assert slower["steady"] is faster["steady"]


def test_profile_makes_token_ids_and_takes_several_inputs(tmp_path: Path) -> None:
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "length"])
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", "length"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "length"])
    nodes = [
        helper.make_node("Cast", ["ids"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "mask"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [ids, mask], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "two.onnx"
    path.write_bytes(model.SerializeToString())
    found = profile(path, facts=FACTS, runs=3)
    assert found["inputs"]["ids"]["shape"] == found["inputs"]["mask"]["shape"] == [1, 128]
    assert found["assumed"] == [
        "input 'ids' is 1x128: length may vary (--shape ids=1x128 says others)"
    ]
    with pytest.raises(ConfigError, match=r"--shape: .*'idz'.*ids"):
        profile(path, facts=FACTS, runs=3, shapes={"idz": (1, 16)})
    found = profile(path, facts=FACTS, runs=3, shapes={"ids": (1, 16)})
    assert found["assumed"] == []
    assert found["inputs"] == {
        "ids": {"shape": [1, 16], "dtype": "int64"},
        "mask": {"shape": [1, 16], "dtype": "float32"},
    }


def test_profile_takes_a_batch_in_the_middle_and_a_single_number(tmp_path: Path) -> None:
    frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, [50, "batch", 40])
    limit = helper.make_tensor_value_info("limit", TensorProto.FLOAT, [])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [50, "batch", 8])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [40, 8], [0.5] * 320)
    nodes = [
        helper.make_node("Min", ["frames", "limit"], ["m"]),
        helper.make_node("MatMul", ["m", "w"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [limit, frames], [output], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    for shapes, batch in ((None, 1), ({"": (50, 4, 40)}, 4)):
        found = profile(path, facts=FACTS, runs=3, shapes=shapes)
        assert found["inputs"]["frames"]["shape"] == [50, batch, 40]
        assert found["inputs"]["limit"]["shape"] == []
        # Of one sample: 50 frames of 40 x 8.
        assert found["macs"] == 50 * 40 * 8
        assert found["gmacs_per_s"] == pytest.approx(
            batch * found["macs"] / found["latency"]["p50_ms"] / 1e6
        )
    with pytest.raises(ConfigError, match=r"--shape 4x40"):
        profile(path, facts=FACTS, runs=3, shapes={"": (4, 40)})


def test_profile_runs_a_model_with_a_loop(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["a"], ["b"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 3]),
        ],
    )
    node = helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body, name="loop")
    path = save(tmp_path / "m.onnx", [node], [1, 3], [1, 3], {"trips": np.array(4, np.int64)})
    found = profile(path, facts=FACTS, runs=3)
    assert found["macs_unknown"] == ["loop (Loop): its body is counted once"]


@pytest.mark.parametrize("quantised", [True, False])
def test_layers_joins_time_with_macs_and_bits(tmp_path: Path, quantised: bool) -> None:
    path = tmp_path / "m.onnx"
    if quantised:
        quantised_conv(path)
    else:
        conv(path, channels=4, filters=16, kernel=3, size=6)
    filters = 8 if quantised else 16
    images = Interface(
        (TensorSpec("x", "float32", (4, 6, 6)),), (TensorSpec("y", "float32", (filters, 6, 6)),)
    )
    found = layers(path, images)
    assert sum(row["share"] for row in found) == pytest.approx(1)
    assert found[0]["shape"][0] == 1
    bits = 8 if quantised else 32
    rows = [row for row in found if row["macs"] is not None]
    assert [(row["macs"], row["bits"], row["bytes"]) for row in rows] == [
        (filters * 36 * 36, bits, filters * 36 * bits // 8)
    ]


@pytest.mark.parametrize("name", ["dense", ""])
def test_layers_knows_a_product_that_the_runtime_fused_with_its_name_and_without(
    tmp_path: Path, name: str
) -> None:
    path = quantised_gemm(tmp_path / "m.onnx", name=name)
    interface = Interface(
        (TensorSpec("x", "float32", (16,)),), (TensorSpec("y", "float32", (10,)),)
    )
    rows = [row for row in layers(path, interface) if row["op"] == "QGemm"]
    assert [(row["macs"], row["bits"], row["bytes"]) for row in rows] == [(160, 8, 160)]


def test_layers_gives_no_work_to_what_multiplies_nothing_of_that_shape() -> None:
    gemm = NodeComplexity("y", "Gemm", 160, 8, 160, frozenset({"y"}), (1, 10))
    times = [
        NodeTime("QuantizeLinear_0", "QuantizeLinear", 1.0, (1, 10)),
        NodeTime("QLinearConv_1", "QLinearConv", 1.0, (1, 10)),
        NodeTime("QGemm_2", "QGemm", 1.0, (1, 12)),
        NodeTime("QGemm_3", "QGemm", 1.0, (1, 10)),
        NodeTime("QGemm_4", "QGemm", 1.0, (1, 10)),
    ]
    assert [row["macs"] for row in table(times, [gemm])] == [None, None, None, 160, None]


def test_node_times_sums_within_a_run_and_skips_the_first_runs(tmp_path: Path) -> None:
    def node(ts: int, dur: int, name: str = "a") -> dict[str, object]:
        shapes = [{"float": [1, 5]}]
        args = {"op_name": "Relu", "node_index": "3", "output_type_shape": shapes}
        return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}

    def run(ts: int) -> dict[str, object]:
        return {"cat": "Session", "name": "model_run", "ts": ts, "dur": 50}

    # One run to skip, then runs in which "a" takes 3 + 4, 7 and 100; half of each end is left out of the mean.
    events = [run(0), node(1, 999), run(100), node(101, 3), node(105, 4), run(200), node(201, 7)]
    events += [run(300), node(301, 100), run(400), node(401, 1)]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    found = node_times(path, skip_runs=1)
    assert [(n.name, n.op, n.us, n.shape) for n in found] == [("a", "Relu", 7, (1, 5))]
    with pytest.raises(MeasureError, match="holds 5 runs, too few"):
        node_times(path, skip_runs=5)
    path.write_text("[")
    with pytest.raises(MeasureError, match="cannot be read"):
        node_times(path)


@pytest.mark.data
def test_layers_of_resnet20_finds_every_convolution() -> None:
    path = needs_data("teachers-cifar10/resnet20.onnx")
    interface = Interface(
        (TensorSpec("x", "float32", (3, 32, 32)),), (TensorSpec("logits", "float32", (10,)),)
    )
    rows = [row for row in layers(path, interface) if row["macs"]]
    assert len(rows) == 20
    assert sum(row["macs"] for row in rows) == 40_551_040


def test_models_that_share_an_input_are_run_at_one_shape(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    first = save(tmp_path / "a.onnx", [node], ["n", 3, 8, 12], ["n", 3, 8, 12])
    second = save(tmp_path / "b.onnx", [node], ["n", 3, "h", "w"], ["n", 3, "h", "w"])
    found = profile(first, facts=FACTS, runs=3, against=second)
    assert found["against"]["inputs"]["x"]["shape"] == [1, 3, 8, 12]
    assert found["assumed"] == []


def switched(path: Path) -> Path:
    """sr == 16000: the sum of x; else a product that x [1, 6] does not fit."""

    def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
        end = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [end])

    nodes = [
        helper.make_node("Constant", [], ["rate"], value=numpy_helper.from_array(np.array(16000))),
        helper.make_node("Equal", ["rate", "sr"], ["is_rate"]),
        helper.make_node(
            "If",
            ["is_rate"],
            ["y"],
            then_branch=branch("a", helper.make_node("ReduceSum", ["x"], ["a"])),
            else_branch=branch("b", helper.make_node("MatMul", ["x", "other"], ["b"])),
        ),
    ]
    free = [None, None]  # so that the runtime does not know beforehand
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6]),
            helper.make_tensor_value_info("sr", TensorProto.INT64, []),
            helper.make_tensor_value_info("other", TensorProto.FLOAT, free),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def test_profile_takes_the_number_that_the_graph_compares_an_input_with(tmp_path: Path) -> None:
    path = switched(tmp_path / "m.onnx")
    found = profile(path, facts=FACTS, runs=3)
    assert [text for text in found["assumed"] if "'sr' is 16000" in text]
    with pytest.raises(MeasureError, match=r"m\.onnx: .*sr=8000.*--shape .*--input NAME=NUMBER"):
        profile(path, facts=FACTS, runs=3, numbers={"sr": 8000})
    shapes = {"other": (6, 2)}
    found = profile(path, facts=FACTS, runs=3, numbers={"sr": 8000}, shapes=shapes)
    assert found["assumed"] == []


def test_profile_refuses_numbers_of_no_input_or_of_another_type(tmp_path: Path) -> None:
    path = switched(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"--input: .*unknown 'rate'.*Known: other, sr, x"):
        profile(path, facts=FACTS, runs=3, numbers={"rate": 1})
    with pytest.raises(ConfigError, match=r"--input sr=0\.5: the input takes int64"):
        profile(path, facts=FACTS, runs=3, numbers={"sr": 0.5})


def test_working_memory_is_an_estimate_of_the_shapes_that_are_run(tmp_path: Path) -> None:
    # x: 4 channels, y: 8, of 10 x 10 floats
    path = conv(tmp_path / "m.onnx", channels=4, filters=8, kernel=3, size=10)
    found = profile(path, facts=FACTS, runs=10, shapes={"x": [2, 4, 10, 10]})
    memory = found["working_memory"]
    assert memory["source"] == "estimate"
    assert (memory["peak_bytes"], memory["at"], memory["op"]) == (2 * 4800, "conv", "Conv")
    assert [one["name"] for one in memory["alive"]] == ["y", "x"]
