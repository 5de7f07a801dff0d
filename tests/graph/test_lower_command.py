"""`squeeze lower` as people run it: what it writes, what it says, and what it refuses without writing anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import squeeze
from squeeze.commands.effect import timed_shapes
from tests import started
from tests.graph.qdq import Net, images

# An editable install has a finder of its own in front; sys.path is to decide.
FROM_SYS_PATH = """
import importlib.machinery, sys
sys.meta_path.insert(0, importlib.machinery.PathFinder)
from squeeze.cli import main
sys.exit(main())
"""


def run(*arguments: str | Path, installed: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`squeeze lower` in a process of its own, with the package in `installed` if that is given."""
    if installed is None:
        return started.run("lower", *arguments)
    return subprocess.run(
        [sys.executable, "-c", FROM_SYS_PATH, "lower", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(installed)},
        cwd=installed,
    )


def network(**settings: int) -> ir.Model:
    net = Net(8, 16, 16, **settings)
    y = net.quantise(net.add("Relu", net.conv(net.quantise("x"), 32, 8)), 0.05)
    y = net.quantise(net.add("Relu", net.conv(y, 32, 32)), 0.05)
    left = net.add("Conv", y, net.weights(net.integers(8, 32, 1, 1)))
    return net.model(net.quantise(net.conv(y, 8, 32), 0.05, 120), left)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    ir.save(network(), tmp_path / "qdq.onnx")
    return tmp_path / "qdq.onnx"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_lowered_and_the_rest_is_said(model: Path, tmp_path: Path) -> None:
    done = run(model, "-o", tmp_path / "out.onnx", "--no-measure")
    assert done.returncode == 0, done.stderr
    assert "3 QConv" in done.stdout
    assert "1 left alone: its result is not quantised at once" in done.stdout
    assert "speed not measured: --no-measure" in done.stdout
    assert files(tmp_path) == {"qdq.onnx", "out.onnx"}
    x = images(2, 8, 16, 16)
    wanted, got = (
        ort.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )
        for name in ("qdq.onnx", "out.onnx")
    )
    for a, b in zip(wanted, got, strict=True):
        assert np.abs(a - b).max() < 0.2


