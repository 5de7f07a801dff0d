"""Scales of tensors that were always 0 stay where a kernel can round to them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph, quant, runtimes
from squeeze.graph.values import constant
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, model, node


def dead() -> ir.Model:
    """Behind the first convolution everything is 0; the last one adds its bias."""
    return model(
        [
            node("Conv", ["x", "w1", "b1"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("Conv", ["r", "w2"], ["d"]),
            node("Add", ["r", "d"], ["s"]),
            node("Conv", ["s", "w2", "b3"], ["y"]),
        ],
        {
            "w1": floats(4, 3, 1, 1),
            "b1": np.full(4, -1e3, np.float32),
            "w2": floats(4, 4, 1, 1, seed=1),
            "b3": floats(4, seed=2),
        },
        (3, 8, 8),
    )


def number(value: ir.Value | None) -> np.ndarray:
    found = constant(value)
    assert found is not None
    return found.astype(np.float64)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_products_of_dead_tensors_round_within_32_bits(activations: str) -> None:
    x = floats(16, 3, 8, 8)
    found = quant.quantize(
        dead(),
        passes_of(dead(), x),
        activations=activations,  # type: ignore[arg-type]
        part=QuantPart(samples=16),
        reduce_range=True,
    ).model
    convolutions = [n for n in found.graph if n.op_type == "Conv"]
    assert len(convolutions) == 3
    for conv in convolutions:
        source, weights, bias = (v.producer() for v in conv.inputs if v is not None)
        ((quantiser, _),) = conv.outputs[0].uses()
        assert source is not None
        assert weights is not None
        assert bias is not None
        w = np.abs(number(weights.inputs[0]).reshape(4, -1))
        bound = 255 * w.sum(axis=1) + np.abs(number(bias.inputs[0]))
        ratio = number(source.inputs[1]) * number(weights.inputs[1]) / number(quantiser.inputs[1])
        assert (bound * ratio < 2**31).all()
    expected = runtimes.run(runtimes.session(graph.to_bytes(dead())), x)
    got = runtimes.run(runtimes.session(graph.to_bytes(found)), x)
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_the_scale_of_a_dead_sum_is_near_those_of_what_it_is_made_from() -> None:
    opposite = model(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("Conv", ["x", "v"], ["b"]),
            node("Add", ["a", "b"], ["s"]),
            node("Conv", ["s", "u"], ["y"]),
        ],
        {"w": floats(4, 3, 1, 1), "v": -floats(4, 3, 1, 1), "u": floats(4, 4, 1, 1)},
        (3, 8, 8),
    )
    x = floats(16, 3, 8, 8)
    part = QuantPart(samples=16)
    found = quant.quantize(
        opposite, passes_of(opposite, x), activations="uint8", part=part, reduce_range=True
    ).model
    (add,) = (n for n in found.graph if n.op_type == "Add")
    ((quantiser, _),) = add.outputs[0].uses()
    for value in add.inputs:
        assert value is not None
        maker = value.producer()
        assert maker is not None
        assert number(maker.inputs[1]) < 2**20 * number(quantiser.inputs[1])
