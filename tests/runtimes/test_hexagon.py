from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from squeeze.errors import MeasureError, UnsupportedError
from squeeze.interface import Interface, TensorSpec
from squeeze.measure.fixed_sizes import as_sized
from squeeze.measure.on_runtime import build_on, outputs_on
from squeeze.runtimes import session
from squeeze.runtimes.hexagon import CONTEXT, REPORT, Hexagon
from squeeze.runtimes.runtime import Built
from squeeze.target import load_target
from tests.measure.models import needs_data, save
from tests.runtimes.small_nets import (
    Array,
    images,
    quantised,
    residual,
    step_of,
    twice,
    unknown_operator,
)

pytest.importorskip(
    "onnxruntime_qnn",
    reason="onnxruntime-qnn is optional, under its vendor's licence: pip install squeeze[qnn]",
)

TARGETS = ("hexagon-v68", "hexagon-v73", "hexagon-v79")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hexagon")


@pytest.fixture(scope="module")
def int8(folder: Path) -> Path:
    """Of a free batch."""
    return quantised(folder / "int8.onnx", residual(folder / "float.onnx"))


@pytest.mark.parametrize("name", TARGETS)
def test_int8_model_maps_and_its_outputs_are_within_two_steps(
    name: str, int8: Path, tmp_path: Path
) -> None:
    runtime = Hexagon(load_target(name))
    assert runtime.missing() is None
    assert runtime.refuses(int8) == []
    built = runtime.build(int8, tmp_path)
    assert list(built.files) == [REPORT, CONTEXT]
    assert onnx.load(built.runs).graph.node[0].op_type == "EPContext"
    x = images(3)
    found, expected = runtime.run(built, {"x": x})["y"], session(int8).run(None, {"x": x})[0]
    assert found.shape == (3, 8)
    assert np.abs(found - expected).max() <= 2.01 * step_of(int8)


def test_signed_activations_map_too(tmp_path: Path) -> None:
    model = quantised(tmp_path / "s8.onnx", residual(tmp_path / "m.onnx", 1), signed=True)
    runtime = Hexagon(load_target("hexagon-v73"))
    built = runtime.build(model, tmp_path)
    x = images(1)
    expected: Array = session(model).run(None, {"x": x})[0]
    assert np.abs(runtime.run(built, {"x": x})["y"] - expected).max() <= 2.01 * step_of(model)


def test_cost_is_static_traffic_and_no_time(int8: Path, tmp_path: Path) -> None:
    target = load_target("hexagon-v73")
    runtime = Hexagon(target)
    cost = runtime.cost(runtime.build(int8, tmp_path))
    assert (cost.source, cost.latency_ms, cost.cycles) == ("static", None, None)
    # All weights have to come in, and the sample, of a byte a value.
    weights = 16 * 3 * 9 + 16 * 16 * 9 + 16 * 8
    assert cost.traffic_bytes["dram_read"] >= weights
    assert cost.traffic_bytes["dram_write"] > 0
    assert cost.accelerator_share == 1
    assert cost.notes == (f"compiled for {target.memory.vtcm_bytes:,} bytes of VTCM",)


def test_built_files_do_not_depend_on_where_they_are_made(int8: Path, tmp_path: Path) -> None:
    runtime = Hexagon(load_target("hexagon-v73"))
    made = []
    for name in ("one", "another_and_longer"):
        (tmp_path / name).mkdir()
        built = runtime.build(int8, tmp_path / name)
        made.append({file: path.read_bytes() for file, path in built.files.items()})
    assert made[0] == made[1]


def test_what_was_compiled_to_be_asked_is_what_is_built(int8: Path, tmp_path: Path) -> None:
    def files(runtime: Hexagon, model: Path, name: str) -> dict[str, bytes]:
        (tmp_path / name).mkdir()
        built = runtime.build(model, tmp_path / name)
        return {file: path.read_bytes() for file, path in built.files.items()}

    target = load_target("hexagon-v73")
    runtime, fresh = Hexagon(target), Hexagon(target)
    assert runtime.refuses(int8) == []
    assert files(runtime, int8, "asked") == files(fresh, int8, "fresh")
    # Another model under the same name is compiled anew.
    model = tmp_path / "model.onnx"
    model.write_bytes(int8.read_bytes())
    assert runtime.refuses(model) == []
    quantised(model, residual(tmp_path / "one.onnx", 1), signed=True)
    assert files(runtime, model, "other") == files(Hexagon(target), model, "other fresh")


