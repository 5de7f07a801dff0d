"""People name nodes of their own file; what passes made of them stays float."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph
from squeeze.errors import ConfigError
from squeeze.graph.values import constant
from squeeze.quant.keep import kept, remember
from tests.feeds import feed_of, interface_of
from tests.graph.small import batch_norm, floats, model, node, norm_inputs

LAYERS = ("Conv", "Gemm")


def exporter_style(opset: int = 13) -> ir.Model:
    """Pad-Conv-BatchNormalization, a HardSwish written out, a second Conv, an Identity, a mean, MatMul + Add."""
    constants = {
        "w": floats(4, 3, 3, 3),
        "pads": np.asarray([0, 0, 1, 1, 0, 0, 1, 1]),
        "w2": floats(4, 4, 1, 1, seed=1),
        "m": floats(4, 5, seed=2),
        "b": floats(5, seed=3),
        "three": np.float32(3),
        "six": np.float32(6),
        "zero": np.float32(0),
        **batch_norm("n", 4),
    }
    nodes = [
        node("Pad", ["x", "pads"], ["padded"], name="stem/pad"),
        node("Conv", ["padded", "w"], ["c"], name="stem/conv"),
        node("BatchNormalization", ["c", *norm_inputs("n")], ["normal"], name="stem/bn"),
        node("Add", ["normal", "three"], ["shifted"], name="act/add"),
        node("Clip", ["shifted", "zero", "six"], ["ramp"], name="act/clip"),
        node("Div", ["ramp", "six"], ["gate"], name="act/div"),
        node("Mul", ["normal", "gate"], ["swish"], name="act/mul"),
        node("Conv", ["swish", "w2"], ["c2"], name="body/conv"),
        node("Identity", ["c2"], ["same"], name="body/same"),
        node("GlobalAveragePool", ["same"], ["p"], name="pool"),
        node("Flatten", ["p"], ["f"], name="flat"),
        node("MatMul", ["f", "m"], ["product"], name="head/matmul"),
        node("Add", ["product", "b"], ["y"], name="head/add"),
    ]
    return model(nodes, constants, (3, 6, 6), opset=opset)


def became(patterns: list[str], opset: int = 13) -> list[str]:
    """The operators of the nodes that stay float, in the order of the graph."""
    found = exporter_style(opset)
    x = floats(2, 3, 6, 6)
    before = remember(found, patterns)
    done = graph.optimise(found, feed_of(found, x), interface_of(found))
    assert done.undone == {}
    again = ir.serde.deserialize_model(ir.serde.serialize_model(found))
    stay = kept(again, patterns, before)
    return [
        n.op_type + (f" {constant(n.inputs[1]).shape[1]}" if n.op_type == "Conv" else "")  # type: ignore[union-attr]
        for n in again.graph
        if n.outputs[0].name in stay
    ]


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize(
    ("pattern", "operators"),
    [
        ("stem/pad", ["Conv 3"]),
        ("padded", ["Conv 3"]),
        ("stem/conv", ["Conv 3"]),
        ("BatchNormalization", ["Conv 3"]),
        ("normal", ["Conv 3"]),
        ("act/add", ["HardSigmoid"]),
        ("Clip", ["HardSigmoid"]),
        ("Div", ["HardSigmoid"]),
        ("HardSigmoid", ["HardSigmoid"]),
        ("act/mul", ["Mul"]),
        ("act/*", ["HardSigmoid", "Mul"]),
        ("body/same", ["Conv 4"]),
        ("MatMul", ["Gemm"]),
        ("head/add", ["Gemm"]),
        ("product", ["Gemm"]),
        ("Gemm", ["Gemm"]),
    ],
)
def test_what_a_node_of_the_file_became_stays_float(
    pattern: str, operators: list[str], opset: int
) -> None:
    assert became([pattern], opset) == operators


def test_several_patterns_are_each_followed() -> None:
    assert became(["stem/bn", "MatMul"]) == ["Conv 3", "Gemm"]


def test_names_that_come_near_are_those_of_the_file() -> None:
    with pytest.raises(ConfigError, match=r"'stem/bm'.*'stem/bn'.*BatchNormalization.*MatMul"):
        became(["stem/bm"])


def test_graph_in_which_nobody_named_anything_has_no_marks() -> None:
    found = exporter_style()
    remember(found, [])
    x = floats(2, 3, 6, 6)
    graph.optimise(found, feed_of(found, x), interface_of(found))
    assert not any(n.metadata_props for n in found.graph)
