"""Which channels of a module can only be removed together (Fang et al., "DepGraph: Towards Any Structural Pruning",
CVPR 2023).

The channels of all layers and operators are merged along the edges of the trace; each class of them is a unit.

Left alone, with a reason: what reaches the output or comes from the input; LayerNorm, GroupNorm and other layers that
mix channels without weights; layers that run twice; operators that the trace does not follow (heads of attention).
Nothing is believed: `verified` prunes each bundle and compares it with the masked network.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from torch import Tensor, nn

from squeeze.prune.flexible import module_pads, module_splits
from squeeze.prune.tracing import Edge, Trace, Vertex, channel_axis, channel_pads, pieces
from squeeze.prune.units import Bundle, Coupling, Place, Side, Unit
from squeeze.students.network import Network

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

_CONV = (nn.Conv1d, nn.Conv2d)
_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_End = tuple[Vertex, Side]
_Element = tuple[Vertex, Side, int]  # and channel


def is_depthwise(layer: nn.Module) -> bool:
    """One filter per channel: its input and output channels are the same ones."""
    return isinstance(layer, _CONV) and 1 < layer.groups == layer.in_channels == layer.out_channels


def coupling(module: nn.Module, example: Tensor) -> Coupling:
    """The bundles of `module`, which takes `example`; not verified yet. It is in eval mode, its gradients are on."""
    trace = Trace(module, example)
    return _Reader(module, trace, _Classes(trace)).read()


class _Classes:
    """Union-find over the channels of all vertices, merged along all edges until nothing new is met."""

    def __init__(self, trace: Trace) -> None:
        self.parents: dict[_Element, _Element] = {}
        self.known: dict[_End, set[int]] = defaultdict(set)
        touching: dict[Vertex, list[Edge]] = defaultdict(list)
        for edge in trace.edges():
            touching[edge.source].append(edge)
            touching[edge.target].append(edge)
        waiting = []
        for vertex in trace.vertices:
            for side, width in _widths(vertex):
                self._meet((vertex, side), range(width))
                waiting.append(vertex)
        while waiting:
            for edge in touching[waiting.pop()]:
                waiting.extend(self._merge(edge))

    def elements(self) -> Iterable[list[_Element]]:
        """The classes."""
        found: dict[_Element, list[_Element]] = defaultdict(list)
        for element in self.parents:
            found[self._root(element)].append(element)
        return found.values()

    def _merge(self, edge: Edge) -> list[Vertex]:
        """Merges the channels of both ends that are known; the ends that became wider."""
        a, b = _end(edge.source, "out"), _end(edge.target, "in")
        pairs = sorted(edge.pairs(self.known[a], self.known[b]))
        grown = [self._meet(a, {i for i, _ in pairs}), self._meet(b, {j for _, j in pairs})]
        for i, j in pairs:
            x, y = self._root((*a, i)), self._root((*b, j))
            if x != y:
                self.parents[y] = x
        return [end[0] for end, more in zip((a, b), grown, strict=True) if more]

    def _meet(self, end: _End, channels: Iterable[int]) -> bool:
        new = set(channels) - self.known[end]
        self.known[end] |= new
        self.parents.update({(*end, i): (*end, i) for i in new})
        return bool(new)

    def _root(self, element: _Element) -> _Element:
        while (above := self.parents[element]) != element:
            self.parents[element] = self.parents[above]
            element = above
        return element


class _Reader:
    """Makes units and bundles of classes."""

    def __init__(self, module: nn.Module, trace: Trace, classes: _Classes) -> None:
        self.trace, self.classes = trace, classes
        self.layers = dict(module.named_modules())
        self.names: dict[int, str] = {
            **{id(m): name for name, m in module.named_modules()},
            **{id(p): name for name, p in module.named_parameters()},
        }
        self.splits = {vertex: i for i, vertex in enumerate(trace.splits)}
        self.pads = {vertex: i for i, vertex in enumerate(trace.pads)}
        # A Network's sizes are numbers in its description; those of other modules are code, which cannot be changed.
        self.adjustable = (
            isinstance(module, Network)
            and len(trace.splits) == len(module_splits(module))
            and len(trace.pads) == len(module_pads(module))
        )

    def read(self) -> Coupling:
        units: dict[Hashable, list[Unit]] = defaultdict(list)
        left: dict[str, str] = {}
        for elements in self.classes.elements():
            members, reason = self._members(elements)
            if not self._whole(members):
                continue
            if reason:
                names = dict.fromkeys(name for name, side in members if side == "out")
                left.setdefault(_listed(list(names)), reason)
                continue
            unit = Unit(tuple((place, tuple(sorted(c))) for place, c in sorted(members.items())))
            units[tuple(sorted(members))].append(unit)
        bundles = []
        for bundle, reason in self._bundles(list(units.values())):
            if reason:
                left.setdefault(bundle.name, reason)
            else:
                bundles.append(bundle)
        return Coupling(tuple(bundles), tuple(left.items()))

    def _members(self, elements: list[_Element]) -> tuple[dict[Place, list[int]], str]:
        members: dict[Place, list[int]] = defaultdict(list)
        reason = ""
        for vertex, side, channel in elements:
            if vertex.part is not None:
                members[self.names[id(vertex.part)], side].append(channel)
            elif vertex in self.splits and pieces(vertex) is not None:
                members[str(self.splits[vertex]), "split"].append(channel)
            elif (zero := self._zero(vertex, channel)) is not None:
                members[str(self.pads[vertex]), "pad"].append(zero)
                if not self.adjustable:
                    reason = reason or "channels of zeros, as many as the code says"
            reason = reason or self._fixed(vertex, side)
        return members, reason

    def _fixed(self, vertex: Vertex, side: Side) -> str:
        """Why channels of this vertex have to stay; "" when they may go."""
        layer = vertex.part
        if isinstance(layer, nn.Module):
            if not isinstance(layer, (*_CONV, *_NORM, nn.Linear, nn.PReLU)):
                return f"{type(layer).__name__} mixes channels, or is not known to the surgery"
            if self.trace.calls[layer] > 1:
                return "a layer that runs twice"
            return "" if vertex.read or side == "in" else "the output of the network"
        return "" if vertex.read else "the output of the network"

    def _zero(self, vertex: Vertex, channel: int) -> int | None:
        """Which of the channels of zeros of a padding this is; None for others."""
        if vertex not in self.pads:
            return None
        before, after = channel_pads(vertex)
        inside = max(self.classes.known[vertex, "out"]) + 1 - before - after
        if before <= channel < before + inside:
            return None
        return channel if channel < before else channel - inside

    def _whole(self, members: dict[Place, list[int]]) -> bool:
        """Whether weights make these channels and weights take them."""
        makers = any(
            side == "out"
            and isinstance(layer := self.layers.get(name), (*_CONV, nn.Linear))
            and not is_depthwise(layer)
            for name, side in members
        )
        return makers and any(side == "in" for _, side in members)

    def _bundles(self, kinds: list[list[Unit]]) -> Iterator[tuple[Bundle, str]]:
        """Units of the same places are one bundle; bundles that a grouped convolution or a fixed split ties, too."""
        parent = list(range(len(kinds)))
        seen: dict[Place, int] = {}
        for i, units in enumerate(kinds):
            for place, _ in units[0].members:
                if self._segments(place) is not None:
                    first = seen.setdefault(place, i)
                    parent = [parent[first] if p == parent[i] else p for p in parent]
        for root in dict.fromkeys(parent):
            yield self._bundle(
                [u for i, units in enumerate(kinds) if parent[i] == root for u in units]
            )

    def _bundle(self, units: list[Unit]) -> tuple[Bundle, str]:
        keys: dict[Hashable, int] = {}
        shapes: dict[int, Hashable] = {}
        slotted = []
        for unit in units:
            kind = tuple(place for place, _ in unit.members)
            segments = []
            for place, channels in unit.members:
                width = self._segments(place)
                if width is not None:
                    segments.append(tuple(sorted({c // width for c in channels})))
            slot = keys.setdefault((kind, tuple(segments)), len(keys))
            shapes[slot] = kind
            kept = unit.members if self.adjustable else _of_layers(unit.members)
            slotted.append(Unit(kept, slot))
        sizes = Counter(unit.slot for unit in slotted)
        alike = min(Counter(shapes.values()).values())
        name = next(name for (name, side), _ in slotted[0].members if side == "out")
        bundle = Bundle(name, tuple(slotted), len(keys), alike)
        if len(set(sizes.values())) > 1:
            return bundle, "a split of unequal parts, or groups that interleave"
        return bundle, ""

    def _segments(self, place: Place) -> int | None:
        """Channels per part where all parts must stay alike; None where there is one part."""
        name, side = place
        if side == "split":
            if self.adjustable:
                return None
            parts = pieces(self.trace.splits[int(name)])
            return None if parts is None or len(set(parts)) > 1 else parts[0]
        layer = self.layers.get(name)
        if not isinstance(layer, _CONV) or layer.groups == 1 or is_depthwise(layer):
            return None
        return (layer.in_channels if side == "in" else layer.out_channels) // layer.groups


def _widths(vertex: Vertex) -> list[tuple[Side, int]]:
    """The sides of a layer and their channels."""
    layer = vertex.part
    if isinstance(layer, nn.Parameter):
        return [("out", layer.shape[channel_axis(layer)])]
    if isinstance(layer, _CONV) and is_depthwise(layer):
        return [("out", layer.out_channels)]
    if isinstance(layer, _CONV):
        return [("out", layer.out_channels), ("in", layer.in_channels)]
    if isinstance(layer, nn.Linear):
        return [("out", layer.out_features), ("in", layer.in_features)]
    if isinstance(layer, _NORM):
        return [("out", layer.num_features)]
    return []


def _end(vertex: Vertex, side: Side) -> _End:
    layer = vertex.part
    apart = isinstance(layer, (*_CONV, nn.Linear)) and not is_depthwise(layer)
    return vertex, side if apart else "out"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _of_layers(
    members: tuple[tuple[Place, tuple[int, ...]], ...],
) -> tuple[tuple[Place, tuple[int, ...]], ...]:
    return tuple((place, channels) for place, channels in members if place[1] in ("in", "out"))
