"""Nodes that stay float because somebody said so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from squeeze import graph, quant
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


def a_float_layer(op: str) -> ir.Model:
    """A convolution in int8, a layer that is to stay float, and one in int8 behind it."""
    first = {"w": floats(4, 4, 3, 3), "w2": floats(8, 4, 1, 1, seed=1), "m": floats(8, 3, seed=2)}
    nodes = [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1])]
    if op == "Conv":
        nodes.append(node("Conv", ["a", "w2", "b"], ["c"], name="kept"))
    elif op == "ConvTranspose":
        first["w2"] = floats(4, 8, 2, 2, seed=1)
        nodes.append(node("ConvTranspose", ["a", "w2", "b"], ["c"], strides=[2, 2], name="kept"))
    else:
        first["w2"] = floats(4, 8, seed=1)
        nodes.append(node("GlobalAveragePool", ["a"], ["p"]))
        nodes.append(node("Flatten", ["p"], ["f"]))
    if op == "Gemm":
        nodes.append(node("Gemm", ["f", "w2", "b"], ["c"], name="kept"))
    elif op == "MatMul":
        nodes.append(node("MatMul", ["f", "w2"], ["product"], name="kept"))
        nodes.append(node("Add", ["product", "b"], ["c"], name="added"))
    if "Conv" in op:
        first["m"] = floats(4, 8, 1, 1, seed=2)
        nodes.append(node("Conv", ["c", "m"], ["y"]))
    else:  # and one in int8 beside it, so that what both read is int8
        first["m2"] = floats(4, 3, seed=4)
        nodes.append(node("MatMul", ["c", "m"], ["behind"]))
        nodes.append(node("MatMul", ["f", "m2"], ["beside"]))
        nodes.append(node("Add", ["behind", "beside"], ["y"]))
    return model(nodes, first | {"b": floats(8, seed=3)}, (4, 6, 6))


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_the_runtime_leaves_the_weights_of_kept_layers_alone(op: str, tmp_path: Path) -> None:
    """It rounds those of float layers between DequantizeLinear and QuantizeLinear itself, one scale for all of them."""
    float_model = a_float_layer(op)
    part = QuantPart(keep_float=("kept", "added"), bias_correction=False)
    if op != "MatMul":
        part = part.model_copy(update={"keep_float": ("kept",)})
    made = quant.quantize(
        float_model, passes_of(float_model, floats(8, 4, 6, 6)), activations="uint8", part=part
    ).model
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as-it-runs.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(graph.to_bytes(made), options)
    run = onnx.load(tmp_path / "as-it-runs.onnx").graph
    stored = {tensor.name: tensor for tensor in run.initializer}
    kept_ops = ("Conv", "ConvTranspose", "FusedConv", "Gemm", "FusedGemm", "MatMul")
    layers = [n for n in run.node if n.op_type in kept_ops and n.input[1] in stored]
    assert layers
    wanted = float_model.graph.initializers["w2"].const_value.numpy()
    found = [onnx.numpy_helper.to_array(stored[n.input[1]]) for n in layers]
    assert any(w.shape == wanted.shape and np.array_equal(w, wanted) for w in found)
