"""What flows where in a module: the graph of autograd, with which channel becomes which on every edge.

A forward pass with hooks tells which functions of autograd are layers; the others are operators. Which channel of the
one end of an edge is which of the other is read off the shapes that autograd has recorded.

torch-pruning's graph is not used: it guesses these channels, and on its own groups networks with an asymmetric split,
a concat with the input, padded shortcuts or shuffled groups compute something else afterwards, or fail.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Modules that are taken as a whole; weights outside of them are parts of their own.
_LAYERS = (
    nn.Embedding,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.Linear,
    nn.MultiheadAttention,
    nn.PReLU,
    nn.RNNBase,
    nn.modules.batchnorm._NormBase,
    nn.modules.conv._ConvNd,
)

Function = Any  # Any: a node of autograd, which torch does not type


@dataclass(eq=False)
class Vertex:
    """What makes a value: a layer, a weight outside of layers, or an operator (`part` is None).

    read: whether anything takes the value; nothing takes the output of the network.
    """

    function: Function
    part: nn.Module | nn.Parameter | None
    read: bool = False

    @property
    def operator(self) -> str:
        """What autograd calls it; "" for layers and weights."""
        return "" if self.part is not None else type(self.function).__name__


_Sources = list[tuple[Vertex | None, int]]  # where a value comes from: vertex, number of its output


@dataclass(frozen=True)
class Edge:
    """Channels first..first+count-1 of `source` (all when count is None) are those of `target` from `at` on, each of
    them `stride` neighbours there."""

    source: Vertex
    target: Vertex
    first: int = 0
    count: int | None = None
    at: int = 0
    stride: int = 1

    def pairs(self, before: set[int], after: set[int]) -> set[tuple[int, int]]:
        """(channel of source, channel of target), for known channels of either end."""
        end = math.inf if self.count is None else self.count
        forth = {
            (i, (i - self.first) * self.stride + self.at + k)
            for i in before
            if 0 <= i - self.first < end
            for k in range(self.stride)
        }
        back = {
            (self.first + (j - self.at) // self.stride, j)
            for j in after
            if 0 <= j - self.at < end * self.stride
        }
        return forth | back


class Trace:
    """One forward pass of a module in eval mode whose weights take gradients.

    vertices: what the output depends on; calls: how often each layer ran; splits, pads: the vertices that split and
    that pad channels, in the order they ran.
    """

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        output, layers, self.calls = _run(module, example)
        self._made = _reached(output.grad_fn, {**layers, **_weights(module)})
        self.vertices = tuple(self._made.values())
        operators = [vertex for vertex in self.vertices if vertex.part is None]
        operators.sort(key=lambda vertex: int(vertex.function._sequence_nr()))
        self.splits = [vertex for vertex in operators if "Split" in vertex.operator]
        self.pads = [vertex for vertex in operators if any(channel_pads(vertex))]

    def edges(self) -> Iterator[Edge]:
        """Each input of each vertex that another vertex makes."""
        for vertex in self.vertices:
            sources: _Sources = [
                (self._made.get(function), output)
                for function, output in getattr(vertex.function, "next_functions", ())
            ]
            if "Cat" in vertex.operator:
                yield from _joined(vertex, sources)
                continue
            for source, output in sources:
                if source is not None:
                    first, count = _piece(source, output)
                    at, _ = channel_pads(vertex)
                    if any(channel_pads(vertex)) and count is None:
                        count = _shape(source.function, output)[1]
                    yield Edge(source, vertex, first, count, at, _stride(source, output, vertex))


def channel_axis(weight: nn.Parameter) -> int:
    """Of a weight outside of layers, such as a scale per channel: the last axis that is longer than 1."""
    return max(i for i, size in enumerate(weight.shape) if size > 1)


def pieces(split: Vertex) -> list[int] | None:
    """Channels of each output of a split; None when it does not split channels."""
    shapes = [tuple(m.shape) for m in split.function._input_metadata]
    axis = _axis(split.function, len(shapes[0]))
    return [shape[axis] for shape in shapes] if axis in (1, len(shapes[0]) - 1) else None


def channel_pads(vertex: Vertex) -> tuple[int, int]:
    """Channels of zeros that the vertex puts before and after those of its input [n, c, ...]."""
    if "ConstantPad" not in vertex.operator:
        return 0, 0
    pads = [int(p) for p in vertex.function._saved_pad]  # of the last axis first
    at = 2 * (len(_shape(vertex.function, 0)) - 2)
    return (pads[at], pads[at + 1]) if at < len(pads) else (0, 0)


def _run(
    module: nn.Module, example: Tensor
) -> tuple[Tensor, dict[Function, nn.Module], Counter[nn.Module]]:
    """The output, the layers by the functions that make their outputs, and how often each module ran."""
    layers: dict[Function, nn.Module] = {}
    calls: Counter[nn.Module] = Counter()

    def note(layer: nn.Module, _: object, output: Any) -> None:  # Any: a tensor, or several
        calls[layer] += 1
        if isinstance(layer, _LAYERS):
            layers[(output[0] if isinstance(output, tuple) else output).grad_fn] = layer

    hooks = [
        m.register_forward_hook(note)
        for m in module.modules()
        if isinstance(m, _LAYERS) or not list(m.children())
    ]
    try:
        with torch.enable_grad():
            output: Tensor = module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return output, layers, calls


def _weights(module: nn.Module) -> dict[nn.Parameter, nn.Parameter]:
    """The weights outside of layers that have channels."""
    inside = {p for m in module.modules() if isinstance(m, _LAYERS) for p in m.parameters()}
    return {p: p for p in module.parameters() if p not in inside and p.numel() > 1}


def _reached(
    last: Function, parts: Mapping[Function | nn.Parameter, nn.Module | nn.Parameter]
) -> dict[Function, Vertex]:
    """A vertex for each function behind `last`, itself first; those of weights inside of layers are left out."""
    found: dict[Function, Vertex] = {last: Vertex(last, parts.get(last))}
    waiting = [last]
    while waiting:
        for function, _ in getattr(waiting.pop(), "next_functions", ()):
            if function is None:
                continue
            weight = getattr(function, "variable", None)
            part = parts.get(function if weight is None else weight)
            if weight is not None and part is None:
                continue
            if function not in found:
                found[function] = Vertex(function, part)
                waiting.append(function)
            found[function].read = True
    return found


def _shape(function: Function, output: int) -> tuple[int, ...]:
    data = getattr(function, "_input_metadata", ())
    return tuple(data[output].shape) if output < len(data) else ()


def _axis(function: Function, rank: int) -> int:
    axis = int(function._saved_dim)
    # Autograd keeps negative axes as unsigned numbers.
    return (axis - 2**64 if axis >= 2**63 else axis) % rank


def _piece(source: Vertex, output: int) -> tuple[int, int | None]:
    """(first channel, channels) of the value that leaves `source` by its output; None: all of them."""
    found = pieces(source) if "Split" in source.operator else None
    return (0, None) if found is None else (sum(found[:output]), found[output])


def _stride(source: Vertex, output: int, target: Vertex) -> int:
    """How many features each channel becomes where [n, c, ...] is flattened to [n, features]."""
    if not any(word in target.operator for word in ("View", "Reshape")):
        return 1
    before, after = _shape(source.function, output), _shape(target.function, 0)
    flat = len(after) == 2 < len(before) and before[0] == after[0]
    return math.prod(before[2:]) if flat else 1


def _joined(concat: Vertex, sources: _Sources) -> Iterator[Edge]:
    whole = _shape(concat.function, 0)
    axis = _axis(concat.function, len(whole))
    shapes = [() if s is None else _shape(s.function, output) for s, output in sources]
    sizes = [shape[axis] if shape else None for shape in shapes]
    unknown = sizes.count(None)
    if unknown == 1:  # the input of the network, or a constant
        sizes[sizes.index(None)] = whole[axis] - sum(size or 0 for size in sizes)
    by_channel = axis in (1, len(whole) - 1) and unknown < 2
    at = 0
    for (source, output), size in zip(sources, sizes, strict=True):
        if source is not None:
            first, count = _piece(source, output)
            if by_channel and count is None:
                count = size
            yield Edge(source, concat, first, count, at)
        at += (size or 0) if by_channel else 0
