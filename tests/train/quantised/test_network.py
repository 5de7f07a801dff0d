"""The network in training: the logits, which values have grids, normalisation, ranges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
import torch

from squeeze.train.quantised import ranges
from squeeze.train.quantised.plan import plan
from tests.graph.small import floats, model, node
from tests.quant.families import inputs
from tests.quant.families import model as family
from tests.train.quantised.nets import forward, quantised, run, trainable


def classifier(last: str):
    """A dense layer in front of a final activation."""
    return model(
        [node("Gemm", ["x", "w"], ["z"]), node(last, ["z"], ["y"])], {"w": floats(6, 4)}, (6,)
    )


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid"])
def test_the_output_is_the_logits(last: str) -> None:
    x = floats(8, 6, seed=1)
    network = trainable(classifier(last), x)
    np.testing.assert_allclose(forward(network, x), x @ floats(6, 4), atol=1e-5)
    assert network.logits == "z"


def test_another_last_operator_is_part_of_it() -> None:
    x = floats(8, 6, seed=1)
    network = trainable(classifier("Tanh"), x)
    np.testing.assert_allclose(forward(network, x), run(classifier("Tanh"), x), atol=1e-5)


def test_plan_of_a_residual_by_hand() -> None:
    found = plan(
        model(
            [
                node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
                node("Clip", ["c1", "low", "high"], ["r1"]),
                node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
                node("Add", ["r1", "c2"], ["s"]),
                node("Relu", ["s"], ["r2"]),
                node("GlobalAveragePool", ["r2"], ["g"]),
                node("Flatten", ["g"], ["f"]),
                node("Gemm", ["f", "w3"], ["y"]),
            ],
            {
                "w1": floats(4, 3, 3, 3),
                "w2": floats(4, 4, 3, 3),
                "w3": floats(4, 5),
                "low": np.float32(0),
                "high": np.float32(6),
            },
            (3, 8, 8),
        )
    )
    assert found.weighted == ("c1", "c2", "y")
    assert found.read == {("c1", "x"): "x"}
    assert found.made == {n: n for n in ("r1", "c2", "r2", "g")}  # f has the grid of g
    assert found.absorbed == {"r1": "r1", "r2": "r2"}
    assert found.roots == ["c2", "g", "r1", "r2", "x"]


def test_values_are_on_their_grids() -> None:
    x = inputs("residual", 32)
    network = trainable(family("residual"), x)
    quantised(network, "lsq", 4, x)
    with torch.no_grad():
        values = network.values(torch.from_numpy(x))
    for value, root in network.plan.made.items():
        scale, zero = network.activation_grids()[root]
        steps = values[value] / scale
        assert (steps - steps.round()).abs().max() < 1e-3
        assert (steps.round() + zero).min() >= 0
        assert (steps.round() + zero).max() <= 255


def test_values_of_some_names_are_the_same() -> None:
    x = torch.from_numpy(inputs("residual", 4))
    network = trainable(family("residual"), x.numpy())
    with torch.no_grad():
        every = network.values(x)
        name = next(iter(network.plan.made))
        some = network.values(x, kept=(name,))
    assert torch.equal(every[name], some[name])
    assert torch.equal(every[network.logits], some[network.logits])
    assert len(some) < len(every)


def test_calibrate_takes_the_range_without_the_outermost_values() -> None:
    x = floats(64, 6, seed=1)
    x[0, 0] = 50.0
    network = trainable(classifier("Softmax"), x)
    ranges.prepare(network, 0, 255)
    np.testing.assert_allclose(forward(network, x), x @ floats(6, 4), atol=1e-4)  # still off
    ranges.calibrate(network, [torch.from_numpy(x)], 0, 255)
    ordered = np.sort(x.reshape(-1))
    last = len(ordered) - 1
    low, high = ordered[round(0.0001 * last)], ordered[round(0.9999 * last)]
    scale, zero = network.activation_grids()["x"]
    assert scale == pytest.approx((high - low) / 255, rel=1e-5)
    assert zero == round(-low / scale)


def test_calibrate_averages_over_batches() -> None:
    network = trainable(classifier("Softmax"), floats(8, 6))
    ranges.prepare(network, 0, 255)
    batches = [torch.full((4, 6), 3.0), torch.full((4, 6), 5.0)]
    ranges.calibrate(network, batches, 0, 255)
    scale, zero = network.activation_grids()["x"]
    assert (scale, zero) == (pytest.approx(4 / 255), 0)


def test_gains_stay_positive() -> None:
    network = trainable(family("residual"), inputs("residual", 8))
    norm = next(iter(network.norms.values()))
    with torch.no_grad():
        norm.weight[0], norm.weight[1] = -0.5, 2.0
    network.clamp_gains()
    assert 0 < norm.weight[0].item() <= 1e-6
    assert norm.weight[1].item() == 2


def test_estimate_norms_averages_over_batches_and_keeps_the_mode() -> None:
    x = inputs("residual", 32)
    network = trainable(family("residual"), x).eval()
    layer, output = next(iter(network.weighted.items()))
    network.estimate_norms(iter(torch.from_numpy(x).chunk(4)))
    assert not network.training
    norm = network.norms[layer]
    assert norm.momentum == 0.1
    weight = network.layers[layer].weight.detach()
    parts = [
        torch.nn.functional.conv2d(part, weight, padding=1) for part in torch.from_numpy(x).chunk(4)
    ]
    np.testing.assert_allclose(
        norm.running_mean, torch.stack([p.mean((0, 2, 3)) for p in parts]).mean(0), atol=1e-5
    )
    np.testing.assert_allclose(
        norm.running_var, torch.stack([p.var((0, 2, 3)) for p in parts]).mean(0), rtol=1e-4
    )
    assert output in network.plan.weighted


def test_zero_points_learn_where_values_have_both_signs() -> None:
    x = floats(64, 6, seed=1)
    network = trainable(classifier("Softmax"), x)
    ranges.prepare(network, 0, 255)
    ranges.calibrate(network, [torch.from_numpy(x)], 0, 255)
    ranges.learn_zeros(network)
    (quantiser,) = network.activations.values()
    # Far above the grid: the gradient of the offset in real numbers, -1 for each, by the step once more.
    far = torch.full((2, 6), 1e3)
    quantiser(far).sum().backward()
    gain = (6 * 255) ** -0.5
    assert quantiser.zero.grad.item() == pytest.approx(-12 * gain / quantiser.step.item(), rel=1e-4)
    positive = trainable(classifier("Softmax"), x)
    ranges.prepare(positive, 0, 255)
    ranges.calibrate(positive, [torch.from_numpy(np.abs(x))], 0, 255)
    ranges.learn_zeros(positive)
    (fixed,) = positive.activations.values()
    assert not fixed.zero.requires_grad


@pytest.mark.parametrize("use", [plan, lambda found: trainable(found, floats(8, 6, seed=1))])
def test_the_model_stays_as_it_was(use: Callable[[ir.Model], object]) -> None:
    found = classifier("Softmax")
    for one in found.graph:
        for value in one.outputs:
            value.shape = None
    before = ir.serde.serialize_model(found).SerializeToString(deterministic=True)
    use(found)
    assert ir.serde.serialize_model(found).SerializeToString(deterministic=True) == before
