"""Safe weights against sums worked out by hand: 255 * 128 = 32640 fits into int16, 255 * 129 = 32895 does not."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph, quant
from squeeze.old_x86.at_risk import at_risk
from squeeze.old_x86.saturation import Pairs, repaired, safe_scales, unsafe, worst_sums
from squeeze.quant.ranges.grid import Grid, quantise_weights
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, model, node
from tests.quant.families import inputs
from tests.quant.families import model as family

GRID = Grid(np.dtype(np.uint8))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([127, 1], False),
        ([127, 2], True),
        ([64, 64], False),
        ([-127, -1], False),
        ([-127, -2], True),
        ([127, -127], False),
        ([-128], False),
        ([100, 0, 100, 0], False),
        ([0, 100, 100, 0], False),
        ([0, 0, 100, 100], True),
    ],
    ids=str,
)
def test_two_neighbours_are_safe_up_to_a_sum_of_128(weights: list[int], expected: bool) -> None:
    assert unsafe(np.array([weights], np.int8)).tolist() == [expected]


def test_any_two_weights_are_neighbours_when_the_runtime_is_unknown() -> None:
    weights = np.array([[100, 0, 100, 0], [100, -100, 0, 28], [-100, 5, 5, -29]], np.int8)
    assert unsafe(weights, pairs="any").tolist() == [True, False, True]
    assert worst_sums(weights, pairs="any").tolist() == [255 * 200, 255 * 128, 255 * -129]


def test_neighbours_of_a_convolution_are_channels_of_one_position() -> None:
    weights = np.zeros((2, 2, 1, 2), np.int8)
    weights[0, 0, 0, :] = 100  # one channel at two positions
    weights[1, :, 0, 0] = 100  # two channels at one position
    assert unsafe(weights).tolist() == [False, True]
    assert worst_sums(weights).tolist() == [25500, 51000]


def test_smaller_activations_leave_more_room() -> None:
    # 127 * (127 + 127) = 32258, 130 * 254 = 33020
    weights = np.array([[127, 127]], np.int8)
    assert not unsafe(weights, most=127).any()
    assert unsafe(weights, most=130).all()


@pytest.mark.parametrize(
    ("weights", "scale"),
    [
        ([1.27, 0.01], 0.01),  # 127 + 1
        ([1.27, 0.02], 1.27 / 126.5),  # 126 + 2; a half is rounded to even
        ([1.0, 1.0], 1 / 64.5),  # 64 + 64
        ([-1.0, -1.0], 1 / 64.5),
        ([1.0, -1.0], 1 / 127),
        ([1.0], 1 / 127),
        ([1.0, 0.0, 1.0, 0.0], 1 / 127),
    ],
    ids=str,
)
def test_safe_scale_is_the_smallest_that_fits(weights: list[float], scale: float) -> None:
    assert safe_scales(np.array([weights])) == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize("pairs", ["any", "runtime"])
@pytest.mark.parametrize("shape", [(32, 6, 3, 3), (16, 5, 7), (40, 33), (8, 1)], ids=str)
def test_safe_scales_of_random_weights_cost_at_most_a_bit(
    shape: tuple[int, ...], pairs: Pairs
) -> None:
    weights = np.random.default_rng(0).standard_t(4, size=shape)
    scales = safe_scales(weights, pairs=pairs)
    least = np.abs(weights).reshape(len(weights), -1).max(axis=1) / 127
    assert not unsafe(quantise_weights(weights, scales, GRID), pairs=pairs).any()
    assert (scales >= least * (1 - 1e-6)).all()
    assert (scales <= least * 2 * (1 + 1e-6)).all()
    wider = scales > least * (1 + 1e-6)
    smaller = quantise_weights(weights, scales * np.float32(1 - 1e-6), GRID)
    assert unsafe(smaller, pairs=pairs)[wider].all()


def test_zero_weights_have_a_scale() -> None:
    assert (safe_scales(np.zeros((2, 4))) > 0).all()


def test_repair_takes_from_the_weight_that_was_rounded_up_most() -> None:
    integers = np.array([[65, 64, 127, 127], [-65, -64, 3, 127]], np.int8)
    steps = np.array([[64.4, 63.9, 127.0, 1.5], [-64.9, -63.2, 3.0, 127.0]])
    found = repaired(integers, steps)
    assert found.tolist() == [[64, 64, 127, 1], [-65, -63, 2, 126]]


@pytest.mark.parametrize("pairs", ["any", "runtime"])
def test_repair_leaves_safe_channels_alone_and_makes_the_others_safe(pairs: Pairs) -> None:
    weights = np.random.default_rng(0).normal(size=(16, 6, 3, 3))
    weights[:8] *= 0.4
    steps = weights * 40
    integers = np.clip(np.rint(steps), -127, 127).astype(np.int8)
    found = repaired(integers, steps, pairs=pairs)
    before = unsafe(integers, pairs=pairs)
    assert before.any()
    assert not before.all()
    assert not unsafe(found, pairs=pairs).any()
    np.testing.assert_array_equal(found[~before], integers[~before])
    assert (np.abs(found.astype(int)) <= np.abs(integers.astype(int))).all()


def quantised(float_model: ir.Model, x: np.ndarray, *, safe: bool) -> ir.Model:
    part = QuantPart(samples=len(x), bias_correction=False)
    return quant.quantize(
        float_model, passes_of(float_model, x), activations="uint8", part=part, reduce_range=safe
    ).model


def test_layers_at_risk_are_the_same_in_every_form_of_the_file() -> None:
    x = inputs("residual", 8)
    plain = quantised(family("residual"), x, safe=False)
    lowered = graph.lower(plain)[0]
    assert any(n.op_type.startswith("QConv") for n in lowered.graph)
    expected = [(r.channels, r.channels_at_risk, r.worst_sum) for r in at_risk(plain)]
    assert len(expected) == 9  # all convolutions
    found = [(r.channels, r.channels_at_risk, r.worst_sum) for r in at_risk(lowered)]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("name", ["residual", "depthwise", "signal", "dense"])
def test_reduced_range_leaves_no_layer_at_risk(name: str) -> None:
    x = inputs(name, 8)
    assert at_risk(quantised(family(name), x, safe=False))
    assert at_risk(quantised(family(name), x, safe=True)) == []


def test_risk_says_channels_and_worst_sum() -> None:
    weights = np.zeros((3, 4, 1, 1), np.float32)
    weights[0, :2, 0, 0] = 1.0
    weights[1, ::2, 0, 0] = -1.0
    weights[2, 2:, 0, 0] = (-1.0, -0.5)
    float_model = model([node("Conv", ["x", "w"], ["y"])], {"w": weights}, (4, 5, 5))
    found = at_risk(quantised(float_model, floats(8, 4, 5, 5), safe=False))
    assert [(r.channels, r.channels_at_risk, r.worst_sum) for r in found] == [
        (3, 2, 255 * 254),
    ]


def test_depthwise_convolutions_are_not_at_risk() -> None:
    weights = np.ones((4, 1, 3, 3), np.float32)
    float_model = model([node("Conv", ["x", "w"], ["y"], group=4)], {"w": weights}, (4, 5, 5))
    assert at_risk(quantised(float_model, floats(8, 4, 5, 5), safe=False), pairs="any") == []


def test_codebooks_are_looked_into() -> None:
    found, expected = at_risk(graph.lower(few_levels())[0]), at_risk(few_levels())
    assert [r.op_type for r in found] == ["QCodebookConv", "QConv"]
    assert abs(found[0].worst_sum) == 255 * 254
    assert [(r.channels_at_risk, r.worst_sum) for r in found] == [
        (r.channels_at_risk, r.worst_sum) for r in expected
    ]


def few_levels() -> ir.Model:
    """Two int8 convolutions, the first with four different weights; the products of both can saturate."""
    choices = np.array([-1.0, -0.3, 0.3, 1.0], np.float32)
    weights = choices[np.random.default_rng(0).integers(0, 4, (32, 32, 3, 3))]
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Conv", ["c", "v"], ["y"])]
    float_model = model(nodes, {"w": weights, "v": floats(4, 32, 1, 1)}, (32, 6, 6))
    return quantised(float_model, floats(8, 32, 6, 6), safe=False)
