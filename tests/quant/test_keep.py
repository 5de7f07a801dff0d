"""Nodes that stay float because somebody said so."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from squeeze import quant
from squeeze.errors import ConfigError
from squeeze.graph.values import producer
from squeeze.quant.keep import kept
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, model, node


def small() -> ir.Model:
    weights = {"w": floats(4, 4, 3, 3), "w2": floats(4, 4, 1, 1, seed=1), "m": floats(4, 3, seed=2)}
    nodes = [
        node("Conv", ["x", "w"], ["body.0"], pads=[1, 1, 1, 1], name="first"),
        node("Relu", ["body.0"], ["r"]),
        node("Conv", ["r", "w2"], ["head.0"], name="second"),
        node("GlobalAveragePool", ["head.0"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("MatMul", ["f", "m"], ["y"], name="head.last"),
    ]
    return model(nodes, weights, (4, 6, 6))


@pytest.mark.parametrize(
    ("patterns", "outputs"),
    [
        ([], set()),
        (["MatMul"], {"y"}),
        (["second"], {"head.0"}),
        (["body.*"], {"body.0"}),
        (["head.*"], {"head.0", "y"}),
        (["Conv", "head.last"], {"body.0", "head.0", "y"}),
    ],
)
def test_patterns_mean_operators_names_and_outputs(patterns: list[str], outputs: set[str]) -> None:
    assert kept(small(), patterns) == outputs


def test_pattern_that_nothing_fits_is_refused_with_what_is_near() -> None:
    with pytest.raises(ConfigError, match=r"'secnd'.*'second'.*Conv, Flatten") as caught:
        kept(small(), ["secnd"])
    assert "\n" not in str(caught.value)


def test_kept_layer_has_float_weights_and_no_quantiser_behind_it() -> None:
    part = QuantPart(keep_float=("second",), bias_correction=False)
    made = quant.quantize(
        small(), passes_of(small(), floats(8, 4, 6, 6)), activations="uint8", part=part
    ).model
    layers = {n.name: n for n in made.graph if n.op_type in ("Conv", "MatMul")}
    sources = {n: producer(at.inputs[1], "DequantizeLinear") for n, at in layers.items()}
    assert {name for name, source in sources.items() if source is None} == {"second"}
    assert {n.op_type for n, _ in layers["second"].outputs[0].uses()} == {"GlobalAveragePool"}


def test_nodes_by_output_are_kept_beside_those_of_the_recipe() -> None:
    part = QuantPart(keep_float=("second",), bias_correction=False)
    made = quant.quantize(
        small(),
        passes_of(small(), floats(8, 4, 6, 6)),
        activations="uint8",
        part=part,
        float_outputs={"body.0", "y"},
    )
    assert made.layers == []


def test_kept_activation_is_not_left_to_a_quantiser() -> None:
    part = QuantPart(keep_float=("Relu",), bias_correction=False)
    made = quant.quantize(
        small(), passes_of(small(), floats(8, 4, 6, 6)), activations="uint8", part=part
    ).model
    (relu,) = (n for n in made.graph if n.op_type == "Relu")
    assert producer(relu.inputs[0], "DequantizeLinear") is not None
    assert {n.op_type for n, _ in relu.outputs[0].uses()} == {"QuantizeLinear"}
