"""What of a convolutional teacher may go, and the teacher sorted so that what matters most of each group is first.

Groups are the bundles of pruning (`prune.coupling`): channels that only go together. Left whole: groups of grouped
convolutions, of joined maps, and of what is no layer. Blocks that may go are those with an identity shortcut; blocks of
the same map one behind the other are a stage, of which the first stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.errors import UnsupportedError
from squeeze.prune import importance
from squeeze.prune.coupling import is_depthwise
from squeeze.prune.structured import prunable
from squeeze.shrink.blocks import Block, blocks, shapes_of
from squeeze.shrink.costs import CostLeft
from squeeze.shrink.supernet.normalised import norm_of
from squeeze.shrink.supernet.slices import Group, Place, Removable, Sliceable, Work
from squeeze.students import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from squeeze.prune.units import Bundle
    from squeeze.prune.units import Place as Named

Json = dict[str, Any]  # Any: JSON

# What looks at samples took five times as long for no gain in trials by hand (docs/search.md).
_IMPORTANCE = "l2"
_PREFIX = "layers."


@dataclass(frozen=True)
class Sorted:
    """A network with its weights, of which every prefix is a part. left: groups that stay whole, and why."""

    sliceable: Sliceable
    weights: dict[str, Tensor]
    left: tuple[tuple[str, str], ...]


def sort(plain: Network, network: Network, example: Tensor) -> Sorted:
    """`network` sorted, computing the same. plain: the same one with normalisation folded, by whose weights channels
    are ranked; both in eval mode. example: [n, ...], n of 2 or more.

    Raises UnsupportedError where neither a channel nor a block may go.
    """
    found = prunable(plain, example)
    assert isinstance(found.module, Network)  # a copy of one
    ranked = importance(_IMPORTANCE)(found.module, found.coupling.bundles, [])
    shapes = shapes_of(plain, example)
    outputs = {node["layer"]: node["outputs"][0] for node in plain.nodes}
    taken, left = [], list(found.coupling.left)
    for bundle, scores in zip(found.coupling.bundles, ranked.values, strict=True):
        if why := _refusal(bundle, found.module):
            left.append((bundle.name, why))
        elif scores is not None:
            taken.append((bundle, np.argsort(-scores, kind="stable")))
    sizes = [
        math.prod(shapes[outputs[bundle.name.removeprefix(_PREFIX)]][2:]) for bundle, _ in taken
    ]
    levels = sorted(set(sizes), reverse=True)
    groups = tuple(
        _group(bundle, network, levels.index(size))
        for (bundle, _), size in zip(taken, sizes, strict=True)
    )
    stages = _stages(blocks(plain, example), plain, shapes)
    if not groups and not stages:
        raise UnsupportedError("none of its channels and blocks may go")
    weights = dict(network.state_dict())
    for bundle, order in taken:
        for place in bundle.places:
            _permute(weights, network, place, _channels(bundle, place, order))
    work = {
        name.removeprefix(_PREFIX): Work(positions=layer.positions, kernel=layer.kernel)
        for name, layer in CostLeft(plain, example).layers.items()
    }
    # Reshapes that follow the channels are those of the copy that may be pruned.
    following = {node["outputs"][0]: node["attributes"] for node in found.module.nodes}
    description = network.description()
    nodes = [
        {**node, "attributes": following[node["outputs"][0]]} if node["op"] == "Reshape" else node
        for node in description["nodes"]
    ]
    sliceable = Sliceable(
        network={**description, "nodes": nodes}, groups=groups, stages=stages, work=work
    )
    return Sorted(sliceable, {n: x.contiguous() for n, x in weights.items()}, tuple(left))


def _refusal(bundle: Bundle, module: nn.Module) -> str:
    """Why a bundle stays whole; "" where prefixes of it can be parts."""
    if bundle.slots > 1:
        return "its groups would each need a prefix"
    layers = dict(module.named_modules())
    for place in bundle.places:
        layer = layers.get(place[0])
        channels = sorted(c for unit in bundle.members(place) for c in unit)
        width = None if layer is None else _width(layer, place[1])
        if width is None:
            return "it is more than layers"
        if channels != list(range(width)) or len(set(map(len, bundle.members(place)))) > 1:
            return "its channels are joined with others"
    return ""


def _width(layer: nn.Module, side: str) -> int | None:
    """Channels of one side of a layer; None for what cannot be sliced."""
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        if layer.groups > 1 and not is_depthwise(layer):
            return None
        return layer.out_channels if side == "out" else layer.in_channels
    if isinstance(layer, nn.Linear):
        return layer.out_features if side == "out" else layer.in_features
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return layer.num_features
    return None


def _group(bundle: Bundle, network: Network, level: int) -> Group:
    places = []
    for place in bundle.places:
        name, side = place[0].removeprefix(_PREFIX), place[1]
        each = len(bundle.members(place)[0])
        places.append(Place(layer=name, side=side, each=each))
        if side == "out" and norm_of(name) in network.layers:
            places.append(Place(layer=norm_of(name), side=side, each=each))
    return Group(units=len(bundle.units), level=level, places=tuple(places))


def _channels(bundle: Bundle, place: Named, order: NDArray[np.int64]) -> Tensor:
    """The channels of a place in the order of their units."""
    members = bundle.members(place)
    return torch.tensor([channel for unit in order for channel in members[unit]])


def _permute(weights: dict[str, Tensor], network: Network, place: Named, order: Tensor) -> None:
    """Puts the channels of one side of a layer, and of the normalisation behind it, in order; in place."""
    name, side = place[0].removeprefix(_PREFIX), place[1]
    if side == "in":
        key = f"{place[0]}.weight"
        weights[key] = weights[key][:, order]
        return
    for layer in (name, norm_of(name)):
        if layer not in network.layers:
            continue
        for key, value in network.layers[layer].state_dict(prefix=f"{_PREFIX}{layer}.").items():
            if value.ndim:
                weights[key] = weights[key][order]


def _stages(
    found: Sequence[Block], network: Network, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[Removable, ...], ...]:
    """Blocks with an identity shortcut, those of one map one behind the other together."""
    makers = {name: node for node in network.nodes for name in node["outputs"]}
    stages: list[list[Block]] = []
    for block in found:
        (branch,) = (n for n in makers[block.total]["inputs"] if n != block.kept)
        if not _reads(branch, block.kept, makers):
            continue  # a projection beside it: the block makes the map smaller or wider
        before = stages[-1][-1] if stages else None
        if before is not None and shapes[before.total] == shapes[block.total]:
            stages[-1].append(block)
        else:
            stages.append([block])
    return tuple(
        tuple(Removable(total=block.total, kept=block.kept) for block in stage) for stage in stages
    )


def _reads(name: str, wanted: str, makers: Mapping[str, Json]) -> bool:
    """Whether a value is computed of `wanted`."""
    seen, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one == wanted:
            return True
        if one in makers and one not in seen:
            seen.add(one)
            waiting.extend(makers[one]["inputs"])
    return False
