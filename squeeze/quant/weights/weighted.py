"""The weighted nodes of a placed graph, output channels first, for whoever chooses the integers of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import constant, integer, is_op
from squeeze.old_x86.saturation import repaired
from squeeze.quant.place import Placement, has_weights
from squeeze.quant.ranges.grid import (
    SMALLEST_SCALE,
    Grid,
    Params,
    least_scales,
    quantise_weights,
    weight_scales,
)
from squeeze.quant.weights.adaround import Rounded
from squeeze.quant.weights.levels import FULL_BITS, Levels, Scaling, choose, full, nearest

Wide = NDArray[np.float64]
# (Name of a constant, axis of the output channels, whether it is depthwise) -> its contents, read once.
Known = dict[tuple[str, int, bool], "Shared"]


@dataclass(frozen=True)
class Codes:
    """Weights of a node that are integers already: trained, or rounded by somebody who knew more than one layer.

    integers [o, ...], output channels first; scales [o]; bias [o] in real numbers, None for that of the graph.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: Wide | None = None


@dataclass(frozen=True, eq=False)
class Shared:
    """The weights of all nodes that read one constant in one way: a recurrent net that is unrolled has one for every
    step. What depends on them alone is found once.

    stored: as the graph has them, output channels along `axis`.
    """

    stored: NDArray[np.generic]
    axis: int
    depthwise: bool
    _levels: dict[tuple[int, Scaling, Grid], Levels] = field(default_factory=dict)
    _codes: dict[tuple[int, Scaling, Grid], Codes] = field(default_factory=dict)

    @cached_property
    def wide(self) -> Wide:
        """[o, ...]."""
        return np.moveaxis(self.stored.astype(np.float64), self.axis, 0)

    @cached_property
    def sums(self) -> Wide:
        """Of the magnitudes of each output channel, [o]."""
        found: Wide = np.abs(self.wide).reshape(len(self.wide), -1).sum(axis=1)
        return found

    def levels(self, bits: int, scaling: Scaling, grid: Grid, least: Wide) -> Levels:
        """What the weights may become, with no scale below `least` [o]; the same object wherever that allows it."""
        key = (bits, scaling, grid)
        if key not in self._levels:
            self._levels[key] = self._fresh(*key, np.zeros(len(least)))
        known = self._levels[key]
        return known if (known.scales >= least).all() else self._fresh(*key, least)

    def to_nearest(self, bits: int, scaling: Scaling, grid: Grid, least: Wide) -> Codes:
        """The weights rounded to the nearest of `levels`; the same object wherever those are."""
        key, levels = (bits, scaling, grid), self.levels(bits, scaling, grid, least)
        if levels is not self._levels[key]:
            return self._rounded(bits, grid, levels)
        if key not in self._codes:
            self._codes[key] = self._rounded(bits, grid, levels)
        return self._codes[key]

    def _fresh(self, bits: int, scaling: Scaling, grid: Grid, least: Wide) -> Levels:
        if bits != FULL_BITS:
            return choose(self.wide, bits, scaling, np.maximum(least, SMALLEST_SCALE))
        return full(weight_scales(self.wide, grid, least), grid.weight_limit)

    def _rounded(self, bits: int, grid: Grid, levels: Levels) -> Codes:
        if bits == FULL_BITS:
            return Codes(quantise_weights(self.wide, levels.scales, grid), levels.scales)
        return Codes(nearest(self.wide, levels), levels.scales)


@dataclass(frozen=True)
class Weighted:
    """A Conv, Gemm or MatMul: the name of its float output, weights, bias [o], the scale of its input.

    biased: the int8 node has a bias; MatMul has none.
    """

    name: str
    shared: Shared
    bias: Wide
    x_scale: float
    biased: bool

    @property
    def weights(self) -> Wide:
        """[o, ...]."""
        return self.shared.wide

    @property
    def least_scales(self) -> Wide:
        """The smallest scales with which the bias fits into int32, [o]."""
        return least_scales(self.bias, self.x_scale)

    def levels(self, bits: int, scaling: Scaling, grid: Grid) -> Levels:
        """What the weights may become. Raises ConfigError for bits other than 8, 4, 3, 2."""
        return self.shared.levels(bits, scaling, self._grid(grid), self.least_scales)

    def to_nearest(self, bits: int, scaling: Scaling, grid: Grid) -> Codes:
        """The weights rounded to the nearest level. Raises ConfigError for bits other than 8, 4, 3, 2."""
        return self.shared.to_nearest(bits, scaling, self._grid(grid), self.least_scales)

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
        return replace(grid, safe=False) if self.shared.depthwise else grid


def read(node: ir.Node, x_scale: float, known: Known, name: str = "") -> Weighted:
    """What `node`, whose weights are constant, has; `name` where its output is called otherwise by now.

    known: constants of this graph, or of a copy of it, that were read already; what is new is added.
    """
    weights = constant(node.inputs[1])
    if weights is None:
        raise ValueError(f"{node.name}: its weights are not constant")
    axis = 0 if is_op(node, "Conv") or integer(node, "transB", 0) else 1
    outputs = weights.shape[axis]
    depthwise = (
        is_op(node, "Conv") and weights.shape[1] == 1 and integer(node, "group", 1) == outputs
    )
    key = (str(node.inputs[1].name) if node.inputs[1] is not None else "", axis, depthwise)
    if key not in known:
        known[key] = Shared(weights, axis, depthwise)
    given = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return Weighted(
        name=name or str(node.outputs[0].name),
        shared=known[key],
        bias=np.zeros(outputs) if given is None else given.astype(np.float64).reshape(-1),
        x_scale=x_scale,
        biased=not is_op(node, "MatMul"),
    )


def read_all(
    placement: Placement, params: Mapping[str, Params], known: Known | None = None
) -> list[Weighted]:
    """The weighted nodes in the order of the graph. `params` has the name of every root of `placement`."""
    found, known = [], {} if known is None else known
    for node in placement.nodes:
        if has_weights(node) and node.inputs[0] is not None:
            root = placement.roots[node.inputs[0]]
            found.append(read(node, params[str(root.name)].scale, known))
    return found
