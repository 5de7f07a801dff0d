"""Standard output that is full, closed, or cannot show every sign: one line, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its names clear the screen, go back, and turn the direction of writing."""
    node = helper.make_node("MatMul", ["x\x1b[2J", "w"], ["y\u202e"], name="\x1b]0;t\x07n\u00f6de")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x\x1b[2J", TensorProto.FLOAT, ["n\x9b1m", 4])],
        [helper.make_tensor_value_info("y\u202e", TensorProto.FLOAT, ["n\x9b1m", 2])],
        [numpy_helper.from_array(np.ones((4, 2), np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    made.producer_name = "\x1b[31mred"
    path = tmp_path_factory.mktemp("model") / "m\u00f6del.onnx"
    onnx.save(made, path)
    return path


@needs_full
@pytest.mark.parametrize(
    "arguments", [["targets"], ["--help"], ["--version"], ["targets", "--json"]]
)
def test_a_full_output_is_one_line_and_exit_1(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        done = _squeeze(*arguments, stdout=full)
    assert done.returncode == 1
    said = "error: standard output cannot be written: No space left on device; files that the command wrote are there"
    assert done.stderr.splitlines() == [said]


@needs_full
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_what_went_wrong_before_goes_before_a_full_output(more: list[str]) -> None:
    with FULL.open("w") as full:
        done = _squeeze("inspect", "nothing.onnx", *more, stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nothing.onnx: no such file")
    assert done.stderr.count("\n") == 1


@needs_full
def test_the_exit_code_tells_where_errors_cannot_be_written() -> None:
    with FULL.open("w") as full:
        done = _squeeze("inspect", "nothing.onnx", stdout=full, stderr=full)
    assert done.returncode == 2


@needs_full
@pytest.mark.parametrize(("arguments", "code"), [(["nothing.onnx"], 2), (["--help"], 1)])
def test_the_exit_code_stays_where_a_library_printed_to_a_full_output(
    arguments: list[str], code: int
) -> None:
    printing = (
        "import click, sys; from squeeze import cli; say = click.Command.invoke;"
        "click.Command.invoke = lambda self, ctx: (print('hello', end=''), say(self, ctx))[1];"
        f"sys.argv = {['squeeze', 'inspect', *arguments]}; cli.main()"
    )
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", printing], stdout=full, stderr=full, env=_environment()
        )
    assert done.returncode == code


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_streams_that_are_closed_are_no_error(more: list[str], model: Path) -> None:
    closing = "import os, sys; os.close(1); os.close(2); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-m", "squeeze", "inspect", str(model), *more]
    done = subprocess.run(
        [sys.executable, "-c", closing, *command], env=_environment(), check=False
    )
    assert done.returncode == 0


def test_a_reader_that_went_away_is_no_error_to_tell(model: Path) -> None:
    end, start = os.pipe()
    os.close(end)
    with os.fdopen(start, "w") as nobody:
        done = _squeeze("inspect", str(model), stdout=nobody)
    assert done.stderr == ""


def test_signs_that_ascii_does_not_have_are_question_marks(model: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for arguments in (["inspect", str(model)], ["targets"], ["doctor"]):
        done = _squeeze(*arguments, **ascii_only)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert done.stderr == ""
    done = _squeeze("inspect", str(model.with_name("k\u00f6nnt.onnx")), **ascii_only)
    assert done.returncode == 2
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [["inspect"], ["profile", "--runs", "3"], ["fit", "--target", "host"]]
)
def test_names_cannot_move_the_cursor_or_turn_the_writing(command: list[str], model: Path) -> None:
    done = _squeeze(command[0], str(model), *command[1:])
    assert not set("\x1b\x9b\x07\u202e") & set(done.stdout + done.stderr)
    assert done.returncode in (0, 2, 3, 6)
    if command == ["inspect"]:
        assert "x\\x1b[2J" in done.stdout
        found = json.loads(_squeeze("inspect", str(model), "--json").stdout)
        assert found["inputs"] == ["x\x1b[2J float [n\x9b1m, 4]"]


def _squeeze(
    *arguments: str, stdout: object = subprocess.PIPE, stderr: object = subprocess.PIPE, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "squeeze", *arguments],
        stdout=stdout,  # type: ignore[arg-type]
        stderr=stderr,  # type: ignore[arg-type]
        env={**_environment(), **more},
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("LC_ALL", "LANG")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
