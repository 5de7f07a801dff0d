"""Products of two activations in int8: what is quantised, which kernels run, and the numbers by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from squeeze import graph, quant, runtimes
from squeeze.graph.values import constant
from squeeze.quant.activation_products import has_attention
from squeeze.quant.control import Trials
from squeeze.quant.place import PRODUCTS_OFF, place
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node

HEADS, WIDTH = 2, 8
PART = QuantPart(samples=64, observer="minmax", bias_correction=False, activation_products=True)


def attention(length: int | str = 6) -> ir.Model:
    """One layer of attention over x [batch, length, heads * width]: keys, values and queries of one product each."""
    size = HEADS * WIDTH
    nodes = [
        part
        for name in "qkv"
        for part in (
            node("MatMul", ["x", f"w{name}"], [name]),
            node("Reshape", [name, "split"], [f"{name}_heads"]),
            node(
                "Transpose",
                [f"{name}_heads"],
                [f"{name}_first"],
                perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3],
            ),
        )
    ]
    nodes += [
        node("MatMul", ["q_first", "k_first"], ["scores"], name="scores_node"),
        node("Div", ["scores", "root"], ["scaled"]),
        node("Softmax", ["scaled"], ["p"], axis=-1),
        node("MatMul", ["p", "v_first"], ["mixed"], name="mixed_node"),
        node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]),
        node("Reshape", ["back", "join"], ["joined"]),
        node("MatMul", ["joined", "wo"], ["y"]),
    ]
    weights = {f"w{name}": floats(size, size, seed=i) / 4 for i, name in enumerate("qkvo")}
    shapes = {
        "split": np.array([0, 0, HEADS, WIDTH]),
        "join": np.array([0, 0, size]),
        "root": np.float32(WIDTH**0.5),
    }
    return model(nodes, {**weights, **shapes}, (length, size))


def by_transpose(rows: int, size: int) -> ir.Model:
    """x times its transpose."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["x", "t"], ["y"]),
    ]
    return model(nodes, {}, (rows, size))


def quantised(found: ir.Model, x: Array, part: QuantPart = PART, dtype: str = "uint8") -> ir.Model:
    passes = passes_of(found, x)
    return quant.quantize(
        found,
        passes,
        activations=dtype,  # type: ignore[arg-type]
        part=part,
        reduce_range=True,
    ).model


def optimised(found: ir.Model, folder: Path, *, signed: bool = False) -> Counter[str]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    if signed:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    ort.InferenceSession(graph.to_bytes(found), options, providers=["CPUExecutionProvider"])
    return Counter(n.op_type for n in onnx.load(folder / "optimised.onnx").graph.node)


def outputs(found: ir.Model, x: Array) -> Array:
    return runtimes.run(runtimes.session(graph.to_bytes(found)), x)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_both_products_of_attention_run_on_integers(dtype: str, tmp_path: Path) -> None:
    found = quantised(attention(), floats(64, 6, 16), dtype=dtype)
    fused = optimised(found, tmp_path, signed=dtype == "int8")
    # Scores are for a float Softmax; what they weigh is for the last product, which reads integers.
    assert fused["MatMul"] == fused["FusedMatMul"] == 0
    assert fused["QLinearMatMul"] >= 1
    assert fused["QLinearMatMul"] + fused["MatMulIntegerToFloat"] == 6


def test_a_length_that_is_open_stays_open() -> None:
    found = attention("length")
    x = floats(64, 6, 16)
    result = quantised(found, x)
    for length in (1, 3, 11):
        other = floats(4, length, 16, seed=length)
        got, wanted = outputs(result, other), outputs(found, other)
        assert got.shape == (4, length, 16)
        assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.1 * wanted.std()


@pytest.mark.parametrize("size", [5, 300], ids=["few-terms", "many-terms"])
def test_the_numbers_are_those_of_dequantised_operands(size: int) -> None:
    """All at the ends of their ranges: CPUs that add pairs of products in 16 bits would saturate."""
    found = by_transpose(4, size)
    x = np.where(floats(32, 4, size) > 0.5, -1.0, 1.25).astype(np.float32)
    result = quantised(found, x)
    scale = np.float32(2.25 / 255)  # of [-1, 1.25], with 0 at 113.3
    real = np.where(x < 0, 0 - 113, 255 - 113) * np.float64(scale)
    np.testing.assert_allclose(outputs(result, x), real @ real.transpose(0, 2, 1), rtol=1e-4)


