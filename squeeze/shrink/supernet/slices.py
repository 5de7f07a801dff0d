"""Parts of a convolutional network: of each group of channels the first, of each stage the first blocks.

What a part has of each layer, what it costs and its weights follow from numbers: no part has to be built for them
(Cai et al., "Once-for-All", 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from squeeze.prune.counting import LayerMacs
from squeeze.shrink.blocks import Block, without
from squeeze.shrink.costs import Costs, costs_of_layers
from squeeze.spec import Frozen
from squeeze.students import Network

Json = dict[str, Any]  # Any: JSON


class Place(Frozen):
    """Where channels of a group are: `side` "in" or "out" of a layer, `each` of them for a unit of the group."""

    layer: str
    side: str
    each: int = Field(ge=1)


class Group(Frozen):
    """`units` channels of several layers that come and go together. level: of groups of the same map size, the largest
    map first."""

    units: int = Field(ge=1)
    level: int = Field(ge=0)
    places: tuple[Place, ...]


class Removable(Frozen):
    """A block with an identity shortcut: its sum, and the summand that stays without it."""

    total: str
    kept: str


class Work(Frozen):
    """Of a layer: how often its filter is applied for a sample, and products for a pair of channels."""

    positions: int = Field(ge=1)
    kernel: int = Field(ge=1)


class Sliceable(Frozen):
    """A network as `students.Network` takes it, with what of it may go. Of each group and each stage the most
    important is first."""

    network: Json
    groups: tuple[Group, ...]
    stages: tuple[tuple[Removable, ...], ...]
    work: dict[str, Work]


class Part(Frozen):
    """units: of each group; depths: blocks of each stage that may go and stay."""

    units: tuple[int, ...]
    depths: tuple[int, ...]


class Slices:
    """The parts of a network. Raises what `Network` raises for a description that is none."""

    def __init__(self, known: Sliceable) -> None:
        self.known = known
        with torch.device("meta"):
            self.network = Network(known.network)
        self._shortened: dict[tuple[int, ...], Json] = {}

    @property
    def whole(self) -> Part:
        """All of it."""
        known = self.known
        return Part(
            units=tuple(group.units for group in known.groups),
            depths=tuple(len(stage) for stage in known.stages),
        )

    def description(self, part: Part) -> Json:
        """The network of a part, as `Network` takes it."""
        kept = {
            (place.layer, place.side): units * place.each
            for group, units in zip(self.known.groups, part.units, strict=True)
            for place in group.places
        }
        plain = self._without(part.depths)
        nodes = [
            {**node, "sizes": _cut(node, kept)} if node["layer"] else node
            for node in plain["nodes"]
        ]
        return {**plain, "nodes": nodes}

    def layers(self, part: Part) -> dict[str, LayerMacs]:
        """Its layers with weights as numbers."""
        found = {}
        for node in self.description(part)["nodes"]:
            if (work := self.known.work.get(node["layer"])) is not None:
                sizes = node["sizes"]
                groups = sizes.get("groups", 1)
                found[node["layer"]] = LayerMacs(
                    work.positions,
                    work.kernel,
                    groups,
                    sizes["inputs"],
                    sizes["outputs"],
                    1 < groups == sizes["inputs"] == sizes["outputs"],
                )
        return found

    def costs(self, part: Part) -> tuple[int, int, Costs]:
        """Multiply-accumulates of a sample, parameters with normalisation folded, and guesses of the int8 form."""
        layers = self.layers(part).values()
        parameters = sum(
            layer.kernel * layer.outputs * (layer.inputs // layer.groups) + layer.outputs
            for layer in layers
        )
        return sum(layer.macs for layer in layers), parameters, costs_of_layers(layers)

    def weights(self, state: Mapping[str, Tensor], part: Part) -> dict[str, Tensor]:
        """The weights and statistics of a part, prefixes of those of the whole network (`state`), which they share."""
        plain = self.description(part)
        found = {f"constants.{name}": state[f"constants.{name}"] for name in plain["constants"]}
        for node in plain["nodes"]:
            sizes = node["sizes"]
            for kind in _KINDS if node["layer"] else ():
                name = f"layers.{node['layer']}.{kind}"
                if (value := state.get(name)) is None:
                    continue
                if value.ndim:
                    value = value[: sizes["outputs"]]
                if value.ndim > 1:
                    value = value[:, : sizes["inputs"] // sizes.get("groups", 1)]
                found[name] = value
        return found

    def child(self, state: Mapping[str, Tensor], part: Part) -> Network:
        """A part as a network of its own, in eval mode, with the statistics of the whole one."""
        made = Network(self.description(part))
        made.load_state_dict({n: x.detach() for n, x in self.weights(state, part).items()})
        return made.eval()

    def _without(self, depths: tuple[int, ...]) -> Json:
        if depths not in self._shortened:
            gone = [
                Block(block.total, block.kept, ())
                for stage, depth in zip(self.known.stages, depths, strict=True)
                for block in stage[depth:]
            ]
            with torch.device("meta"):
                self._shortened[depths] = without(self.network, gone).network.description()
        return self._shortened[depths]


# What layers hold, whichever they are.
_KINDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _cut(node: Json, kept: Mapping[tuple[str, str], int]) -> Json:
    """The sizes of a layer of which some channels stay."""
    layer, sizes = node["layer"], dict(node["sizes"])
    out, into = kept.get((layer, "out")), kept.get((layer, "in"))
    apart = 1 < sizes.get("groups", 1) == sizes.get("inputs") == sizes["outputs"]
    if out is not None:
        sizes["outputs"] = out
        if apart:  # one filter for each channel
            sizes["groups"] = sizes["inputs"] = out
    if into is not None:
        sizes["inputs"] = into
    return sizes
