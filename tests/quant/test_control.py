"""Accuracy control: the nodes that cost most come first, and no more of them are freed than are needed."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze.graph.values import constant
from squeeze.quant.control import Trials, fewest, ranked
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import floats, model, node

SAMPLES = 64


def network() -> ir.Model:
    """Three layers; the first has one input a thousand times as large as the others, which int8 cannot tell apart."""
    first = floats(8, 16)
    first[0] /= 1000
    weights = {"a": first, "b": floats(16, 16, seed=1), "c": floats(16, 4, seed=2)}
    nodes = [
        node("MatMul", ["x", "a"], ["ha"], name="first"),
        node("Relu", ["ha"], ["ra"]),
        node("MatMul", ["ra", "b"], ["hb"], name="second"),
        node("Relu", ["hb"], ["rb"]),
        node("MatMul", ["rb", "c"], ["y"], name="third"),
    ]
    return model(nodes, weights, (8,))


def trials() -> Trials:
    x = floats(SAMPLES, 8, seed=3)
    x[:, 0] *= 1000
    passes = passes_of(network(), x)
    return Trials(network(), passes, QuantPart(), activations="uint8", reduce_range=False)


def test_layer_whose_input_int8_cannot_hold_is_first_and_wins_nearly_everything() -> None:
    made = trials()
    assert list(made.nodes.values()) == ["first", "second", "third"]
    order = ranked(made.nodes, made.error, lambda done, total: None)
    assert order[0].name == "first"
    whole = made.error(frozenset())
    assert order[0].gain > 0.9 * whole
    assert made.error({order[0].output}) == pytest.approx(whole - order[0].gain)


def test_freed_layer_has_float_weights_and_the_others_have_not() -> None:
    made = trials().built({"ha"})
    layers = [n for n in made.graph if n.op_type in ("MatMul", "Gemm")]
    float_ones = [
        n for n in layers if n.inputs[1] is not None and n.inputs[1].const_value is not None
    ]
    assert (len(layers), len(float_ones)) == (3, 1)


def enlarged() -> ir.Model:
    """An image that is enlarged between two convolutions."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Resize", ["c", "", "scales"], ["r"], mode="linear", name="enlarge"),
        node("Conv", ["r", "w"], ["y"]),
    ]
    constants = {"w": floats(3, 3, 1, 1), "scales": np.float32([1, 1, 2, 2])}
    return model(nodes, constants, (3, 6, 6))


def test_resize_that_interpolates_can_be_freed() -> None:
    passes = passes_of(enlarged(), floats(8, 3, 6, 6))
    made = Trials(enlarged(), passes, QuantPart(), activations="uint8", reduce_range=False)
    assert made.nodes["r"] == "enlarge"
    source = producers(made.built({"r"}))["r"].inputs[0]
    # What the convolution gives it is not rounded to int8.
    assert source is not None
    assert source.producer() is not None
    assert [user.op_type for user, _ in source.uses()] == ["Resize"]


def faint() -> ir.Model:
    """A LeakyRelu that leaves a hundred millionth of what it reads: inside of a table with Elu as long as all before it
    is int8, by itself where the first convolution is float."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"]),
        node("Erf", ["c"], ["e"]),
        node("Conv", ["e", "w"], ["z"]),
        node("LeakyRelu", ["e"], ["l"], alpha=1e-8),
        node("Elu", ["l"], ["u"]),
        node("Conv", ["u", "w"], ["y"]),
    ]
    constants = {"w": floats(3, 3, 1, 1), "b": np.full(3, -10, np.float32)}
    return model(nodes, constants, (3, 4, 4), outputs=("y", "z"))


def test_scale_of_what_becomes_int8_late_is_within_reach_of_kernels() -> None:
    passes = passes_of(faint(), floats(8, 3, 4, 4))
    made = Trials(faint(), passes, QuantPart(), activations="uint8", reduce_range=False)
    assert "l_quantised" not in scales(made.built(()))
    found = scales(made.built({"c"}))
    assert found["l_quantised"] == pytest.approx(found["e_quantised"] * 2.0**-19)


def producers(found: ir.Model) -> dict[str, ir.Node]:
    return {str(v.name): n for n in found.graph for v in n.outputs}


def scales(found: ir.Model) -> dict[str, float]:
    """Name of what each QuantizeLinear gives -> its scale."""
    read = {}
    for one in found.graph:
        if one.op_type == "QuantizeLinear":
            scale = constant(one.inputs[1])
            assert scale is not None
            read[str(one.outputs[0].name)] = float(scale.item())
    return read


def test_neighbours_are_tried_together_and_only_the_best_groups_one_by_one() -> None:
    # Node 37 of 100 costs 1, node 80 costs 0.5, all others nothing.
    costs = {str(i): 0.0 for i in range(100)} | {"37": 1.0, "80": 0.5}
    tried: list[frozenset[str]] = []

    def error(freed: frozenset[str]) -> float:
        tried.append(freed)
        return sum(cost for name, cost in costs.items() if name not in freed)

    order = ranked({n: n for n in costs}, error, lambda done, total: None)
    assert [f.output for f in order[:2]] == ["37", "80"]
    assert [f.gain for f in order[:2]] == [1.0, 0.5]
    assert sorted(f.output for f in order) == sorted(costs)
    # All in int8, 16 groups of 6 or 7, and four of them node by node.
    assert 1 + 16 + 4 * 6 <= len(tried) <= 1 + 16 + 4 * 7


def test_ranking_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    ranked({str(i): "" for i in range(40)}, lambda freed: 1.0, lambda a, b: told.append((a, b)))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][0] <= told[-1][1]


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 16, 31, 32])
def test_fewest_is_the_least_number_that_holds(needed: int) -> None:
    asked: list[int] = []

    def holds(count: int) -> bool:
        asked.append(count)
        return count >= needed

    assert fewest(32, holds) == needed
    assert len(asked) == len(set(asked)) <= 2 * np.log2(32) + 1


def test_fewest_is_none_where_not_even_all_are_enough() -> None:
    assert fewest(5, lambda count: False) is None
    assert fewest(1, lambda count: False) is None
    assert fewest(0, lambda count: True) is None
