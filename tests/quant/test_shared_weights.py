"""Weights that several nodes read are in the file once, whatever their inputs and biases are."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph, quant, runtimes
from squeeze.quant.bits.sensitivity import sensitivity
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node

STEPS, WIDTH = 6, 32
X = floats(64, WIDTH, seed=9)


def unrolled(bias: float = 1.0) -> ir.Model:
    """A recurrent net of six steps, written out: every step multiplies by the same matrix."""
    nodes = [node("Gemm", ["x", "w", "b"], ["h0"]), node("Relu", ["h0"], ["r0"])]
    for i in range(1, STEPS):
        nodes.append(node("Gemm", [f"r{i - 1}", "w", "b"], [f"h{i}"], name=f"step{i}"))
        nodes.append(node("Relu", [f"h{i}"], ["y" if i == STEPS - 1 else f"r{i}"]))
    weights = {"w": floats(WIDTH, WIDTH) / 3, "b": bias * floats(WIDTH, seed=1)}
    return model(nodes, weights, (WIDTH,))


def matrices(found: ir.Model) -> list[ir.Value]:
    return [v for v in found.graph.initializers.values() if v.shape == (WIDTH, WIDTH)]


def run(found: ir.Model) -> Array:
    return runtimes.run(runtimes.session(graph.to_bytes(found)), X)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("adaround", [False, True])
def test_matrix_that_every_step_reads_is_in_the_file_once(bits: int, *, adaround: bool) -> None:
    found = unrolled()
    part = QuantPart(adaround=adaround)
    names = [f"h{i}" for i in range(STEPS)]
    result = quant.quantize(
        found,
        passes_of(found, X),
        activations="uint8",
        part=part,
        reduce_range=True,
        bits=dict.fromkeys(names, bits),
    )
    (matrix,) = matrices(result.model)
    assert matrix.dtype == ir.DataType.INT8
    wanted = run(found)
    error = np.sqrt(((run(result.model) - wanted) ** 2).mean() / wanted.var())
    assert error < (0.06 if bits == 8 else 0.8)


def test_a_bias_that_needs_a_wider_scale_in_one_step_leaves_the_others_their_own() -> None:
    found = unrolled()
    huge = floats(WIDTH, seed=1) + np.float32(3e6)
    found.graph.register_initializer(
        ir.Value(
            name="huge",
            const_value=ir.tensor(huge, name="huge"),
            shape=ir.Shape(huge.shape),
            type=ir.TensorType(ir.DataType.FLOAT),
        )
    )
    last = next(n for n in found.graph if n.name == f"step{STEPS - 1}")
    last.replace_input_with(2, found.graph.initializers["huge"])
    x = X * np.float32(1e-6)
    found.graph.initializers["b"].const_value = ir.tensor(np.zeros(WIDTH, np.float32), name="b")
    result = quant.quantize(
        found,
        passes_of(found, x),
        activations="uint8",
        part=QuantPart(bias_correction=False),
    )
    assert len(matrices(result.model)) == 2
    got = runtimes.run(runtimes.session(graph.to_bytes(result.model)), x)
    np.testing.assert_allclose(got, np.broadcast_to(huge, got.shape), rtol=0.01)


def test_one_matrix_read_both_ways_round_has_scales_for_each() -> None:
    nodes = [
        node("Gemm", ["x", "w"], ["a"]),
        node("Gemm", ["a", "w"], ["y"], transB=1),
    ]
    weights = floats(WIDTH, WIDTH)
    found = model(nodes, {"w": weights}, (WIDTH,))
    result = quant.quantize(
        found, passes_of(found, X), activations="uint8", part=QuantPart(bias_correction=False)
    )
    assert len(matrices(result.model)) == 2
    constants = result.model.graph.initializers.values()
    scales = [v.const_value.numpy() for v in constants if str(v.name).endswith("_weight_scale")]
    for axis, scale in enumerate(scales):
        np.testing.assert_allclose(scale, np.abs(weights).max(axis=axis) / 127, rtol=1e-6)


def test_sensitivity_of_steps_that_share_a_matrix_is_that_of_all_of_them() -> None:
    found = unrolled()
    rows = sensitivity(
        found, passes_of(found, X), activations="uint8", part=QuantPart(), bits=[2], samples=64
    )
    assert len({row.loss[2] for row in rows}) == 1
    assert rows[0].loss[2] > 2 * rows[0].loss[8]
