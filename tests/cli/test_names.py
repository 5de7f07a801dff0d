"""Names in a user's file that would move the cursor or begin lines: every line that is printed is one of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cli.run import only_object, squeeze

WILD = "\x1b[2K\x08\n\u202eerror: "


def file(folder: Path, name: str, op_type: str = "MatMul") -> Path:
    """One product; its input, output and node have `name` in theirs."""
    weights = numpy_helper.from_array(np.ones((3, 2), np.float32), f"w{name}")
    node = helper.make_node(op_type, [f"x{name}", f"w{name}"], [f"y{name}"], name=f"n{name}")
    sizes = {"x": ["n", 3], "y": ["n", 2]}
    ends = [
        helper.make_tensor_value_info(f"{e}{name}", TensorProto.FLOAT, s) for e, s in sizes.items()
    ]
    graph = helper.make_graph([node], "net", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / f"{len(name)}.onnx"
    onnx.save(model, path)
    return path


def seen(text: str) -> bool:
    return all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize("command", ["inspect", "profile"])
def test_a_screen_has_as_many_lines_as_with_plain_names(tmp_path: Path, command: str) -> None:
    wild = squeeze(command, file(tmp_path, WILD))
    plain = squeeze(command, file(tmp_path, ""))
    assert (wild.returncode, plain.returncode) == (0, 0)
    assert seen(wild.stdout + wild.stderr)
    assert len(wild.stdout.splitlines()) == len(plain.stdout.splitlines())


@pytest.mark.parametrize("command", ["lower", "profile", "quantize"])
def test_a_refusal_is_one_line(tmp_path: Path, command: str) -> None:
    path = file(tmp_path, WILD, "NoSuchOp")
    out = () if command == "profile" else ("-o", tmp_path / "out.onnx")
    done = squeeze(command, path, *out)
    assert done.returncode != 0
    assert seen(done.stdout + done.stderr)
    assert [line[:7] for line in done.stderr.splitlines()] == ["error: "]


def test_in_json_an_error_is_as_it_is_shown(tmp_path: Path) -> None:
    done = squeeze("lower", file(tmp_path, WILD), "-o", tmp_path / "out.onnx", "--json")
    assert only_object(done.stdout)["error"].isprintable()
