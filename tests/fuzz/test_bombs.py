"""Small files that ask for many gigabytes are refused in a line by every command, and never get them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from squeeze import teacher
from squeeze.errors import UnsupportedError
from squeeze.runtimes import confined
from tests.fuzz.bases import mlp
from tests.fuzz.bombs import BOMBS, expand, loops_in_loops

ROOT = Path(__file__).resolve().parents[2]
# Half of the least bomb; a command has a third of it from its libraries.
MOST_BYTES = 3_000_000_000
# So that a test that fails does not take the machine along.
DATA_BYTES = 7_000_000_000
EXIT_UNSUPPORTED = 3


@dataclass(frozen=True)
class Ended:
    code: int
    said: str
    peak_bytes: int


@pytest.mark.parametrize("name", BOMBS)
def test_quantize_refuses_a_bomb_without_its_memory(name: str, tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    x = np.arange(64, dtype=np.float32).reshape(16, 4)
    np.savez(data, x_train=x[:8], x_test=x[8:])
    ended = _squeeze("quantize", _bomb(name, tmp_path), "--calib", data, "-o", tmp_path / "q.onnx")
    assert ended.code == EXIT_UNSUPPORTED, ended.said
    assert ended.said.count("\n") == 1
    assert f"{name}.onnx (" in ended.said
    assert "takes more memory" in ended.said
    assert ended.peak_bytes < MOST_BYTES
    assert not (tmp_path / "q.onnx").exists()


def test_a_bomb_of_a_newer_onnx_than_the_runtime_is_tried_too(tmp_path: Path) -> None:
    model = expand()
    model.ir_version = 99
    path = tmp_path / "new.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match="takes more memory"):
        teacher.load(str(path), weights=None, example=None, folder=tmp_path, made_up=True)


@pytest.mark.parametrize("command", ["fit", "lower", "profile"])
def test_what_runs_a_model_without_data_refuses_a_bomb(command: str, tmp_path: Path) -> None:
    more = {"lower": ["-o", tmp_path / "low.onnx"], "fit": ["--target", "host"]}.get(command, [])
    ended = _squeeze(command, _bomb("expand", tmp_path), *more)
    assert ended.code == EXIT_UNSUPPORTED, ended.said
    assert "takes more memory (8.59 GB in one piece) than 2 GB" in ended.said
    assert ended.peak_bytes < MOST_BYTES


def test_inspect_refuses_what_only_its_sizes_blow_up(tmp_path: Path) -> None:
    ended = _squeeze("inspect", _bomb("doubled_constant", tmp_path))
    assert ended.code == EXIT_UNSUPPORTED, ended.said
    assert "its constants and sizes takes more memory than 0.5 GB" in ended.said
    assert ended.peak_bytes < MOST_BYTES


def test_inspect_runs_nothing(tmp_path: Path) -> None:
    ended = _squeeze("inspect", _bomb("expand", tmp_path))
    assert ended.code == 0, ended.said
    assert ended.peak_bytes < MOST_BYTES


def test_a_loop_that_hardly_ends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "CPU_SECONDS", 1)
    path = tmp_path / "loops.onnx"
    path.write_bytes(loops_in_loops().SerializeToString())
    with pytest.raises(UnsupportedError, match="takes more than 1 s of processor time"):
        confined.check_within(path, path, path.stat().st_size)


def test_a_model_as_people_have_it_passes(tmp_path: Path) -> None:
    path = tmp_path / "mlp.onnx"
    path.write_bytes(mlp().SerializeToString())
    confined.check_within(path, path, path.stat().st_size)


def test_sizes_of_the_data_count(tmp_path: Path) -> None:
    """Nothing with a size of 16, which is made up for what nobody says; 17 GB with that of the data."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "x"], ["p"]),
        helper.make_node("ReduceMax", ["p"], ["y"], axes=[1, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "outer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "k"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    path = tmp_path / "outer.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    confined.check_within(path, path, path.stat().st_size)
    with pytest.raises(UnsupportedError, match=r"17\.2 GB in one piece"):
        confined.check_within(path, path, path.stat().st_size, shapes={"x": (1, 1, 1 << 16)})


def test_the_next_question_is_answered_after_one_that_was_broken_off(tmp_path: Path) -> None:
    path = tmp_path / "expand.onnx"
    path.write_bytes(expand().SerializeToString())
    confined._PROCESS.end()
    with pytest.raises(UnsupportedError):
        confined.check_within(path, path, path.stat().st_size)


def _bomb(name: str, folder: Path) -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(BOMBS[name]().SerializeToString())
    return path


def _squeeze(*arguments: str | Path) -> Ended:
    """The command in a process whose memory is told when it has ended: its own, or that of its largest child."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))

    with subprocess.Popen(
        [sys.executable, "-m", "squeeze", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        preexec_fn=limit,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, said, used.ru_maxrss * 1024)
