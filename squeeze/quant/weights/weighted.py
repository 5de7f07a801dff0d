"""The weighted nodes of a placed graph, output channels first, for whoever chooses the integers of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import constant, integer, is_op
from squeeze.old_x86.saturation import repaired
from squeeze.quant.place import WEIGHTED, Placement
from squeeze.quant.ranges.grid import Grid, Params, least_scales, quantise_weights, weight_scales
from squeeze.quant.weights.adaround import Rounded
from squeeze.quant.weights.levels import FULL_BITS, Levels, Scaling, choose, full, nearest

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Codes:
    """Weights of a node that are integers already: trained, or rounded by somebody who knew more than one layer.

    integers [o, ...], output channels first; scales [o]; bias [o] in real numbers, None for that of the graph.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: Wide | None = None


@dataclass(frozen=True)
class Weighted:
    """A Conv, Gemm or MatMul: the name of its float output, weights [o, ...], bias [o], the scale of its input.

    axis: where the graph has the output channels. biased: the int8 node has a bias; MatMul has none.
    """

    name: str
    weights: Wide
    bias: Wide
    x_scale: float
    axis: int
    biased: bool
    depthwise: bool

    @property
    def least_scales(self) -> Wide:
        """The smallest scales with which the bias fits into int32, [o]."""
        return least_scales(self.bias, self.x_scale)

    def levels(self, bits: int, scaling: Scaling, grid: Grid) -> Levels:
        """What the weights may become. Raises ConfigError for bits other than 8, 4, 3, 2."""
        if bits != FULL_BITS:
            return choose(self.weights, bits, scaling, self.least_scales)
        scales = weight_scales(self.weights, self._grid(grid), self.bias, self.x_scale)
        return full(scales, grid.weight_limit)

    def to_nearest(self, bits: int, scaling: Scaling, grid: Grid) -> Codes:
        """The weights rounded to the nearest level. Raises ConfigError for bits other than 8, 4, 3, 2."""
        levels = self.levels(bits, scaling, grid)
        if bits == FULL_BITS:
            return Codes(quantise_weights(self.weights, levels.scales, grid), levels.scales)
        return Codes(nearest(self.weights, levels), levels.scales)

    def kept_safe(self, rounded: Rounded, bits: int, grid: Grid) -> Codes:
        """What AdaRound found, without products that saturate where `grid` forbids them; the bias takes up the mean."""
        integers = rounded.integers
        if bits == FULL_BITS and self._grid(grid).safe:
            scales = rounded.scales.astype(np.float64).reshape(-1, *[1] * (integers.ndim - 1))
            integers = repaired(integers, self.weights / scales)
        bias = self.bias + rounded.bias_shift if self.biased else None
        return Codes(integers, rounded.scales, bias)

    def _grid(self, grid: Grid) -> Grid:
        # Runtimes multiply those of a depthwise convolution in 32 bits.
        return replace(grid, safe=False) if self.depthwise else grid


def read(node: ir.Node, x_scale: float, name: str = "") -> Weighted:
    """What `node`, whose weights are constant, has; `name` where its output is called otherwise by now."""
    weights = constant(node.inputs[1])
    if weights is None:
        raise ValueError(f"{node.name}: its weights are not constant")
    axis = 0 if is_op(node, "Conv") or integer(node, "transB", 0) else 1
    wide = np.moveaxis(weights.astype(np.float64), axis, 0)
    given = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return Weighted(
        name=name or str(node.outputs[0].name),
        weights=wide,
        bias=np.zeros(len(wide)) if given is None else given.astype(np.float64).reshape(-1),
        x_scale=x_scale,
        axis=axis,
        biased=not is_op(node, "MatMul"),
        depthwise=is_op(node, "Conv")
        and wide.shape[1] == 1
        and integer(node, "group", 1) == len(wide),
    )


def read_all(placement: Placement, params: Mapping[str, Params]) -> list[Weighted]:
    """The weighted nodes in the order of the graph. `params` has the name of every root of `placement`."""
    found = []
    for node in placement.nodes:
        if is_op(node, *WEIGHTED) and node.inputs[0] is not None:
            root = placement.roots[node.inputs[0]]
            found.append(read(node, params[str(root.name)].scale))
    return found
