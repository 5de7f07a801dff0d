"""Parts that are faster in float: their times by hand, and the cheapest way against all ways."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze.quant.segments import (
    Segment,
    faster_in_float,
    predicted_us,
    products_us,
    segments,
)


@dataclass(frozen=True)
class Ran:
    name: str
    makes: tuple[str, ...]
    us: float
    elements: int = 1
    reads: tuple[str, ...] = ()
    op: str = ""


def chain() -> ir.Graph:
    """x -> Conv a -> Relu b -> Conv c -> Sigmoid y."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="node_a"),
        helper.make_node("Relu", ["a"], ["b"], name="node_b"),
        helper.make_node("Conv", ["b", "w"], ["c"], name="node_c"),
        helper.make_node("Sigmoid", ["c"], ["y"], name="node_d"),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 4, 4])] for name in "xy"
    ]
    weights = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    graph = helper.make_graph(nodes, "chain", *ends, [weights])
    return ir.serde.deserialize_model(helper.make_model(graph)).graph


def test_kernels_are_added_up_where_their_names_and_what_they_read_say() -> None:
    graph = chain()
    in_float = [Ran("node_a", ("b",), 5, 10), Ran("node_c", ("c",), 7, 20), Ran("", ("y",), 1, 20)]
    in_int8 = [
        Ran("x_quantised", ("x_quantised",), 2),  # before all layers
        Ran("fused_1", ("b_quantised_nhwc",), 3, 10),
        Ran("reorder_token", ("made_up",), 4, 10, ("b_quantised_nhwc",)),
        Ran("node_c_2", ("other",), 6, 20, ("made_up",)),
        Ran("node_d", ("y",), 8, 20, ("other",)),
    ]
    found = segments(graph, in_float, in_int8)
    assert [(s.weighted, s.float_us, s.int8_us) for s in found] == [
        (False, 0, 2),
        (True, 5, 3 + 4),
        (True, 7 + 1, 6 + 8),
    ]
    assert [s.nodes for s in found] == [(), ("a", "b"), ("c", "y")]
    assert [s.elements for s in found] == [0, 10, 20]


def test_products_of_two_activations_are_told_from_those_with_weights() -> None:
    kernels = [
        Ran("n1", ("a",), 5, reads=("x", "weights"), op="MatMul"),
        Ran("n2", ("b",), 7, reads=("x", "x"), op="MatMul"),
        Ran("n3", ("c",), 11, reads=("a", "b"), op="FusedMatMul"),
        Ran("n4", ("d",), 13, reads=("a", "b"), op="MatMulIntegerToFloat"),
        Ran("n5", ("e",), 17, reads=("a", "b"), op="Add"),
    ]
    assert products_us(chain(), kernels) == 7 + 11


def several(seed: int) -> list[Segment]:
    random = np.random.default_rng(seed)
    return [
        Segment((f"n{i}",), True, *random.uniform(10, 100, 2), int(random.integers(1, 4e5)))
        for i in range(7)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_no_other_choice_is_predicted_to_be_faster(seed: int) -> None:
    found = several(seed)
    every = [
        {i for i, one in enumerate(chosen) if one} for chosen in product((0, 1), repeat=len(found))
    ]
    least = min(predicted_us(found, floats) for floats in every)
    assert predicted_us(found, faster_in_float(found)) == pytest.approx(least)


def test_a_change_costs_what_the_tensor_between_has_to_be_quantised_for() -> None:
    found = [
        Segment(("a",), True, 10, 20, 1000),
        Segment(("b",), True, 30, 25, 2000),
        Segment(("c",), True, 5, 50, 10),
    ]
    assert predicted_us(found, {0, 2}, switch_us=0.01) == 10 + 0.01 * 1000 + 25 + 0.01 * 2000 + 5
    # b alone gains 5 us in int8 and its ends cost 30.
    assert faster_in_float(found, switch_us=0.01) == {0, 1, 2}
    assert faster_in_float(found, switch_us=0.001) == {0, 2}
