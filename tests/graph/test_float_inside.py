"""Quantisers around what is computed in float, as tools put them around every operator."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.lower import made
from squeeze.graph.passes.float_inside import float_inside
from squeeze.graph.qdq import real_constant
from tests.graph.qdq import Net, images, lowered, outputs

WIDTH = 24
X = images(2, 5, WIDTH)
STEP = 0.03


class Stack(Net):
    """Rows of WIDTH numbers; `rounded` puts a quantiser behind each operator and around each constant."""

    def __init__(self, *, rounded: bool, opset: int) -> None:
        super().__init__(5, WIDTH, opset=opset)
        self.rounded = rounded

    def behind(self, x: str, scale: float = STEP, zero_point: int = 128) -> str:
        return self.quantise(x, scale, zero_point) if self.rounded else x

    def row(self, scale: float = 1 / 127) -> str:
        """In 8 bits, of which the float form is what they mean."""
        stored = self.rng.integers(-128, 128, WIDTH, dtype=np.int8)
        if self.rounded:
            zero = self.constant(np.int8(0))
            return self.add(
                "DequantizeLinear", self.constant(stored), self.constant(np.float32(scale)), zero
            )
        return self.constant(stored.astype(np.float32) * np.float32(scale))

    def norm(self, x: str, *, centred: bool) -> str:
        axes: dict[str, list[int]] = {"axes": [-1]}
        if centred:
            mean = self.add("ReduceMean", x, **axes)
            x = self.behind(self.add("Sub", x, mean))
        square = self.behind(self.add("Pow", x, self.constant(np.float32(2))), 0.2, 0)
        mean_square = self.behind(self.add("ReduceMean", square, **axes), 0.05, 0)
        inside = self.behind(self.add("Add", mean_square, self.constant(np.float32(1e-3))), 0.05, 0)
        root = self.behind(self.add("Sqrt", inside), 0.02, 0)
        normal = self.behind(self.add("Div", x, root))
        scaled = self.behind(self.add("Mul", normal, self.row())) if centred else None
        return (
            self.add("Add", scaled, self.row()) if scaled else self.add("Mul", normal, self.row())
        )


def block(*, centred: bool, rounded: bool, opset: int = 14) -> ir.Model:
    """x and a product of it with a bias are added and normalised; the next product reads that and adds to it."""
    net = Stack(rounded=rounded, opset=opset)
    x = net.quantise("x")
    weights = [net.weights(net.integers(WIDTH, WIDTH), 0.004, axis=1) for _ in "ab"]
    branch = net.behind(net.add("Add", net.behind(net.add("MatMul", x, weights[0])), net.row()))
    total = net.behind(net.add("Add", x, branch))
    y = net.quantise(net.norm(total, centred=centred), STEP, 128)
    return net.model(net.quantise(net.add("MatMul", y, weights[1]), STEP, 128))


@pytest.mark.parametrize("centred", [True, False])
def test_normalisation_in_rounded_parts_is_one_node_and_nearer_to_float(*, centred: bool) -> None:
    model, real = (block(centred=centred, rounded=rounded) for rounded in (True, False))
    result, counts, _ = lowered(model)
    assert made(result) == {"QGemm": 2, "QAddNorm": 1}
    assert counts["QAddNorm" if centred else "QAddRmsNormSum"] == 1
    assert not counts.keys() & {"Div", "Mul", "Pow", "ReduceMean", "Sqrt", "Sub"}
    wanted = outputs(real, X, optimise=False)[0]
    rounded = np.abs(outputs(model, X, optimise=False)[0] - wanted).mean()
    for native in (False, True):
        found = outputs(result, X, native=native)[0]
        assert np.abs(found - wanted).mean() < rounded


@pytest.mark.parametrize(("zero_point", "reads"), [(128, 1), (0, 0)])
def test_quantiser_that_may_be_a_relu_stays(zero_point: int, reads: int) -> None:
    """Tools leave out a Relu in front of a quantiser that begins at 0."""
    net = Stack(rounded=True, opset=18)
    product = net.add("MatMul", net.quantise("x"), net.weights(net.integers(WIDTH, WIDTH), axis=1))
    rounded = net.quantise(product, STEP, zero_point)
    model = net.model(net.quantise(net.add("Add", rounded, net.row()), STEP, 128))
    assert float_inside(model) == reads


def test_bias_behind_steps_that_are_coarser_than_its_own_stays() -> None:
    net = Stack(rounded=True, opset=18)
    product = net.add("MatMul", net.quantise("x"), net.weights(net.integers(WIDTH, WIDTH), axis=1))
    rounded = net.quantise(product, 7 * STEP, 128)
    assert float_inside(net.model(net.quantise(net.add("Add", rounded, net.row()), STEP, 128))) == 0


@pytest.mark.parametrize("per_number", [True, False])
def test_constant_that_is_stored_quantised_is_what_onnx_says(*, per_number: bool) -> None:
    net = Stack(rounded=True, opset=18)
    stored = np.array([0, 3, 255], np.uint8)
    scale = np.array([0.5, 0.25, 2], np.float32) if per_number else np.float32(0.5)
    zero = np.array([3, 3, 5], np.uint8) if per_number else np.uint8(3)
    parts = [net.constant(v) for v in (stored, scale, zero)]
    model = net.model(net.add("DequantizeLinear", *parts, axis=0))
    found = real_constant(model.graph.outputs[0])
    assert found is not None
    wanted = [-1.5, 0, 500] if per_number else [-1.5, 0, 126]
    np.testing.assert_array_equal(found, np.array(wanted, np.float32))
