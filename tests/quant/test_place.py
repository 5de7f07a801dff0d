"""Which nodes are computed in int8, which activations disappear, and why the rest stays float."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.quant.place import place
from squeeze.quant.prepared import inferred
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
