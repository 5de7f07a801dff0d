"""The integer grids of all quantised tensors, with no scale so small that a kernel cannot reach it.

A tensor that was always 0 has no range, and any scale would do; but kernels round accumulator * (x_scale * w_scale /
y_scale) to an integer of 32 bits, and what they cannot show to fit is left to the slow portable one. So the scale
behind a product is at least 2^-30 of the largest result that its weights can give, and that of a sum, a pool or another
joined tensor 2^-19 of the scales that it is made from. Of a product of two activations the largest result is that of
all numbers at the ends of their ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from squeeze.graph.values import known_dims
from squeeze.quant.activation_products import is_activation_product
from squeeze.quant.place import Placement, activations, has_weights
from squeeze.quant.ranges.grid import SMALLEST_SCALE, Params, params
from squeeze.quant.weights.weighted import Known, read

if TYPE_CHECKING:
    from squeeze.quant.ranges.grid import Grid

# Twice as far from the limit of 2^31 as must be: rounding makes weights larger.
PRODUCT_SHARE = 2.0**-30
# The sums of a product whose length is open, such as that of a sequence, have at most about so many terms.
OPEN_TERMS = 1 << 12
# Sums want less than 2^20.
JOINED_SHARE = 2.0**-19


def grids(
    placement: Placement, ranges: Mapping[str, tuple[float, float]], grid: Grid
) -> dict[str, Params]:
    """Name of each root of `placement` -> scale and zero point. `ranges` has (low, high) of each."""
    behind = {source: value for value, source in placement.sources.items()}
    found: dict[str, Params] = {}
    known: Known = {}

    def chosen(value: ir.Value, least_scale: float) -> None:
        name = str(value.name)
        if name not in found:
            found[name] = params(*ranges[name], grid, least_scale)

    for node in placement.nodes:
        inputs = [] if node in placement.stretches else activations(node)
        for value in inputs:
            chosen(placement.roots[value], SMALLEST_SCALE)
        result = behind.get(node.outputs[0])
        if result is None or placement.roots[result] is not result:
            continue
        scales = [found[str(placement.roots[v].name)].scale for v in inputs]
        chosen(result, _least(node, scales, grid, known))
    return found


def _least(node: ir.Node, scales: list[float], grid: Grid, known: Known) -> float:
    """The smallest scale of what `node` makes from inputs with these scales."""
    if not scales:
        return SMALLEST_SCALE
    if is_activation_product(node):
        size = known_dims(node.inputs[0], -1)
        terms = size[0] if size else OPEN_TERMS
        most = scales[0] * scales[1] * terms * float(grid.most - grid.least) ** 2
        return max(most * PRODUCT_SHARE, SMALLEST_SCALE)
    if not has_weights(node):
        return max(max(scales) * JOINED_SHARE, SMALLEST_SCALE)
    layer = read(node, scales[0], known)
    reach = layer.shared.sums * (grid.most - grid.least) * layer.x_scale + np.abs(layer.bias)
    return max(float(reach.max(initial=0.0)) * PRODUCT_SHARE, SMALLEST_SCALE)
