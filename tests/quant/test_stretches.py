"""Functions between two int8 tensors: quantised on both sides and not inside, however they are written."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from squeeze import graph, quant, runtimes
from squeeze.quant.place import place
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, model, node

SCALARS = {
    name: np.float32(value)
    for name, value in {
        "half": 0.5,
        "one": 1,
        "root": np.sqrt(2),
        "three": 3,
        "low": 0,
        "six": 6,
    }.items()
}
# name: nodes from "c" to "f"
FUNCTIONS: dict[str, list[onnx.NodeProto]] = {
    "silu": [node("Sigmoid", ["c"], ["s"]), node("Mul", ["c", "s"], ["f"])],
    "hard-swish": [node("HardSwish", ["c"], ["f"])],
    "hard-swish-written-out": [
        node("Add", ["c", "three"], ["a"]),
        node("Clip", ["a", "low", "six"], ["l"]),
        node("Mul", ["c", "l"], ["m"]),
        node("Div", ["m", "six"], ["f"]),
    ],
    "gelu-written-out": [
        node("Div", ["c", "root"], ["q"]),
        node("Erf", ["q"], ["e"]),
        node("Add", ["e", "one"], ["a"]),
        node("Mul", ["c", "a"], ["m"]),
        node("Mul", ["m", "half"], ["f"]),
    ],
    "mish-written-out": [
        node("Softplus", ["c"], ["p"]),
        node("Tanh", ["p"], ["t"]),
        node("Mul", ["t", "c"], ["f"]),
    ],
    "elu": [node("Elu", ["c"], ["f"], alpha=0.7)],
    "prelu": [node("PRelu", ["c", "slope"], ["f"])],
    "prelu-per-channel": [node("PRelu", ["c", "slopes"], ["f"])],
    "one-minus-tanh": [node("Tanh", ["c"], ["t"]), node("Sub", ["one", "t"], ["f"])],
    "max": [node("Max", ["c", "half"], ["f"])],
    "linear-resize": [node("Resize", ["c", "", "scales"], ["f"], mode="linear")],
    "space-to-depth": [node("SpaceToDepth", ["c"], ["f"], blocksize=1)],
}


def residual(name: str) -> ir.Model:
    """A convolution, the function, and a sum of it with a second convolution of it."""
    constants = {
        **SCALARS,
        "w1": floats(8, 3, 3, 3) / 3,
        "b1": floats(8, seed=1),
        "w2": floats(8, 8, 3, 3, seed=2) / 6,
        "w3": floats(4, 8, 1, 1, seed=3) / 3,
        "slope": np.float32([0.2]),
        "slopes": np.linspace(0.1, 0.9, 8, dtype=np.float32).reshape(8, 1, 1),
        "scales": np.float32([1, 1, 2, 2]),
    }
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
        *FUNCTIONS[name],
        node("Conv", ["f", "w2"], ["d"], pads=[1, 1, 1, 1]),
        node("Add", ["f", "d"], ["sum"]),
        node("Conv", ["sum", "w3"], ["y"]),
    ]
    used = {i for n in nodes for i in n.input}
    return model(nodes, {k: v for k, v in constants.items() if k in used}, (3, 12, 12))


def int8(float_model: ir.Model, x: np.ndarray) -> ir.Model:
    passes = passes_of(float_model, x, 32)
    part = QuantPart(samples=64, bias_correction=False)
    return quant.quantize(
        float_model, passes, activations="uint8", part=part, reduce_range=True
    ).model


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_quantisers_on_both_sides_and_none_inside(name: str) -> None:
    x = floats(64, 3, 12, 12, seed=9)
    found = int8(residual(name), x)
    made = {str(v.name): n for n in found.graph for v in n.outputs}
    for inner in FUNCTIONS[name][:-1]:
        users = {u.op_type for u, _ in made[str(inner.output[0])].outputs[0].uses()}
        assert "QuantizeLinear" not in users
    assert {u.op_type for u, _ in made["c"].outputs[0].uses()} == {"QuantizeLinear"}
    # x, c, f, d, the sum, y: each quantised once.
    counts = graph.count_ops(found)
    assert counts["QuantizeLinear"] == 6
    assert all(counts[op] == count for op, count in graph.count_ops(residual(name)).items())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_outputs_are_those_of_the_float_model(name: str) -> None:
    x = floats(64, 3, 12, 12, seed=9)
    expected = runtimes.run(runtimes.session(graph.to_bytes(residual(name))), x)
    got = runtimes.run(runtimes.session(graph.to_bytes(int8(residual(name), x))), x)
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.04 * expected.std()


def test_a_value_that_is_read_inside_ends_a_stretch() -> None:
    found = place(
        model(
            [
                node("Conv", ["x", "w"], ["c"]),
                node("HardSwish", ["c"], ["h"]),
                node("Conv", ["h", "w"], ["d"]),
                node("Tanh", ["h"], ["t"]),
                node("Add", ["t", "d"], ["s"]),
                node("Conv", ["s", "w"], ["y"]),
            ],
            {"w": floats(4, 4, 1, 1)},
            (4, 5, 5),
        ).graph
    )
    assert [n.op_type for n in found.nodes] == ["Conv", "HardSwish", "Conv", "Tanh", "Add", "Conv"]
    assert [[n.op_type for n in s.nodes] for s in found.stretches.values()] == [
        ["HardSwish"],
        ["Tanh"],
    ]
    assert {str(v.name) for v in found.sources} == {"x", "c", "h", "d", "t", "s", "y"}


def test_a_function_that_only_float_nodes_read_stays_float() -> None:
    found = place(
        model(
            [
                node("Conv", ["x", "w"], ["c"]),
                node("Sigmoid", ["c"], ["s"]),
                node("Mul", ["c", "s"], ["m"]),
                node("Softmax", ["m"], ["y"]),
            ],
            {"w": floats(4, 4, 1, 1)},
            (4, 5, 5),
        ).graph
    )
    assert [n.op_type for n in found.nodes] == ["Conv"]
    assert not found.stretches
    assert list(found.left.values()).count("Mul: nobody reads it in int8") == 1


def test_a_matrix_product_gives_its_function_float_numbers() -> None:
    found = place(
        model(
            [
                node("Gemm", ["x", "w"], ["g"]),
                node("Sigmoid", ["g"], ["s"]),
                node("Mul", ["g", "s"], ["m"]),
                node("Gemm", ["m", "w"], ["y"]),
            ],
            {"w": floats(6, 6)},
            (6,),
        ).graph
    )
    assert {str(v.name) for v in found.sources} == {"x", "m"}


def test_a_function_behind_a_join_is_not_split_by_a_relu_that_the_quantiser_does() -> None:
    found = place(
        model(
            [
                node("Conv", ["x", "w"], ["c"]),
                node("Tanh", ["c"], ["t"]),
                node("Relu", ["t"], ["r"]),
                node("Conv", ["r", "w"], ["y"]),
            ],
            {"w": floats(4, 4, 1, 1)},
            (4, 5, 5),
        ).graph
    )
    assert {str(v.name): str(s.name) for v, s in found.sources.items()}["r"] == "t"


def test_concat_quantises_what_is_float_when_something_else_is_int8() -> None:
    found = place(
        model(
            [
                node("Conv", ["x", "w"], ["c"]),
                node("Erf", ["x"], ["e"]),
                node("Concat", ["c", "e"], ["j"], axis=1),
                node("Conv", ["j", "v"], ["y"]),
            ],
            {"w": floats(4, 4, 1, 1), "v": floats(4, 8, 1, 1)},
            (4, 5, 5),
        ).graph
    )
    assert [n.op_type for n in found.nodes] == ["Conv", "Concat", "Conv"]
    assert {str(v.name) for v in found.sources} == {"x", "c", "e", "j", "y"}


def test_what_moves_integers_has_the_scale_of_its_input() -> None:
    found = place(
        model(
            [
                node("Conv", ["x", "w"], ["c"]),
                node("Gather", ["c", "i"], ["g"], axis=1),
                node("Tile", ["g", "n"], ["t"]),
                node("Conv", ["t", "v"], ["y"]),
            ],
            {
                "w": floats(4, 4, 1, 1),
                "v": floats(4, 2, 1, 1),
                "i": np.int64([0, 2]),
                "n": np.int64([1, 1, 2, 2]),
            },
            (4, 5, 5),
        ).graph
    )
    assert {str(v.name): str(r.name) for v, r in found.roots.items()} == {
        "x": "x",
        "c": "c",
        "g": "c",
        "t": "c",
        "y": "y",
    }
