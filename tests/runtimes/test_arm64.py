"""ONNX Runtime for Arm on emulated CPUs, held to the one on this machine; which kernels it chooses on which CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from squeeze.errors import UnsupportedError
from squeeze.runtimes.arm64 import LIBRARY, RUNNER, Arm64
from squeeze.runtimes.runtime import Array, Built
from squeeze.target import load_target
from squeeze.transports.qemu import Qemu
from tests.native.arm64_tools import ROOT, cross_built
from tests.ops import any_op
from tests.ops.node_model import build as node_model
from tests.runtimes.small_networks import SCORE_SCALE, float_network, int8_network, samples

WHEEL = ROOT / "build" / "arm64-onnxruntime" / "onnxruntime"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `make arm64` leaves it, of what the build folder has."""
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.setenv("SQUEEZE_ARM64", str(folder))
    if not WHEEL.is_dir():
        pytest.skip(f"no ONNX Runtime for aarch64 in {WHEEL} (docs/building.md)")
    (folder / "onnxruntime").symlink_to(WHEEL)
    for name in (RUNNER, LIBRARY):
        (folder / name).symlink_to(cross_built(name))
    if why := Qemu(["neon"]).missing():
        pytest.skip(why)
    return folder


def on_this_machine(model: Path, x: Array) -> Array:
    opened = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.concatenate([opened.run(None, {"x": x[i : i + 1]})[0] for i in range(len(x))])


@pytest.mark.usefixtures("installed")
def test_float_and_int8_give_what_onnxruntime_gives_for_every_sample(tmp_path: Path) -> None:
    x, device = samples(3), Arm64(load_target("rpi5"))
    model = float_network(tmp_path / "float.onnx", batch=1)
    y = device.run(Built({"m": model}), {"x": x})["y"]
    wanted = on_this_machine(model, x)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(y.argmax(1), wanted.argmax(1))
    for activations in ("int8", "uint8"):
        model = int8_network(tmp_path / f"{activations}.onnx", activations=activations)
        y = device.run(Built({"m": model}), {"x": x})["y"]
        # A step of what goes into the last layer may be rounded the other way, which is two of the scores.
        np.testing.assert_allclose(y, on_this_machine(model, x), atol=2.01 * SCORE_SCALE)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("target", "kernel", "not_there"), [("rpi4", "smlal", "sdot"), ("rpi5", "sdot", "smmla")]
)
def test_the_kernels_are_those_of_the_cpu(
    target: str, kernel: str, not_there: str, tmp_path: Path
) -> None:
    device = Arm64(load_target(target))
    model = int8_network(tmp_path / "m.onnx", activations="int8")
    cost = device.cost(Built({"m": model}), {"x": samples(1)})
    assert cost.source == "emulated"
    assert cost.latency_ms is None
    assert cost.ram_bytes is None
    ran = next(note for note in cost.notes if note.startswith("kernels that ran"))
    assert kernel in ran
    assert not_there not in ran


@pytest.mark.usefixtures("installed")
def test_our_library_runs_its_own_kernels_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def draw(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    node = any_op.random_node("QConv", draw)
    path = tmp_path / "qconv.onnx"
    path.write_bytes(node_model(node, body=True).SerializeToString())
    device = Arm64(load_target("rpi5"))
    built = Built({"m": path})
    with_library = device.run(built, node.feeds())["y"]
    alone = Arm64(load_target("rpi5", {"runtime.custom_ops": False})).run(built, node.feeds())["y"]
    opened = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    body = opened.run(None, node.feeds())[0]
    assert np.abs(alone.astype(np.int64) - body).max() <= 1
    assert np.abs(with_library.astype(np.int64) - body).max() <= 1
    assert "operators of ai.squeeze ran in our library" in device.cost(built, node.feeds()).notes


@pytest.mark.usefixtures("installed")
def test_an_operator_that_it_does_not_know_is_refused_with_the_node(tmp_path: Path) -> None:
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in "xy"]
    node = helper.make_node("Nope", ["x"], ["y"], "the unknown", domain="vendor.x")
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:])
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("vendor.x", 1)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=domains), tmp_path / "m.onnx")
    device = Arm64(load_target("rpi4"))
    (refusal,) = device.refuses(tmp_path / "m.onnx")
    assert refusal.node == "the unknown"
    assert "vendor.x:Nope" in refusal.why
    with pytest.raises(UnsupportedError, match=r"node 'the unknown': onnxruntime .* for aarch64"):
        device.build(tmp_path / "m.onnx", tmp_path.parent)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why := Qemu(["neon"]).missing():
        pytest.skip(why)
    monkeypatch.setenv("SQUEEZE_ARM64", str(tmp_path))
    device = Arm64(load_target("rpi4"))
    assert device.missing() == (
        f"the runtime for Arm is not in {tmp_path}: make arm64, in a checkout of squeeze (it needs "
        "g++-aarch64-linux-gnu)"
    )
    with pytest.raises(UnsupportedError, match="target 'rpi4': the runtime for Arm is not in"):
        device.refuses(float_network(tmp_path / "m.onnx"))
