"""What is said of two files that take or give something else, for pairs of files that differ in one thing."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from squeeze.interface_changes import compare_interfaces

Ends = dict[str, tuple[int, list[int | str | None] | None]]
FLOAT, HALF, BFLOAT = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
X: Ends = {"x": (FLOAT, ["n", 3, "h"])}
Y: Ends = {"y": (FLOAT, ["n", 4])}


def file(path: Path, inputs: Ends, outputs: Ends) -> Path:
    """Nobody runs it."""
    nodes = [helper.make_node("Relu", [next(iter(inputs))], [name]) for name in outputs]
    ends = [
        [helper.make_tensor_value_info(name, *what) for name, what in side.items()]
        for side in (inputs, outputs)
    ]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", *ends)), path)
    return path


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        (X, Y, []),
        ({"x": (HALF, ["n", 3, "h"])}, Y, ["input 'x': float16, in your file float32"]),
        ({"x": (BFLOAT, ["n", 3, "h"])}, Y, ["input 'x': bfloat16, in your file float32"]),
        (
            {"x": (FLOAT, ["n", 3, 8])},
            Y,
            ["axis 2 of input 'x': fixed to 8, free in your file ('h')"],
        ),
        ({"x": (FLOAT, ["n", 5, "h"])}, Y, ["axis 1 of input 'x': 5, in your file 3"]),
        ({"x": (FLOAT, ["n", "c", "h"])}, Y, ["axis 1 of input 'x': any size, in your file 3"]),
        (
            {"x": (FLOAT, ["batch", 3, "h"])},
            {"y": (FLOAT, ["batch", 4])},
            ["axis 0 of input 'x', output 'y': called 'batch', in your file 'n'"],
        ),
        (X, {"y": (FLOAT, ["n", 4, 1])}, ["output 'y': 3 axes [n, 4, 1], in your file 2 axes [n, 4]"]),
        (X, {"z": (FLOAT, ["n", 4])}, ["output 'y': in your file alone", "output 'z': not in your file"]),
        (X, Y | {"z": (FLOAT, ["n"])}, ["output 'z': not in your file"]),
        ({"x": (FLOAT, None)}, Y, []),
    ],
)  # fmt: skip
def test_each_difference_is_said(
    inputs: Ends, outputs: Ends, said: list[str], tmp_path: Path
) -> None:
    theirs, ours = file(tmp_path / "a.onnx", X, Y), file(tmp_path / "b.onnx", inputs, outputs)
    assert compare_interfaces(theirs, ours) == said


def test_other_order_is_said(tmp_path: Path) -> None:
    both = Y | {"z": (FLOAT, ["n"])}
    turned = dict(reversed(both.items()))
    theirs, ours = file(tmp_path / "a.onnx", X, both), file(tmp_path / "b.onnx", X, turned)
    assert compare_interfaces(theirs, ours) == ["outputs: in another order than in your file: z, y"]


def test_size_that_had_no_name_may_get_one_and_no_size_is_free(tmp_path: Path) -> None:
    theirs = file(tmp_path / "a.onnx", {"x": (FLOAT, [-1, 3, 0, None])}, Y)
    ours = file(tmp_path / "b.onnx", {"x": (FLOAT, ["batch", 3, "x_2", "x_3"])}, Y)
    assert compare_interfaces(theirs, ours) == []
    ours = file(tmp_path / "b.onnx", {"x": (FLOAT, ["batch", 3, 8, "x_3"])}, Y)
    assert compare_interfaces(theirs, ours) == [
        "axis 2 of input 'x': fixed to 8, free in your file"
    ]
