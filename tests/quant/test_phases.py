"""A transposed convolution is a convolution of all phases, number for number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from squeeze.quant.phases import use_phases
from tests.graph.small import floats, model, node, ops, run

# name: (weights [i, o / group, ...], attributes, operators afterwards that do not move numbers)
REPLACED: dict[str, tuple[tuple[int, ...], dict[str, Any], list[str]]] = {
    "upsampling": ((6, 4, 2, 2), {"strides": [2, 2]}, ["Conv"]),
    "generator": ((6, 4, 4, 4), {"strides": [2, 2], "pads": [1] * 4}, ["Conv"]),
    "stride-one": ((6, 4, 3, 3), {"pads": [1] * 4}, ["Conv"]),
    "output-padding": (
        (6, 4, 3, 3),
        {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]},
        ["Conv"],
    ),
    "longer": ((6, 4, 3, 3), {"strides": [2, 2]}, ["Conv", "Slice"]),
    "shorter": (
        (6, 4, 4, 4),
        {"strides": [2, 2], "pads": [1, 2, 2, 1]},
        ["Conv", "Slice"],
    ),
    "uneven": (
        (6, 4, 5, 3),
        {"strides": [3, 3], "pads": [1, 0, 0, 0]},
        ["Conv", "Slice"],
    ),
    "sound": (
        (6, 4, 8),
        {"strides": [4], "pads": [2, 2]},
        ["Conv"],
    ),
}


@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize("name", REPLACED)
def test_phases_compute_the_same(name: str, *, biased: bool, free: bool) -> None:
    shape, attributes, after = REPLACED[name]
    bias = {"b": floats(shape[1], seed=1)} if biased else {}
    spatial = (5, 7)[: len(shape) - 2]
    graph = model(
        [node("ConvTranspose", ["x", "w", *bias], ["y"], **attributes)],
        {"w": floats(*shape), **bias},
        (6, *(("height", "width")[: len(spatial)] if free else spatial)),
    )
    x = floats(2, 6, *spatial, seed=2)
    expected = run(graph, x)
    assert use_phases(graph) == 1
    kept = [op for op in ops(graph) if op not in ("Reshape", "Transpose", "DepthToSpace")]
    assert kept == after
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-4, atol=1e-5)
    assert use_phases(graph) == 0


LEFT: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "dilated": ((6, 4, 3, 3), {"dilations": [2, 2]}),
    "by-shape": ((6, 4, 3, 3), {"strides": [2, 2], "output_shape": [10, 14]}),
    "strides-differ": ((6, 4, 3, 3), {"strides": [2, 1]}),
    "gaps": ((6, 4, 1, 1), {"strides": [2, 2]}),
    "groups": ((6, 2, 4, 4), {"strides": [2, 2], "group": 3}),
    "cubes": ((6, 4, 2, 2, 2), {"strides": [2, 2, 2]}),
}


@pytest.mark.parametrize("name", LEFT)
def test_other_forms_stay(name: str) -> None:
    shape, attributes = LEFT[name]
    graph = model(
        [node("ConvTranspose", ["x", "w"], ["y"], **attributes)],
        {"w": floats(*shape)},
        (6, *(5, 7, 4)[: len(shape) - 2]),
    )
    assert use_phases(graph) == 0
    assert ops(graph) == ["ConvTranspose"]


@pytest.mark.parametrize("name", ["y", "y_phases"])
def test_what_stays_float_stays_one_node(name: str) -> None:
    graph = model([node("ConvTranspose", ["x", "w"], ["y"])], {"w": floats(6, 4, 3, 3)}, (6, 5, 5))
    assert use_phases(graph, {name}) == 0