def test_json_says_counts_difference_and_bytes(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    found = json.loads(run(model, "-o", out, "--no-measure", "--json").stdout)
    assert found["lowered"] == {"QConv": 3}
    assert found["speed"] is None
    assert found["bytes"] == {"before": model.stat().st_size, "after": out.stat().st_size}
    assert found["difference"]["random_inputs"] == 8
    assert found["difference"]["max_steps"] < 5


def test_measured_it_is_faster_or_not_written(library: str, model: Path, tmp_path: Path) -> None:
    done = run(model, "-o", tmp_path / "out.onnx", "--json")
    found = json.loads(done.stdout)
    if done.returncode == 0:
        assert found["speed"]["ratio"] < 1
        assert found["speed"]["after_ms"] > 0
    else:
        assert (done.returncode, files(tmp_path)) == (3, {"qdq.onnx"})
        assert "does not make it faster on this machine" in found["error"]


def test_without_the_library_it_is_lowered_and_that_is_said(model: Path, tmp_path: Path) -> None:
    package = tmp_path / "installed"
    ignored = shutil.ignore_patterns("*.so", "csrc", "__pycache__")
    shutil.copytree(Path(squeeze.__file__).parent, package / "squeeze", ignore=ignored)
    for folder in ("targets", "recipes", "calib"):
        (package / folder).mkdir()
    done = run(model, "-o", tmp_path / "out.onnx", installed=package)
    assert done.returncode == 0, done.stderr
    assert "speed not measured: the native library is not built" in done.stdout
    assert (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(("opset", "ir_version"), [(13, 8), (19, 9), (21, 10), (23, 11)])
def test_opset_and_ir_version_stay(opset: int, ir_version: int, tmp_path: Path) -> None:
    ir.save(network(opset=opset, ir_version=ir_version), tmp_path / "qdq.onnx")
    done = run(tmp_path / "qdq.onnx", "-o", tmp_path / "out.onnx", "--no-measure")
    assert done.returncode == 0, done.stderr
    written = onnx.load(tmp_path / "out.onnx")
    assert written.ir_version == ir_version
    assert {o.domain: o.version for o in written.opset_import} == {"": opset, "ai.squeeze": 1}
    assert {o.version for f in written.functions for o in f.opset_import} == {opset}


def test_external_data_and_open_sizes(tmp_path: Path) -> None:
    proto = ir.to_proto(network())
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    onnx.save(
        proto,
        tmp_path / "qdq.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    done = run(tmp_path / "qdq.onnx", "-o", tmp_path / "out.onnx")
    assert done.returncode == 0, done.stderr
    assert (
        "speed not measured: size2, size3 of input 'x' may vary; --shape x=1x8x224x224 says them"
        in done.stdout
    )
    assert files(tmp_path) == {"qdq.onnx", "weights.bin", "out.onnx"}
    x = images(1, 8, 12, 20)
    (tmp_path / "weights.bin").unlink()
    ort.InferenceSession(tmp_path / "out.onnx", providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )


def open_file(folder: Path, **metadata: str) -> Path:
    proto = ir.to_proto(network())
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    helper.set_model_props(proto, metadata)
    onnx.save(proto, folder / "qdq.onnx")
    return folder / "qdq.onnx"


@pytest.mark.parametrize(
    ("metadata", "options", "shapes"),
    [
        ({}, {}, None),
        ({}, {"x": [1, 8, 12, 20]}, {"x": (1, 8, 12, 20)}),
        ({}, {"": [2, 8, 12, 20]}, {"x": (2, 8, 12, 20)}),
        ({"imgsz": "[24, 16]"}, {}, {"x": (1, 8, 24, 16)}),
        ({"imgsz": "[24, 16]"}, {"x": [1, 8, 12, 20]}, {"x": (1, 8, 12, 20)}),
    ],
)
def test_sizes_to_time_at_are_those_asked_for_or_those_the_model_hints_at(
    metadata: dict[str, str],
    options: dict[str, list[int]],
    shapes: dict[str, tuple[int, ...]] | None,
    tmp_path: Path,
) -> None:
    found, why = timed_shapes(open_file(tmp_path, **metadata), options)
    assert found == shapes
    assert bool(why) == (shapes is None)


def test_with_a_shape_a_file_of_open_sizes_is_measured(library: str, tmp_path: Path) -> None:
    path = open_file(tmp_path)
    done = run(path, "-o", tmp_path / "out.onnx", "--shape", "x=1x8x12x20", "--json")
    found = json.loads(done.stdout)
    measured = done.returncode == 0 and found["speed"]["after_ms"] > 0
    assert measured or "does not make it faster on this machine" in found["error"]


@pytest.mark.parametrize("shape", ["x=1x8x12", "x=1x3x12x20", "z=1x8x12x20"])
def test_a_shape_that_fits_no_input_is_refused(shape: str, tmp_path: Path) -> None:
    done = run(open_file(tmp_path), "-o", tmp_path / "out.onnx", "--shape", shape)
    assert done.returncode == 2
    assert "--shape" in done.stderr
    assert files(tmp_path) == {"qdq.onnx"}


def broken(kind: str, folder: Path) -> tuple[Path, Path]:
    """(model, output) of one wrong call."""
    path, out = folder / "m.onnx", folder / "out.onnx"
    if kind == "missing":
        return path, out
    ir.save(network(), path)
    if kind == "not-onnx":
        path.write_bytes(b"\x00" * 40)
    elif kind == "cut-off":
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "not-quantised":
        net = Net(4)
        ir.save(net.model(net.add("Relu", "x")), path)
    elif kind == "operators":
        net = Net(4)
        grid = net.grid(0.1)
        x = net.add("QuantizeLinear", "x", *grid)
        w = net.constant(np.ones((4, 4), np.uint8))
        net.add("QLinearMatMul", x, *grid, w, *grid, *grid)
        ir.save(net.model(net.nodes[-1].output[0], kind="uint8"), path)
    elif kind == "old-opset":
        net = Net(4, opset=10, ir_version=6)
        ir.save(net.model(net.quantise("x")), path)
    elif kind == "nothing-fits":
        net = Net(4)
        ir.save(net.model(net.add("Sin", net.quantise("x"))), path)
    elif kind == "lowered":
        assert run(path, "-o", out, "--no-measure").returncode == 0
        path, out = out, folder / "twice.onnx"
    elif kind == "same":
        out = path
    elif kind == "folder":
        out = folder
    elif kind == "another-suffix":
        out = folder / "out.txt"
    elif kind == "no-folder":
        out = folder / "nowhere" / "out.onnx"
    return path, out


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("another-suffix", 2, "out.onnx"),
        ("cut-off", 2, "not an ONNX file, or cut off"),
        ("folder", 2, "is a folder"),
        ("lowered", 2, "is lowered already"),
        ("missing", 2, "no such file"),
        ("no-folder", 2, "there is no folder"),
        ("not-onnx", 2, "not an ONNX file"),
        ("not-quantised", 2, "is not quantised; quantise first: squeeze quantize"),
        ("nothing-fits", 3, "nothing in it fits one of our ops"),
        ("old-opset", 3, "opset 10; 13 is the least"),
        ("operators", 3, "operator format (1 QLinearMatMul)"),
        ("same", 2, "is the model itself"),
    ],
)
def test_wrong_calls_are_refused_in_a_line_and_nothing_is_written(
    kind: str, code: int, said: str, tmp_path: Path
) -> None:
    path, out = broken(kind, tmp_path)
    before = files(tmp_path)
    done = run(path, "-o", out)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert files(tmp_path) == before


def test_a_file_that_the_runtime_refuses_is_refused_in_a_line(model: Path, tmp_path: Path) -> None:
    proto = onnx.load(model)
    next(n for n in proto.graph.node if n.op_type == "Relu").domain = "no.such.domain"
    onnx.save(proto, model)
    done = run(model, "--no-measure", "-o", tmp_path / "out.onnx")
    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith(f"error: {model}: onnxruntime")
    assert len(done.stderr.splitlines()) <= 2
    assert files(tmp_path) == {"qdq.onnx"}


def test_a_wrong_declared_rank_of_a_value_is_no_obstacle(model: Path, tmp_path: Path) -> None:
    proto = onnx.load(model)
    inside = next(n for n in proto.graph.node if n.op_type == "Relu").output[0]
    del proto.graph.value_info[:]
    proto.graph.value_info.append(helper.make_tensor_value_info(inside, TensorProto.FLOAT, [7]))
    onnx.save(proto, model)
    x = images(1, 8, 16, 16)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    wanted = ort.InferenceSession(model, options).run(None, {"x": x})
    done = run(model, "--no-measure", "-o", tmp_path / "out.onnx")
    assert done.returncode == 0, done.stderr
    got = ort.InferenceSession(tmp_path / "out.onnx", options).run(None, {"x": x})
    for a, b in zip(got, wanted, strict=True):
        assert np.abs(a.astype(float) - b.astype(float)).max() <= 0.1


def test_output_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    done = run(model, "-o", folder / "out.onnx")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_several_inputs_and_a_batch_that_varies(tmp_path: Path) -> None:
    net = Net(8, 8, 8)
    a = net.quantise(net.conv(net.quantise("x"), 8, 8), 0.05, 120)
    proto = ir.to_proto(net.model(net.add("Mul", a, "factor")))
    factor = helper.make_tensor_value_info("factor", TensorProto.FLOAT, ["batch", 8, 8, 8])
    proto.graph.input.append(factor)
    onnx.save(proto, tmp_path / "qdq.onnx")
    done = run(tmp_path / "qdq.onnx", "-o", tmp_path / "out.onnx", "--no-measure", "--json")
    assert json.loads(done.stdout)["lowered"] == {"QConv": 1}
