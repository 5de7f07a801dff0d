"""Multiply-accumulates of a module, and how they shrink with its channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze.prune.coupling import is_depthwise

if TYPE_CHECKING:
    from squeeze.prune.units import Unit

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def macs(module: nn.Module, example: Tensor) -> int:
    """MACs of one sample of `example` [n, ...] in one pass of `module`, matrix products outside of layers included."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(example)
    return int(counter.get_total_flops()) // 2 // len(example)


@dataclass
class LayerMacs:
    """positions: how often the layer's filter is applied for one sample; kernel: products per pair of channels; end: it
    is the first or the last that runs."""

    positions: int
    kernel: int
    groups: int
    inputs: int
    outputs: int
    depthwise: bool = False
    end: bool = False

    @property
    def macs(self) -> int:
        """Of one sample."""
        return self.positions * self.kernel * self.outputs * (self.inputs // self.groups)


class MacsLeft:
    """The MACs that are left while units go one after another; or what else a layer costs, see `cost_of`.

    What layers do not account for (products of two activations) stays as it is: heads are not pruned.
    """

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self.layers = _layer_macs(module, example)
        self.total = self.before = self.whole(module, example)

    def whole(self, module: nn.Module, example: Tensor) -> float:
        """What one sample costs while all is there."""
        return macs(module, example)

    def cost_of(self, layer: LayerMacs) -> float:
        """What one sample costs in a layer."""
        return layer.macs

    def remove(self, units: list[Unit]) -> None:
        """Takes these units out of the count; `total` is then what is left."""
        touched = {name for unit in units for (name, _), _ in unit.members if name in self.layers}
        self.total -= sum(self.cost_of(self.layers[name]) for name in touched)
        for unit in units:
            for (name, side), channels in unit.members:
                layer = self.layers.get(name)
                if layer is None:
                    continue
                if side == "in":
                    layer.inputs -= len(channels)
                else:
                    layer.outputs -= len(channels)
                    if layer.depthwise:
                        layer.groups = layer.inputs = layer.outputs
        self.total += sum(self.cost_of(self.layers[name]) for name in touched)

    def saved(self, units: list[Unit]) -> float:
        """How much less is left when these went too."""
        names = {name for unit in units for (name, _), _ in unit.members if name in self.layers}
        kept, before = {name: replace(self.layers[name]) for name in names}, self.total
        self.remove(units)
        found = before - self.total
        self.total = before
        self.layers.update(kept)
        return found


def _layer_macs(module: nn.Module, example: Tensor) -> dict[str, LayerMacs]:
    found: dict[str, LayerMacs] = {}
    hooks = []
    for name, layer in module.named_modules():
        if isinstance(layer, _LAYERS):

            def record(layer: nn.Module, _: object, output: Tensor, name: str = name) -> None:
                found[name] = _cost(layer, output.numel() // len(example))

            hooks.append(layer.register_forward_hook(record))
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    for name in (*list(found)[:1], *list(found)[-1:]):
        found[name].end = True
    return found


def _cost(layer: nn.Module, elements: int) -> LayerMacs:
    if isinstance(layer, nn.Linear):
        return LayerMacs(
            elements // layer.out_features, 1, 1, layer.in_features, layer.out_features
        )
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d))
    kernel = layer.weight[0, 0].numel()
    return LayerMacs(
        elements // layer.out_channels,
        kernel,
        layer.groups,
        layer.in_channels,
        layer.out_channels,
        is_depthwise(layer),
    )
