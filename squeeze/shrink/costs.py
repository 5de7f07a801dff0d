"""What a network's quantised form costs by a guess, and what is left of it while channels go; channels that go until
latency and bytes are both inside their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze.prune.counting import LayerMacs, MacsLeft
from squeeze.prune.planning import evenly
from squeeze.search import estimate

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor, nn

    from squeeze.prune.structured import Prunable
    from squeeze.prune.units import Scores, Unit
    from squeeze.search.estimate import Stored

_NS = 1e6  # of a millisecond
# Prices of a byte that are tried one after the other, of that at which the bounds cost alike.
_PRICES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
# By how much a plan may be beyond a bound: it ends where one more portion would be further from it.
_SLACK = 1.03


@dataclass(frozen=True)
class Costs:
    """Guesses of a quantised form: milliseconds on the reference machine of `search.estimate`, bytes of the file."""

    ms: float
    bytes: float

    def inside(self, most: Costs) -> bool:
        """Whether neither is beyond `most`, or hardly."""
        return self.ms <= _SLACK * most.ms and self.bytes <= _SLACK * most.bytes


class CostLeft(MacsLeft):
    """Nanoseconds, and bytes at a price in nanoseconds each: what is left of both while units go.

    Few channels are slow ones, so that widths which kernels like win.
    """

    def __init__(
        self, module: nn.Module, example: Tensor, price: float = 0.0, held: Stored = estimate.INT8
    ) -> None:
        self.price, self.held = price, held
        super().__init__(module, example)

    def whole(self, module: nn.Module, example: Tensor) -> float:
        """Of all layers, and of one run of one file."""
        fixed = _NS * estimate.SESSION_MS + self.price * self.held.file_bytes
        return fixed + sum(map(self.cost_of, self.layers.values()))

    def cost_of(self, layer: LayerMacs) -> float:
        """Of one layer."""
        return _NS * _layer_ms(layer) + self.price * _layer_bytes(layer, self.held)

    def costs(self) -> Costs:
        """What is left by now."""
        return costs_of_layers(self.layers.values(), self.held)


def costs_of_layers(layers: Collection[LayerMacs], held: Stored = estimate.INT8) -> Costs:
    """What a network of these layers costs for one sample: it need not be built."""
    return Costs(
        estimate.SESSION_MS + sum(map(_layer_ms, layers)),
        held.file_bytes + sum(_layer_bytes(layer, held) for layer in layers),
    )


def costs_of(module: nn.Module, example: Tensor, held: Stored = estimate.INT8) -> Costs:
    """What `module` costs for one sample of `example` [n, ...]."""
    return CostLeft(module, example, held=held).costs()


def units_beyond(
    found: Prunable, scores: Scores, align: int, most: Costs, held: Stored = estimate.INT8
) -> list[Unit]:
    """The same share of every bundle, the least important channels of each, so that `found` comes inside `most`; where
    nothing can bring it there, what comes nearest. Bytes have the least price that brings them inside.

    Where weights are refitted, even shares leave a network nearer to what it was than the least important channels of
    all bundles together: see docs/search.md.
    """
    whole = costs_of(found.module, found.example, held)
    ends: list[tuple[float, list[Unit]]] = []
    for share in _PRICES:
        price = share * _NS * most.ms / most.bytes
        left = CostLeft(found.module, found.example, price, held)
        # At a price of 0 bytes are not looked at; else both bounds together are the target, as far as they bind.
        target = _NS * min(most.ms, whole.ms) + price * min(most.bytes, whole.bytes)
        units = evenly(found.coupling.bundles, scores, left, target, align)
        costs = left.costs()
        if costs.inside(most):
            return units
        ends.append((max(costs.ms / most.ms, costs.bytes / most.bytes), units))
    return min(ends, key=lambda end: end[0])[1]


def _layer_ms(layer: LayerMacs) -> float:
    narrowest = min(layer.inputs, layer.outputs)
    return estimate.smooth_layer_ms(layer.macs, narrowest, depthwise=layer.depthwise)


def _layer_bytes(layer: LayerMacs, held: Stored) -> int:
    weights = layer.kernel * layer.outputs * (layer.inputs // layer.groups)
    return held.layer(weights, layer.outputs, end=layer.end)
