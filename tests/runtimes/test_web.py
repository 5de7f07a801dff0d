"""onnxruntime-web in a real browser, held to ONNX Runtime on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from squeeze import ops
from squeeze.errors import MeasureError, UnsupportedError
from squeeze.interface import Interface, TensorSpec
from squeeze.measure.on_runtime import compare_costs, costs_on, outputs_on
from squeeze.runtimes.browser.chromium import INSTALL, browsing, chromium
from squeeze.runtimes.runtime import Array, Built
from squeeze.runtimes.web import Web
from squeeze.target import load_target
from tests.fetched import onnxruntime_web
from tests.ops import any_op
from tests.ops.node_model import build as node_model
from tests.ops.node_model import most_steps_apart, run_native
from tests.runtimes.small_networks import SCORE_SCALE, float_network, int8_network, samples

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason=f"Chromium is not installed: {INSTALL}"),
]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEEZE_WEB", str(onnxruntime_web()))


@pytest.fixture
def wasm() -> Web:
    return Web(load_target("web-wasm"))


@pytest.fixture
def webgpu() -> Web:
    return Web(load_target("web-webgpu"))


def on_this_machine(model: Path, feed: dict[str, Array]) -> list[Array]:
    opened = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return opened.run(None, feed)


def saved(path: Path, nodes: list[onnx.NodeProto], takes: dict[str, int], gives: int) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, [1, 4, 4]) for name, kind in takes.items()],
        [helper.make_tensor_value_info("y", gives, None)],
    )
    domains = [
        helper.make_opsetid(d, 17 if d == "" else 1)
        for d in sorted({n.domain for n in nodes} | {""})
    ]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=domains), path)
    return path


@pytest.mark.parametrize("batch", [1, "batch"])
def test_float_and_int8_give_what_onnxruntime_gives_for_every_sample(
    wasm: Web, batch: int | str, tmp_path: Path
) -> None:
    x = samples(6)
    for name, make, most in (
        ("float", float_network, 1e-5),
        # A step of what goes into the last layer may be rounded the other way, which is two of the scores.
        ("int8", int8_network, 2.01 * SCORE_SCALE),
    ):
        folder = tmp_path / name
        folder.mkdir()
        model = make(tmp_path / f"{name}.onnx", batch)
        y = wasm.run(wasm.build(model, folder), {"x": x})["y"]
        wanted = np.concatenate([on_this_machine(model, {"x": x[i : i + 1]})[0] for i in range(6)])
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=most)
        if name == "float":
            np.testing.assert_array_equal(y.argmax(1), wanted.argmax(1))


DTYPES = (
    *("bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8"),
    *("uint16", "uint32", "uint64", "uint8"),
)


def test_numbers_of_every_type_go_there_and_back(wasm: Web, tmp_path: Path) -> None:
    kinds = {dtype: helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for dtype in DTYPES}
    graph = helper.make_graph(
        [helper.make_node("Reshape", [d, "shape"], [f"{d} turned"], d) for d in DTYPES],
        "g",
        [helper.make_tensor_value_info(d, kind, [2, 3]) for d, kind in kinds.items()],
        [helper.make_tensor_value_info(f"{d} turned", kind, [3, 2]) for d, kind in kinds.items()],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [3, 2])],
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path
    )
    feed = {dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES}
    for x in feed.values():
        if x.dtype.kind in "iu":
            x[0, 0], x[1, 2] = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    found = wasm.run(Built({"m.onnx": path}), feed)
    for dtype, x in feed.items():
        y = found[f"{dtype} turned"]
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y, x.reshape(3, 2), err_msg=dtype)


def test_several_inputs_and_a_single_number_come_back_by_name(wasm: Web, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"], "add"),
        helper.make_node("ReduceSum", ["s"], ["y"], "sum", keepdims=0),
    ]
    path = saved(
        tmp_path / "m.onnx", nodes, dict.fromkeys("ab", TensorProto.FLOAT), TensorProto.FLOAT
    )
    a, b = np.ones((1, 4, 4), np.float32), np.full((1, 4, 4), 2, np.float32)
    found = wasm.run(Built({"m.onnx": path}), {"b": b, "a": a})
    assert list(found) == ["y"]
    assert found["y"].shape == ()
    assert found["y"] == 48


@pytest.mark.skipif(ops.library_path() is None, reason="libsqueeze_ops.so is not built")
def test_operators_of_our_own_run_by_their_functions(wasm: Web, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def draw(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    node = any_op.random_node("QConv", draw)
    path = tmp_path / "qconv.onnx"
    path.write_bytes(node_model(node, body=True).SerializeToString())
    y = wasm.run(wasm.build(path, tmp_path), node.feeds())["y"]
    assert most_steps_apart(y, run_native(node)) <= 1


def test_weights_beside_the_file_are_put_into_it(wasm: Web, tmp_path: Path) -> None:
    model = float_network(tmp_path / "whole.onnx")
    apart = tmp_path / "apart"
    apart.mkdir()
    onnx.save(
        onnx.load(model),
        apart / "m.onnx",
        save_as_external_data=True,
        size_threshold=0,
        location="w",
    )
    built = wasm.build(apart / "m.onnx", tmp_path)
    assert built.runs.parent == tmp_path
    x = samples(1)
    np.testing.assert_allclose(
        wasm.run(built, {"x": x})["y"], on_this_machine(model, {"x": x})[0], rtol=1e-4, atol=1e-5
    )


def test_an_operator_that_it_does_not_know_is_refused_with_the_node(
    wasm: Web, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "fine"),
        helper.make_node("Nope", ["r"], ["y"], "the unknown", domain="vendor.x"),
    ]
    path = saved(tmp_path / "m.onnx", nodes, {"x": TensorProto.FLOAT}, TensorProto.FLOAT)
    (refusal,) = wasm.refuses(path)
    assert refusal.node == "the unknown"
    assert "vendor.x:Nope" in refusal.why
    with pytest.raises(UnsupportedError, match="node 'the unknown': onnxruntime-web: vendor"):
        wasm.build(path, path.parent.parent)


def test_a_run_that_fails_says_why_in_one_line(wasm: Web, tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], "reshape")]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path
    )
    feed = {"x": np.ones((1, 4), np.float32), "shape": np.array([3], np.int64)}
    with pytest.raises(MeasureError, match=r"cannot be reshaped .*\{1,4\}") as failed:
        wasm.run(Built({"m.onnx": path}), feed)
    assert "\n" not in str(failed.value)


def test_models_take_turns_in_one_page(wasm: Web, tmp_path: Path) -> None:
    x = samples(1)
    built = {
        "float": Built({"f": float_network(tmp_path / "f.onnx")}),
        "int8": Built({"i": int8_network(tmp_path / "i.onnx")}),
    }
    taken = wasm.time(built, {name: {"x": x} for name in built}, runs=40, max_seconds=5)
    assert list(taken) == ["float", "int8"]
    assert len(taken["float"]) == len(taken["int8"]) >= 3
    assert {len(burst) for rounds in taken.values() for burst in rounds} == {2}
    assert all(ns > 0 for rounds in taken.values() for burst in rounds for ns in burst)


def test_cost_of_wasm_is_measured(wasm: Web, tmp_path: Path) -> None:
    cost = wasm.cost(Built({"m": float_network(tmp_path / "m.onnx")}))
    assert cost.source == "measured"
    assert cost.latency_p10_ms is not None
    assert cost.latency_ms is not None
    assert cost.latency_p90_ms is not None
    assert 0 < cost.latency_p10_ms <= cost.latency_ms <= cost.latency_p90_ms
    assert cost.file_bytes == (tmp_path / "m.onnx").stat().st_size
    assert "Chromium" in cost.notes[0]


def test_webgpu_gives_outputs_and_placement_but_no_times(webgpu: Web, tmp_path: Path) -> None:
    x = samples(2)
    model = float_network(tmp_path / "m.onnx", batch=1)
    built = Built({"m": model})
    wanted = np.concatenate([on_this_machine(model, {"x": x[i : i + 1]})[0] for i in range(2)])
    np.testing.assert_allclose(webgpu.run(built, {"x": x})["y"], wanted, rtol=1e-4, atol=1e-5)
    cost = webgpu.cost(built)
    assert cost.latency_ms is None
    assert cost.notes == ("correctness only: a software GPU",)
    assert (cost.accelerator_share, cost.left_over) == (1.0, ())
    with pytest.raises(UnsupportedError, match="software GPU; time on web-wasm"):
        webgpu.time({"m": built}, {"m": {"x": x}})


def test_a_node_that_the_gpu_leaves_to_the_cpu_is_named(webgpu: Web, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "on the card"),
        helper.make_node("Det", ["r"], ["y"], "on the CPU"),
    ]
    path = saved(tmp_path / "m.onnx", nodes, {"x": TensorProto.FLOAT}, TensorProto.FLOAT)
    cost = webgpu.cost(Built({"m": path}))
    assert cost.left_over == ("on the CPU",)
    assert cost.accelerator_share == 0.5


def test_no_process_of_the_browser_is_left(tmp_path: Path) -> None:
    program = chromium()
    assert program is not None
    with browsing(program, "about:blank") as browser:
        folder = str(browser.log.parent)
        deadline = time.monotonic() + 30
        while not processes_of(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes_of(folder)
    deadline = time.monotonic() + 30
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_of(folder)
    assert not Path(folder).exists()


def processes_of(folder: str) -> list[int]:
    """Those that have the profile in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and folder.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_browser_that_will_not_run_says_why(tmp_path: Path) -> None:
    false = tmp_path / "chromium"
    false.write_text("#!/bin/sh\necho 'No usable sandbox!' >&2\nexit 1\n")
    false.chmod(0o755)
    with browsing(str(false), "about:blank") as browser:
        browser.process.wait()
        assert browser.ended() == "No usable sandbox!"


def test_many_samples_and_turns_as_a_compile_asks_for_them(wasm: Web, tmp_path: Path) -> None:
    x = samples(5)
    models = {
        "float": float_network(tmp_path / "f.onnx"),
        "int8": int8_network(tmp_path / "i.onnx"),
    }
    built = {name: Built({name: path}) for name, path in models.items()}
    interface = Interface(
        (TensorSpec("x", "float32", x.shape[1:], batch_size=2),),
        (TensorSpec("y", "float32", (5,)),),
    )
    y = outputs_on(wasm, built["float"], {"x": x}, interface)["y"]
    wanted = on_this_machine(models["float"], {"x": x})[0]
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)
    costs, taken = costs_on(wasm, built, {"x": x[:1]}, threads=1, runs=40, max_seconds=5)
    assert {cost.source for cost in costs.values()} == {"measured"}
    found = compare_costs(costs, taken, "int8", "float")
    assert found.rounds == len(taken["float"].rounds_ms)
    assert found.ratio == pytest.approx(
        np.median(np.divide(taken["int8"].rounds_ms, taken["float"].rounds_ms))
    )