def test_a_value_times_its_transpose_has_one_grid() -> None:
    found = by_transpose(5, 7)
    placed = place(found.graph, activation_products=True)
    assert [n.op_type for n in placed.nodes] == ["Transpose", "MatMul"]
    assert {v.name: r.name for v, r in placed.roots.items()} == {"x": "x", "t": "x"}
    x = floats(32, 5, 7)
    ops = graph.count_ops(quantised(found, x))
    result = quantised(found, x)
    assert ops["QuantizeLinear"] == 2  # one of x, one behind the integers that were moved
    # Both sides are the same numbers, so that the result is symmetric to the last bit but for the order of sums.
    y = outputs(result, x)
    np.testing.assert_allclose(y, y.transpose(0, 2, 1), atol=1e-5)
    assert np.sqrt(np.mean((y - x @ x.transpose(0, 2, 1)) ** 2)) < 0.02 * y.std()


def test_a_value_times_itself_is_quantised_once() -> None:
    found = model([node("MatMul", ["x", "x"], ["y"])], {}, (6, 6))
    x = floats(32, 6, 6)
    result = quantised(found, x)
    assert graph.count_ops(result)["QuantizeLinear"] == 1
    np.testing.assert_allclose(outputs(result, x), x @ x, atol=0.35)


def test_products_stay_float_unless_they_are_asked_for() -> None:
    found = attention()
    assert list(place(found.graph).left.values()).count(PRODUCTS_OFF) == 2
    assert [n.op_type for n in place(found.graph).nodes] == ["MatMul"] * 4
    assert set(place(found.graph, activation_products=True).left.values()) == {
        "Div: the runtime has no int8 kernel for it",
        "Softmax: the runtime has no int8 kernel for it",
    }


def test_a_vector_stays_float() -> None:
    found = model(
        [node("Reshape", ["x", "flat"], ["v"]), node("MatMul", ["v", "v"], ["y"])],
        {"flat": np.array([-1])},
        (3,),
    )
    placed = place(found.graph, activation_products=True)
    assert not placed.nodes
    assert "MatMul: a vector, or of a size that is not known" in placed.left.values()


@pytest.mark.parametrize("pattern", ["scores_node", "scores", "sc*s"])
def test_a_product_that_is_to_stay_float_stays_so(pattern: str, tmp_path: Path) -> None:
    part = PART.model_copy(update={"keep_float": (pattern,)})
    fused = optimised(quantised(attention(), floats(64, 6, 16), part), tmp_path)
    assert fused["MatMul"] + fused["FusedMatMul"] == 1
    assert fused["QLinearMatMul"] + fused["MatMulIntegerToFloat"] == 5


def test_accuracy_control_can_free_a_product(tmp_path: Path) -> None:
    found, x = attention(), floats(64, 6, 16)
    trials = Trials(found, passes_of(found, x), PART, activations="uint8", reduce_range=True)
    assert {"scores", "mixed"} <= trials.nodes.keys()
    fused = optimised(trials.built(["scores", "mixed"]), tmp_path)
    assert fused["MatMul"] + fused["FusedMatMul"] == 2
    assert trials.error(["scores", "mixed"]) < trials.error([])


def test_probabilities_take_the_whole_range_of_their_integers() -> None:
    """One of 64 probabilities is near 1 and all others are small: an observer that clips would cut it off."""
    found = model(
        [
            node("Softmax", ["x"], ["p"], axis=-1),
            node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            node("MatMul", ["p", "t"], ["y"]),
        ],
        {},
        (64, 64),
    )
    x = floats(16, 64, 64)
    x[:, 3, 5] = 20
    part = PART.model_copy(update={"observer": "percentile"})
    result = quantised(found, x, part)
    scale = constant(result.graph.initializers["p_scale"])
    assert scale is not None
    largest = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    assert float(scale) == pytest.approx(largest.max() / 255, rel=1e-4)


def test_attention_is_a_product_that_weighs_by_probabilities() -> None:
    assert has_attention(attention().graph)
    assert not has_attention(by_transpose(4, 8).graph)