@pytest.mark.parametrize("quantise", [False, True], ids=["float", "int8"])
def test_first_node_that_does_not_map_is_named(quantise: bool, tmp_path: Path) -> None:
    extra = (
        helper.make_node("Hardmax", ["logits"], ["h"], "one_hot"),
        helper.make_node("Celu", ["h"], ["y"], "last"),
    )
    model = residual(tmp_path / "m.onnx", "n", *extra)
    if quantise:
        model = quantised(tmp_path / "q.onnx", model)
    runtime = Hexagon(load_target("hexagon-v73"))
    (refusal,) = runtime.refuses(model)
    assert refusal.node == "one_hot"
    assert refusal.why.startswith("Hardmax would run on the CPU, as 2 of ")
    with pytest.raises(UnsupportedError, match="node 'one_hot': Hardmax would run on the CPU"):
        runtime.build(model, tmp_path)
    assert not (tmp_path / CONTEXT).exists()


def test_node_without_a_name_is_called_by_its_output(tmp_path: Path) -> None:
    path = unknown_operator(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.node[1].name = ""
    onnx.save(model, path)
    (refusal,) = Hexagon(load_target("hexagon-v73")).refuses(path)
    assert refusal.node == "y"


def test_node_that_the_compiler_itself_fails_on_is_named(tmp_path: Path) -> None:
    extra = helper.make_node("CumSum", ["logits", "axis"], ["y"], "running_sum")
    path = residual(tmp_path / "m.onnx", 1, extra)
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.int64), "axis"))
    onnx.save(model, path)
    (refusal,) = Hexagon(load_target("hexagon-v68")).refuses(path)
    assert refusal.node == "running_sum"
    assert refusal.why.startswith("the vendor's compiler does not take it: ")


def test_branches_and_loops_are_refused_by_name(tmp_path: Path) -> None:
    # The compiler takes this If, and the answers of its simulator are off by 3.
    rng = np.random.default_rng(0)

    def weights(name: str) -> onnx.TensorProto:
        return numpy_helper.from_array((rng.normal(size=(3, 3, 3, 3)) / 5).astype(np.float32), name)

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8])

    def branch(name: str) -> onnx.GraphProto:
        conv = helper.make_node("Conv", ["d", f"w_{name}"], [name], f"conv_{name}", pads=[1] * 4)
        return helper.make_graph([conv], name, [], [value(name)], [weights(f"w_{name}")])

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["d"], "first", pads=[1] * 4),
        helper.make_node("ReduceSum", ["d"], ["s"], "sum", keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["b"], "above"),
        helper.make_node(
            "If", ["b"], ["y"], "choice", then_branch=branch("t"), else_branch=branch("e")
        ),
    ]
    zero = numpy_helper.from_array(np.float32(0), "zero")
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [weights("w"), zero])
    path = tmp_path / "if.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    runtime = Hexagon(load_target("hexagon-v73"))
    (refusal,) = runtime.refuses(path)
    assert refusal.node == "choice"
    assert refusal.why.startswith("If runs graphs of its own")
    with pytest.raises(UnsupportedError, match="node 'choice': If runs graphs of its own"):
        runtime.build(path, tmp_path)


def test_free_sizes_are_those_of_the_data(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["y"], "pool"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, ["n", 3, "height", "width"])],
        [value("y", TensorProto.FLOAT, ["n", 2, 1, 1])],
        [weights],
    )
    path = tmp_path / "free.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    x = np.random.default_rng(0).normal(size=(3, 3, 24, 20)).astype(np.float32)
    runtime = Hexagon(load_target("hexagon-v73"))
    sized = as_sized(runtime, path, {"x": x[:1]}, tmp_path / "sized.onnx")
    built = build_on(runtime, sized, tmp_path / "built")
    assert built.notes == ()  # no size had to be assumed
    interface = Interface(
        (TensorSpec("x", "float32", (3, 24, 20)),), (TensorSpec("y", "float32", (2, 1, 1)),)
    )
    found = outputs_on(runtime, built, {"x": x}, interface)["y"]
    mean = x.sum(axis=1).mean(axis=(1, 2))
    assert np.allclose(found[..., 0, 0], np.stack([mean, mean], axis=1), atol=2e-3)


