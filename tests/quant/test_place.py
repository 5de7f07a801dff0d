"""Which nodes are computed in int8, which activations disappear, and why the rest stays float."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import quant
from squeeze.quant.place import place
from squeeze.quant.prepared import inferred
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, model, node

W = {"w": floats(4, 4, 1, 1), "w2": floats(4, 4, 1, 1, seed=1)}


def placed(graph: ir.Model) -> tuple[list[str], dict[str | None, str | None], list[str]]:
    found = place(graph.graph)
    return (
        [n.op_type for n in found.nodes],
        {value.name: source.name for value, source in found.sources.items()},
        sorted(set(found.left.values())),
    )


def test_relu_between_convolutions_is_absorbed() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "w2"], ["y"]),
        ],
        W,
        (4, 5, 5),
    )
    nodes, sources, left = placed(graph)
    assert nodes == ["Conv", "Conv"]
    assert sources == {"x": "x", "r": "c", "y": "y"}
    assert left == []


@pytest.mark.parametrize(
    ("low", "high", "absorbed"),
    [(0, 6, True), (-1, 1, True), (0.5, 1, False), (-2, -1, False)],
    ids=["relu6", "hard-tanh", "above-zero", "below-zero"],
)
def test_clip_is_absorbed_where_its_range_holds_zero(
    low: float, high: float, absorbed: bool
) -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Clip", ["c", "low", "high"], ["r"]),
            node("Conv", ["r", "w2"], ["y"]),
        ],
        {**W, "low": np.float32(low), "high": np.float32(high)},
        (4, 5, 5),
    )
    _, sources, _ = placed(graph)
    assert sources["r"] == ("c" if absorbed else "r")
    assert ("c" in sources) is not absorbed


def test_relu_of_a_sum_that_others_read_stays_a_node() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "w2"], ["d"]),
            node("Add", ["c", "d"], ["s"]),
            node("Conv", ["s", "w"], ["y"]),
        ],
        W,
        (4, 5, 5),
    )
    nodes, _, _ = placed(graph)
    assert nodes == ["Conv", "Relu", "Conv", "Add", "Conv"]


def test_passing_nodes_share_the_scale_of_their_input() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2]),
            node("Transpose", ["p"], ["t"], perm=[0, 1, 3, 2]),
            node("Conv", ["t", "w2"], ["y"]),
        ],
        W,
        (4, 5, 5),
    )
    found = place(graph.graph)
    assert {v.name: r.name for v, r in found.roots.items()} == {
        "x": "x",
        "c": "c",
        "p": "c",
        "t": "c",
        "y": "y",
    }


def test_last_product_keeps_its_float_output() -> None:
    graph = model(
        [
            node("Gemm", ["x", "w"], ["h"]),
            node("Relu", ["h"], ["r"]),
            node("Gemm", ["r", "w"], ["y"]),
        ],
        {"w": floats(6, 6)},
        (6,),
    )
    nodes, sources, _ = placed(graph)
    assert nodes == ["Gemm", "Gemm"]
    assert sources == {"x": "x", "r": "h"}


def test_what_the_graph_gives_is_integers_too_where_nothing_else_runs() -> None:
    graph = inferred(
        model(
            [
                node("Gemm", ["x", "w"], ["h"]),
                node("Relu", ["h"], ["r"]),
                node("MatMul", ["r", "w"], ["y"]),
            ],
            {"w": floats(6, 6)},
            (6,),
        )
    ).graph
    found = place(graph, integer_outputs=True)
    assert {v.name: source.name for v, source in found.sources.items()} == {
        "x": "x",
        "r": "h",
        "y": "y",
    }


def test_sum_that_only_float_nodes_read_is_no_island() -> None:
    graph = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Add", ["c", "c"], ["s"]),
            node("Erf", ["s"], ["y"]),
        ],
        W,
        (4, 5, 5),
    )
    nodes, _, left = placed(graph)
    assert nodes == ["Conv"]
    assert left == ["Add: nobody reads it in int8", "Erf: the runtime has no int8 kernel for it"]


def test_sum_of_float_values_stays_float() -> None:
    graph = model(
        [
            node("Erf", ["x"], ["e"]),
            node("Exp", ["x"], ["f"]),
            node("Add", ["e", "f"], ["s"]),
            node("Conv", ["s", "w"], ["y"]),
        ],
        W,
        (4, 5, 5),
    )
    nodes, sources, _ = placed(graph)
    assert nodes == ["Conv"]
    assert set(sources) == {"s", "y"}


def test_an_average_keeps_the_scale_that_it_reads_where_the_device_has_integers_alone() -> None:
    net = model(
        [node("Conv", ["x", "w"], ["c"]), node("GlobalAveragePool", ["c"], ["y"])], W, (4, 5, 5)
    )
    graph = inferred(net).graph
    for integers, root in ((True, "c"), (False, "y")):
        found = place(graph, integer_outputs=integers)
        roots = {str(value.name): str(of.name) for value, of in found.roots.items()}
        assert roots["y"] == root


# name: (node, reason)
REFUSED = {
    "alpha": (node("Gemm", ["x", "w"], ["y"], alpha=2.0), "Gemm: transA, alpha or beta"),
    "computed": (node("Gemm", ["x", "v"], ["y"]), "Gemm: its weights are computed"),
    "matrix-bias": (
        node("Gemm", ["x", "w", "b"], ["y"]),
        "Gemm: its bias is not one number per output",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_product_that_cannot_be_int8_is_left_with_the_reason(kind: str) -> None:
    last, reason = REFUSED[kind]
    graph = model([node("Exp", ["w"], ["v"]), last], {"w": floats(6, 6), "b": floats(1, 6)}, (6,))
    nodes, _, left = placed(graph)
    assert nodes == []
    assert reason in left


def test_products_with_a_constant_on_the_left_are_named_with_the_remedy() -> None:
    nodes = [
        node("MatMul", ["w", "x"], ["h"], name="first"),
        node("MatMul", ["v", "h"], ["y"], name="second"),
    ]
    found = model(nodes, {"w": floats(6, 4), "v": floats(3, 6, seed=1)}, (4, 2))
    made = quant.quantize(
        found, passes_of(found, floats(8, 4, 2)), activations="uint8", part=QuantPart()
    )
    (note,) = [n for n in made.notes if n.name == "int8"]
    assert note.why == (
        "'first', 'second': MatMul: its left operand is constant; int8 takes constants on the right: write W·x as x·W "
        "with W transposed, or as Gemm"
    )


def test_of_many_nodes_with_one_reason_some_are_named() -> None:
    nodes = [node("MatMul", [f"w{i}", f"h{i}"], [f"h{i + 1}"], name=f"m{i}") for i in range(5)]
    nodes[0].input[1], nodes[-1].output[0] = "x", "y"
    found = model(nodes, {f"w{i}": floats(4, 4, seed=i) for i in range(5)}, (4, 2))
    made = quant.quantize(
        found, passes_of(found, floats(8, 4, 2)), activations="uint8", part=QuantPart()
    )
    (note,) = [n for n in made.notes if n.name == "int8"]
    assert note.why.startswith("'m0', 'm1', 'm2' and 2 more: MatMul: its left operand")
