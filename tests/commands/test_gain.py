"""A quantised file that is neither faster nor smaller to speak of is none; what is float in it is told by node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.account.float_parts import FloatPart, float_parts
from squeeze.commands.gain import Aim, Gain, why_little


@pytest.mark.parametrize(
    ("speed", "after", "aims"),
    [
        (2.0, 25_000, {"both", "size", "speed"}),
        (2.0, 100_500, {"both", "size", "speed"}),
        (0.9, 25_000, {"both", "size"}),
        (1.02, 25_000, {"both", "size"}),
        (0.9, 99_600, {"size"}),  # 0.4 % smaller
        (0.99, 98_000, {"size"}),  # 2 % smaller
        (0.9, 100_000, set()),
        (1.02, 100_500, set()),
    ],
    ids=[
        "faster-smaller",
        "faster",
        "smaller",
        "within-noise-smaller",
        "hardly-smaller",
        "two-percent",
        "neither",
        "within-noise-larger",
    ],
)
def test_what_is_gained_is_enough_for(speed: float, after: int, aims: set[str]) -> None:
    gain = Gain(speed, 100_000, after)
    every: tuple[Aim, ...] = ("both", "size", "speed")
    assert {aim for aim in every if gain.is_enough(aim)} == aims


@pytest.mark.parametrize(
    ("after", "told"),
    [(98, "2.0 % smaller"), (25, "75.0 % smaller"), (103, "3.0 % larger"), (100, "0.0 % smaller")],
)
def test_it_is_told_in_speed_and_size(after: int, told: str) -> None:
    assert str(Gain(0.93, 100, after)) == f"0.93x the speed of the model on this machine, {told}"


def floats(name: str, *sizes: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(sizes, np.float32), name)


def test_float_numbers_are_counted_by_node_once_also_in_bodies(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["x", "inside"], ["b"], name="in/add")],
        "body",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        [floats("inside", 50)],
    )
    constant = helper.make_node("Constant", [], ["c"], value=floats("c", 30))
    nodes = [
        helper.make_node("Einsum", ["x", "big"], ["e"], name="head", equation="a,ab->b"),
        helper.make_node("Add", ["e", "big"], ["f"], name="again"),
        constant,
        helper.make_node("Mul", ["f", "c"], ["g"]),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"], name="dq"),
        helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=body),
    ]
    stored = [
        floats("big", 10, 20),
        floats("scale", 1000),
        numpy_helper.from_array(np.ones(1000, np.int8), "q"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    made = helper.make_model(graph)
    onnx.save(made, tmp_path / "original.onnx")
    for node in made.graph.node:  # as finished files have it
        node.name = ""
    onnx.save(made, tmp_path / "m.onnx")
    assert float_parts(tmp_path / "m.onnx", tmp_path / "original.onnx") == [
        FloatPart("head", "Einsum", 800),
        FloatPart("in/add", "Add", 200),  # of each branch
        FloatPart("in/add", "Add", 200),
        FloatPart("g", "Mul", 120),
    ]


def test_why_a_file_is_hardly_smaller_names_the_nodes_that_are_float() -> None:
    parts = [FloatPart(f"n{i}", "Einsum", 1000) for i in range(9)]
    assert why_little(parts, 10_000) == (
        "90 % of its bytes are float: 'n0' (Einsum, 1 KB), 'n1' (Einsum, 1 KB), 'n2' (Einsum, 1 KB), "
        "'n3' (Einsum, 1 KB), 5 more"
    )
    assert why_little(parts[:4], 10_000) == ""
    crumb = FloatPart("bias", "Conv", 5)
    assert why_little([parts[0], crumb], 1000).endswith("'n0' (Einsum, 1 KB), 1 more")