def test_bodies_of_our_operators_map(tmp_path: Path) -> None:
    runtime = Hexagon(load_target("hexagon-v73"))
    built = runtime.build(twice(tmp_path / "m.onnx"), tmp_path)
    x = np.array([[-1, 0, 1, 2.5], [3, 2, 1, 0]], np.float32)
    assert np.allclose(runtime.run(built, {"x": x})["y"], [[0, 0, 2, 5], [6, 4, 2, 0]], rtol=1e-3)


def test_mish_maps_as_what_it_is_made_of(tmp_path: Path) -> None:
    model = onnx.load(
        residual(tmp_path / "m.onnx", 1, helper.make_node("Mish", ["logits"], ["y"], "mish"))
    )
    model.opset_import[0].version = 18
    onnx.save(model, tmp_path / "m.onnx")
    runtime = Hexagon(load_target("hexagon-v73"))
    built = runtime.build(tmp_path / "m.onnx", tmp_path)
    expected = session(tmp_path / "m.onnx").run(None, {"x": images(1)})[0]
    assert np.allclose(runtime.run(built, {"x": images(1)})["y"], expected, atol=1e-2)  # float16


def test_sizes_that_had_to_be_chosen_are_said(tmp_path: Path) -> None:
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        ["batch", 3, "height", "width"],
        ["batch", 3, "height", "width"],
    )
    built = Hexagon(load_target("hexagon-v73")).build(model, tmp_path)
    assert [note.split(":")[0] for note in built.notes] == ["input 'x' is 1x3x224x224"]


def test_batch_behind_a_length_that_may_vary_is_found_by_its_name(tmp_path: Path) -> None:
    model = save(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        ["frames", "batch", 4],
        ["frames", "batch", 4],
    )
    runtime = Hexagon(load_target("hexagon-v73"))
    x = np.random.default_rng(0).standard_normal((128, 2, 4)).astype(np.float32)
    found = runtime.run(runtime.build(model, tmp_path), {"x": x})["y"]
    assert np.allclose(found, np.maximum(x, 0), rtol=1e-3)


def test_torn_context_is_an_error_with_its_path(int8: Path, tmp_path: Path) -> None:
    runtime = Hexagon(load_target("hexagon-v73"))
    built = runtime.build(int8, tmp_path)
    built.runs.write_bytes(built.runs.read_bytes()[:1000])
    with pytest.raises(MeasureError, match=CONTEXT):
        runtime.run(built, {"x": images(1)})


def test_lost_report_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    built = Built({REPORT: tmp_path / REPORT, CONTEXT: tmp_path / CONTEXT})
    with pytest.raises(MeasureError, match="build the model again"):
        Hexagon(load_target("hexagon-v73")).cost(built)


class _Noise(CalibrationDataReader):  # type: ignore[misc]  # untyped base class
    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)
        self.batches = iter(rng.standard_normal((4, 1, 3, size, size)).astype(np.float32))

    def get_next(self) -> dict[str, Array] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "size", "read_bytes"),
    [
        ("vww_mobilenetv1", 96, (714_752, 442_368, 442_368)),
        ("ic_resnet8", 32, (135_168, 135_168, 135_168)),
    ],
)
def test_traffic_of_known_models(
    model: str, size: int, read_bytes: tuple[int, ...], tmp_path: Path
) -> None:
    """Read by hand from the compiler's log, onnxruntime-qnn 2.7.0."""
    source = needs_data(f"teachers-mlperf-tiny/{model}.onnx")
    int8 = tmp_path / "int8.onnx"
    quantize_static(
        source,
        int8,
        _Noise(size),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    found = []
    for name in TARGETS:
        runtime = Hexagon(load_target(name))
        (tmp_path / name).mkdir()
        cost = runtime.cost(runtime.build(int8, tmp_path / name))
        found.append(cost.traffic_bytes["dram_read"])
    assert tuple(found) == read_bytes
