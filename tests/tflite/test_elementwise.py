"""Operators of each entry against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert: pip install squeeze[litert]")

from squeeze import tflite
from tests.tflite.models import Net, agrees, agrees_int8, net, node, normal, operators, saved

IMAGE = [1, 3, 5, 4]
# Operator -> what makes its input legal, and whether it has an int8 operator in TFLite.
ONE = {
    "Abs": False,
    "Ceil": False,
    "Cos": False,
    "Elu": True,
    "Exp": False,
    "Floor": False,
    "Gelu": True,
    "HardSwish": True,
    "LeakyRelu": True,
    "Neg": False,
    "Relu": True,
    "Round": False,
    "Sigmoid": True,
    "Sign": False,
    "Sin": False,
    "Tanh": True,
}


def behind_conv(*nodes: onnx.NodeProto, **constants: np.ndarray) -> Net:
    """The nodes read c, an image that a convolution has made channels last."""
    return net(
        [node("Conv", "x w", "c"), *nodes],
        {"x": IMAGE},
        {"w": normal(6, 3, 2, 2, scale=0.5), **constants},
        weights={"w": 0},
    )


@pytest.mark.parametrize("op", ONE)
def test_an_operator_of_one_value(op: str, tmp_path: Path) -> None:
    made = net([node(op, "x")], {"x": ["n", 37]})
    has_reference = op not in ("Ceil", "Elu", "Round")
    agrees(made, tmp_path, kernels=(True, False) if has_reference else (False,))
    found = operators(agrees_int8(made, tmp_path, reference=has_reference))
    assert ("DEQUANTIZE" in found) == (not ONE[op])


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh"])
def test_an_output_of_a_scale_that_tflite_has_not_fixed(op: str, tmp_path: Path) -> None:
    """int8 with its own fixed scale first, and QUANTIZE to the one that the ONNX file has."""
    made = net([node(op, "x")], {"x": ["n", 37]})
    assert operators(agrees_int8(made, tmp_path, symmetric=True))[1:] == ["QUANTIZE"]


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Reciprocal"])
def test_an_operator_of_positive_numbers(op: str, tmp_path: Path) -> None:
    agrees(net([node("Exp", "x", "e"), node(op, "e")], {"x": [1, 9]}), tmp_path)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Min", "Max"])
def test_two_values(op: str, tmp_path: Path) -> None:
    made = net([node("Exp", "z", "e"), node(op, "x e")], {"x": IMAGE, "z": IMAGE})
    agrees(made, tmp_path)
    made = net([node(op, "x z")], {"x": IMAGE, "z": IMAGE})
    if op != "Div":
        found = operators(agrees_int8(made, tmp_path))
        assert "DEQUANTIZE" not in found


@pytest.mark.parametrize("shape", [[6, 1, 1], [1, 6, 1, 1], [3], [4, 3], [], [1, 1, 4, 1]], ids=str)
@pytest.mark.parametrize("op", ["Add", "Mul", "Sub", "Div"])
def test_an_image_with_a_constant_of_any_rank(op: str, shape: list[int], tmp_path: Path) -> None:
    made = behind_conv(node(op, "c k"), k=np.abs(normal(*shape)) + np.float32(0.5))
    assert "TRANSPOSE" not in operators(agrees(made, tmp_path))


@pytest.mark.parametrize("op", ["Add", "Mul", "Sub", "Div"])
def test_an_int8_image_with_one_number(op: str, tmp_path: Path) -> None:
    made = behind_conv(node(op, "c k"), k=np.float32(0.7))
    assert "DEQUANTIZE" not in operators(agrees_int8(made, tmp_path, steps=2))  # one of c, one of y


def test_an_image_with_a_value_of_each_channel(tmp_path: Path) -> None:
    """A gate, as in squeeze and excitation."""
    made = behind_conv(
        node("GlobalAveragePool", "c", "g"), node("Sigmoid", "g", "s"), node("Mul", "c s")
    )
    assert "TRANSPOSE" not in operators(agrees(made, tmp_path))
    assert "TRANSPOSE" not in operators(agrees_int8(made, tmp_path))


def test_a_sum_of_three_and_a_least_of_three(tmp_path: Path) -> None:
    for op in ("Sum", "Min", "Max"):
        agrees(net([node(op, "x z u")], {"x": IMAGE, "z": IMAGE, "u": IMAGE}), tmp_path)


@pytest.mark.parametrize("shape", [[6, 1, 1], [1], [1, 6, 1, 1]], ids=str)
def test_a_prelu(shape: list[int], tmp_path: Path) -> None:
    made = behind_conv(node("PRelu", "c k"), k=np.abs(normal(*shape)) * np.float32(0.3))
    agrees(made, tmp_path)
    found = operators(
        agrees_int8(made, tmp_path, steps=2)
    )  # one of the convolution, one of the slope
    assert found == ["CONV_2D", "PRELU"]


@pytest.mark.parametrize("gate", ["Sigmoid", "HardSigmoid", "Tanh"])
def test_a_product_with_its_own_gate_stays_int8(gate: str, tmp_path: Path) -> None:
    """Quantisers put nothing between a gate and its product: the range of the gate is known."""
    how = {"alpha": 1 / 6, "beta": 0.5} if gate == "HardSigmoid" else {}
    made = behind_conv(node(gate, "c", "g", **how), node("Mul", "c g"))
    made.bare = frozenset({"g"})
    agrees(made, tmp_path)
    found = operators(agrees_int8(made, tmp_path, steps=2))  # one of c, one of the gate
    assert not {"DEQUANTIZE", "QUANTIZE"} & set(found)


def test_a_square_a_root_and_a_power(tmp_path: Path) -> None:
    for exponent in (2.0, 0.5, 3.0):
        made = net(
            [node("Exp", "x", "e"), node("Pow", "e k")], {"x": IMAGE}, {"k": np.float32(exponent)}
        )
        agrees(made, tmp_path)


@pytest.mark.parametrize("alpha", [1 / 6, 0.2])
def test_a_hard_sigmoid(alpha: float, tmp_path: Path) -> None:
    made = behind_conv(node("HardSigmoid", "c", alpha=alpha, beta=0.5))
    agrees(made, tmp_path)
    if alpha < 0.2:
        assert operators(agrees_int8(made, tmp_path))[1:] == ["ADD", "MUL"]


@pytest.mark.parametrize("limits", [(0.0, 6.0), (-1.0, 1.0), (-0.3, 0.4), (0.0, 1.0)], ids=str)
def test_a_clip_of_its_own(limits: tuple[float, float], tmp_path: Path) -> None:
    made = net(
        [node("Clip", "x low high")],
        {"x": [1, 37]},
        {"low": np.float32(limits[0]), "high": np.float32(limits[1])},
    )
    agrees(made, tmp_path)
    assert "DEQUANTIZE" not in operators(agrees_int8(made, tmp_path))


@pytest.mark.parametrize("behind", ["Conv", "Relu"])
def test_a_batch_normalisation(behind: str, tmp_path: Path) -> None:
    """It is folded into a convolution, and computed behind anything else."""
    read = "c" if behind == "Conv" else "r"
    made = behind_conv(
        *([] if behind == "Conv" else [node("Relu", "c", "r")]),
        node("BatchNormalization", f"{read} s b m v"),
        s=normal(6),
        b=normal(6, seed=1),
        m=normal(6, seed=2),
        v=np.abs(normal(6, seed=3)),
    )
    found = operators(agrees(made, tmp_path))
    assert found == (["CONV_2D"] if behind == "Conv" else ["CONV_2D", "MUL", "ADD"])


@pytest.mark.parametrize("form", ["x (1 + erf) / 2", "x / 2 (1 + erf)", "(1 + erf) / 2 x"])
def test_a_gelu_that_is_written_out(form: str, tmp_path: Path) -> None:
    nodes = [node("Div", "x root", "d"), node("Erf", "d", "e"), node("Add", "e one", "p")]
    if form == "x (1 + erf) / 2":
        nodes += [node("Mul", "x p", "m"), node("Mul", "m half")]
    elif form == "x / 2 (1 + erf)":
        nodes += [node("Mul", "x half", "m"), node("Mul", "m p")]
    else:
        nodes += [node("Mul", "p half", "m"), node("Mul", "m x")]
    constants = {"root": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}
    made = net(nodes, {"x": [1, 37]}, constants, bare=["d", "e", "p", "m"])
    assert operators(agrees(made, tmp_path)) == ["GELU"]
    assert operators(agrees_int8(made, tmp_path)) == ["GELU"]


def test_an_error_function_of_its_own_is_refused(tmp_path: Path) -> None:
    ((name, _),) = tflite.refusals(
        saved(tmp_path / "net.onnx", net([node("Erf", "x")], {"x": IMAGE}))
    )
    assert name == "Erf y"


def test_a_choice_and_a_cast(tmp_path: Path) -> None:
    chosen = np.asarray([True, False, True, True])
    agrees(net([node("Where", "k x z")], {"x": IMAGE, "z": IMAGE}, {"k": chosen}), tmp_path)
    agrees(net([node("Cast", "x", to=onnx.TensorProto.INT32)], {"x": IMAGE}), tmp_path)


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_a_comparison(op: str, tmp_path: Path) -> None:
    nodes = [
        node("Floor", "x", "f"),
        node("Floor", "z", "g"),
        node(op, "f g", "a"),
        node("Greater", "x z", "b"),
        node("And", "a b", "c"),
        node("Or", "c b", "d"),
        node("Not", "d", "e"),
        node("Where", "e x z"),
    ]
    agrees(net(nodes, {"x": IMAGE, "z": IMAGE}), tmp_path)


def test_an_elu_with_another_alpha_is_refused(tmp_path: Path) -> None:
    ((_, why),) = tflite.refusals(
        saved(tmp_path / "net.onnx", net([node("Elu", "x", alpha=0.5)], {"x": IMAGE}))
    )
    assert "alpha is not 1" in why
