"""Equalised channels: the same outputs, channels of one size in front of depthwise convolutions, nothing elsewhere."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from squeeze import quant
from squeeze.graph.values import constant
from squeeze.quant.output_error import output_errors
from squeeze.quant.repair.equalise import SMALLEST, equalise, factors
from squeeze.quant.runner import Runner, with_outputs
from squeeze.spec import QuantPart
from tests.feeds import interface_of, passes_of
from tests.graph.small import Array, floats, model, node, ops
from tests.graph.small import run as run_float
from tests.quant.channels import HARD_SWISH, SIZE, SIZES, C, network, samples

# name: (nodes between the convolutions, from a to b; whether constants alone change)
FUNCTIONS: dict[str, tuple[list[onnx.NodeProto], bool]] = {
    "relu": ([node("Relu", ["a"], ["b"])], True),
    "leaky-relu": ([node("LeakyRelu", ["a"], ["b"], alpha=0.1)], True),
    "prelu": ([node("PRelu", ["a", "slopes"], ["b"])], True),
    "hard-swish": (HARD_SWISH, False),
    "clip": ([node("Clip", ["a", "zero", "six"], ["b"])], False),
}


def largest(found: ir.Model, name: str) -> Array:
    runner = Runner(with_outputs(found, [name]), interface_of(found), whole_chunks=True)
    ((_, (values,)),) = runner.run({"x": samples()})
    return np.abs(values).max(axis=(0, 2, 3))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_outputs_are_the_same_and_channels_alike(name: str) -> None:
    between, constants_alone = FUNCTIONS[name]
    plain, x = network(between), samples()
    found, count = equalise(plain, passes_of(plain, x, 8), 16, functions=True)
    assert count == 1
    np.testing.assert_allclose(run_float(found, x), run_float(plain, x), rtol=1e-4, atol=1e-5)
    assert (ops(found) == ops(plain)) == constants_alone
    depthwise = next(n for n in found.graph if n.outputs[0].name == "d")
    before, after = largest(plain, "b"), largest(found, str(depthwise.inputs[0].name))
    np.testing.assert_allclose(after, before.max(), rtol=1e-4)
    # What is divided on one side is multiplied on the other, for both outputs of a channel.
    ratio = constant(depthwise.inputs[1]) / constant(
        next(n for n in plain.graph if n.outputs[0].name == "d").inputs[1]
    )
    np.testing.assert_allclose(ratio[:, 0, 0, 0], np.repeat(before / before.max(), 2), rtol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_int8_is_nearer_to_float(name: str) -> None:
    between, _ = FUNCTIONS[name]
    plain, x = network(between), samples()
    passes = passes_of(plain, x, 8)
    part = QuantPart(samples=16, observer="minmax", equalise=False)
    equal, _ = equalise(plain, passes, 16, functions=True)
    made = [quant.quantize(m, passes, activations="uint8", part=part).model for m in (plain, equal)]
    before, after = output_errors(plain, made, passes, 16)
    assert after < before / 2


def test_the_recipe_equalises_where_that_is_free() -> None:
    plain, x = network(FUNCTIONS["relu"][0]), samples()
    passes = passes_of(plain, x, 8)
    on, off = (
        quant.quantize(
            plain,
            passes,
            activations="uint8",
            part=QuantPart(samples=16, observer="minmax", equalise=equal),
        )
        for equal in (True, False)
    )
    after, before = output_errors(plain, [on.model, off.model], passes, 16)
    assert after < before / 2
    assert any(n.name == "equalised" for n in on.notes)
    assert not any(n.name == "equalised" for n in off.notes)


def test_functions_are_left_alone_where_that_is_not_asked_for() -> None:
    plain = network(HARD_SWISH)
    found, count = equalise(plain, passes_of(plain, samples(), 8), 16, functions=False)
    assert count == 0
    assert ops(found) == ops(plain)


LEFT: dict[str, ir.Model] = {
    # Somebody else reads what the depthwise convolution reads, or what the first one makes.
    "read-behind": network(
        [node("Relu", ["a"], ["b"])],
        [node("ReduceMax", ["b"], ["m"]), node("Add", ["d", "m"], ["y"])],
    ),
    "read-before": network(
        [node("Relu", ["a"], ["b"])],
        [node("ReduceMax", ["a"], ["m"]), node("Add", ["d", "m"], ["y"])],
    ),
    "not-depthwise": model(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "v"], ["y"]),
        ],
        {
            "w": floats(C, 3, 1, 1) * SIZES[:, None, None, None],
            "v": floats(4, C, 1, 1),
        },
        (3, SIZE, SIZE),
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_other_places_stay(name: str) -> None:
    plain = LEFT[name]
    found, count = equalise(plain, passes_of(plain, samples(), 8), 16, functions=True)
    assert count == 0
    assert ops(found) == ops(plain)


def test_channels_that_are_alike_stay() -> None:
    alike = model(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "v"], ["y"], group=C),
        ],
        {"w": np.ones((C, 3, 1, 1), np.float32), "v": floats(C, 1, 3, 3)},
        (3, SIZE, SIZE),
    )
    _, count = equalise(alike, passes_of(alike, samples(), 8), 16, functions=True)
    assert count == 0


def test_factors_by_hand() -> None:
    np.testing.assert_allclose(factors(np.array([4.0, 1.0, 0.0, 2.0])), [1, 0.25, 1, 0.5])
    np.testing.assert_allclose(factors(np.array([1.0, 1e-9])), [1, SMALLEST])
    np.testing.assert_allclose(factors(np.zeros(3)), 1)
