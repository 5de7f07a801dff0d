"""Convolutions of all kinds against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert: pip install squeeze[litert]")

from squeeze import tflite
from squeeze.errors import UnsupportedError
from tests.tflite.models import Net, agrees, agrees_int8, net, node, normal, operators, saved

CASES = {
    "same": dict(k=(3, 3), pads=[1, 1, 1, 1]),
    "odd size, stride 2": dict(k=(3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
    "uneven pads": dict(k=(3, 5), pads=[2, 0, 1, 3]),
    "uneven strides": dict(k=(2, 3), strides=[1, 3]),
    "dilated": dict(k=(3, 3), pads=[2, 2, 2, 2], dilations=[2, 2]),
    "one by one": dict(k=(1, 1)),
    "same upper": dict(k=(4, 4), auto_pad="SAME_UPPER", strides=[2, 2]),
    "same lower": dict(k=(4, 4), auto_pad="SAME_LOWER", strides=[2, 2]),
    "groups": dict(k=(3, 3), pads=[1, 1, 1, 1], group=2),
    "depthwise": dict(k=(3, 3), pads=[1, 1, 1, 1], group=4, out=4),
    "depthwise multiplier": dict(k=(3, 3), pads=[0, 1, 1, 0], group=4, out=12),
    "depthwise stride 2": dict(k=(5, 5), pads=[2, 2, 2, 2], strides=[2, 2], group=4, out=4),
    "depthwise dilated": dict(k=(3, 3), pads=[2, 2, 2, 2], dilations=[2, 2], group=4, out=4),
}


def conv(k: tuple[int, ...], out: int = 6, group: int = 1, **attributes: object) -> Net:
    weights = normal(out, 4 // group, *k, seed=1, scale=0.3)
    sizes = [11, 14][: len(k)]
    return net(
        [node("Conv", "x w b", group=group, **attributes)],
        {"x": ["n", 4, *sizes]},
        {"w": weights, "b": normal(out, seed=2)},
        weights={"w": 0},
        biases={"b": ("x", "w")},
    )


@pytest.mark.parametrize("case", CASES)
def test_a_convolution(case: str, tmp_path: Path) -> None:
    agrees(conv(**CASES[case]), tmp_path)  # type: ignore[arg-type]
    agrees_int8(conv(**CASES[case]), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ["same", "odd size, stride 2", "depthwise"])
def test_a_convolution_that_needs_no_pad_of_its_own_has_none(case: str, tmp_path: Path) -> None:
    found = operators(agrees(conv(**CASES[case]), tmp_path))  # type: ignore[arg-type]
    # Size 11 with stride 2 and pads of 1 is SAME, size 14 is not.
    assert ("PAD" in found) == (case == "odd size, stride 2")
    assert "TRANSPOSE" not in found


@pytest.mark.parametrize("group", [1, 4])
def test_a_convolution_of_sequences(group: int, tmp_path: Path) -> None:
    made = conv((5,), group=group, out=8, pads=[2, 1], strides=[2])
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)


def test_no_bias_and_one_scale_for_all_weights(tmp_path: Path) -> None:
    made = net(
        [node("Conv", "x w", pads=[1, 1, 1, 1])],
        {"x": [1, 3, 7, 5]},
        {"w": normal(4, 3, 3, 3)},
        weights={"w": 0},
    )
    agrees(made, tmp_path)
    agrees_int8(made, tmp_path)


@pytest.mark.parametrize("behind", ["Relu", "Clip6", "Clip1", "Clip3"])
def test_what_cuts_behind_a_convolution(behind: str, tmp_path: Path) -> None:
    made = conv((3, 3), pads=[1, 1, 1, 1])
    made.bare = frozenset({"c"})
    made.nodes = [node("Conv", "x w b", "c", pads=[1, 1, 1, 1])]
    limit = float(behind[4:] or 0)
    if limit:
        made.nodes.append(node("Clip", "c low high"))
        made.constants |= {"low": np.float32(-1 if limit == 1 else 0), "high": np.float32(limit)}
    else:
        made.nodes.append(node("Relu", "c"))
    found = operators(agrees(made, tmp_path))
    assert found == (["CONV_2D", "MAXIMUM", "MINIMUM"] if behind == "Clip3" else ["CONV_2D"])
    assert operators(agrees_int8(made, tmp_path)) == ["CONV_2D"]


TRANSPOSED = {
    "same": dict(k=(4, 4), strides=[2, 2], pads=[1, 1, 1, 1]),
    "valid": dict(k=(2, 2), strides=[2, 2]),
    "odd": dict(k=(3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "cut": dict(k=(3, 5), strides=[1, 2], pads=[2, 1, 0, 3]),
    "dilated": dict(k=(3, 2), strides=[2, 1], dilations=[2, 3], pads=[1, 0, 2, 1]),
    "places that nothing reaches": dict(k=(2, 3), strides=[3, 3], output_padding=[2, 1]),
    "groups": dict(k=(2, 2), strides=[2, 2], group=2),
    "sequence": dict(k=(4,), strides=[2], pads=[1, 1]),
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_a_transposed_convolution(case: str, tmp_path: Path) -> None:
    given = dict(TRANSPOSED[case])
    k, group = given.pop("k"), given.get("group", 1)
    assert isinstance(k, tuple)
    assert isinstance(group, int)
    sizes = [5, 6][: len(k)]
    made = net(
        [node("ConvTranspose", "x w b", **given)],
        {"x": ["n", 4, *sizes]},
        {"w": normal(4, 6 // group, *k, seed=1, scale=0.3), "b": normal(6, seed=2)},
        weights={"w": 1},
        biases={"b": ("x", "w")} if group == 1 else {},
    )
    agrees(made, tmp_path)
    if group == 1:
        agrees_int8(made, tmp_path)


def test_a_normalisation_behind_a_transposed_convolution_is_folded(tmp_path: Path) -> None:
    norm = {name: normal(3, seed=i) for i, name in enumerate("sbm")}
    made = net(
        [node("ConvTranspose", "x w", "c"), node("BatchNormalization", "c s b m v")],
        {"x": [1, 2, 4, 5]},
        {"w": normal(2, 3, 3, 3), "v": np.abs(normal(3, seed=3)) + 0.1} | norm,
    )
    assert operators(agrees(made, tmp_path)) == ["TRANSPOSE_CONV"]


def test_pads_that_follow_from_a_shape_are_refused(tmp_path: Path) -> None:
    made = net(
        [node("ConvTranspose", "x w", strides=[2, 2], output_shape=[7, 7])],
        {"x": [1, 2, 4, 4]},
        {"w": normal(2, 3, 3, 3)},
    )
    with pytest.raises(
        UnsupportedError, match="node 'ConvTranspose y': ConvTranspose: its pads follow"
    ):
        tflite.write(saved(tmp_path / "net.onnx", made), tmp_path / "net.tflite")
    assert not (tmp_path / "net.tflite").exists()


def test_a_kernel_that_is_computed_is_refused(tmp_path: Path) -> None:
    made = net([node("Conv", "x w")], {"x": [1, 2, 4, 4], "w": [2, 2, 3, 3]})
    ((name, why),) = tflite.refusals(saved(tmp_path / "net.onnx", made))
    assert name == "Conv y"
    assert "kernel is computed when the model runs" in why
