"""What flows where in a module: torch-pruning's dependency graph, with which channel becomes which on every edge.

torch-pruning follows autograd from the output back, and tells layers from operators. Which channel of the one end of
an edge is which of the other is worked out here from the shapes that autograd has recorded: torch-pruning guesses the
order of the outputs of a split and the sizes of what a concat joins.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch_pruning import DependencyGraph  # type: ignore[import-untyped]  # ships no types
    from torch_pruning.dependency.node import Node  # type: ignore[import-untyped]

_Sources = list[tuple["Node | None", int]]  # where a value comes from: node, number of its output


@dataclass(frozen=True)
class Edge:
    """Channels first..first+count-1 of `source` (all when count is None) are those of `target` from `at` on, each of
    them `stride` neighbours there."""

    source: Node
    target: Node
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
    """One forward pass. `nodes`: by id; `calls`: how often each layer ran; `splits`, `pads`: nodes that split and that
    pad channels, in the order they ran."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        self.graph, self.calls = _run(module, example)
        self.nodes: dict[int, Node] = {id(n): n for n in self.graph.module2node.values()}
        operators = [node for node in self.nodes.values() if not is_layer(node)]
        operators.sort(key=lambda node: int(node.grad_fn._sequence_nr()))
        self.splits = [node for node in operators if "Split" in _operator(node)]
        self.pads = [node for node in operators if any(channel_pads(node))]

    def edges(self) -> Iterator[Edge]:
        """Each input of each node that another node makes."""
        made = {node.grad_fn: node for node in self.nodes.values()}
        for node in self.nodes.values():
            sources: _Sources = []
            for function, output in getattr(node.grad_fn, "next_functions", ()):
                variable = getattr(function, "variable", None)  # of a weight
                known = made if variable is None else self.graph.module2node
                sources.append((known.get(function if variable is None else variable), output))
            if "Cat" in _operator(node):
                yield from _joined(node, sources)
                continue
            for source, output in sources:
                if source is not None:
                    first, count = _piece(source, output)
                    at, _ = channel_pads(node)
                    if any(channel_pads(node)) and count is None:
                        count = _shape(source.grad_fn, output)[1]
                    yield Edge(source, node, first, count, at, _stride(source, output, node))


def is_layer(node: Node) -> bool:
    """Whether the node is a module or a weight outside of modules; others are operators."""
    kind = type(node.module)
    return isinstance(node.module, nn.Parameter) or not kind.__module__.startswith("torch_pruning")


def pieces(split: Node) -> list[int] | None:
    """Channels of each output of a split; None when it does not split channels."""
    shapes = [tuple(m.shape) for m in split.grad_fn._input_metadata]
    axis = _axis(split.grad_fn, len(shapes[0]))
    return [shape[axis] for shape in shapes] if axis in (1, len(shapes[0]) - 1) else None


def channel_pads(node: Node) -> tuple[int, int]:
    """Channels of zeros that the node puts before and after those of its input [n, c, ...]."""
    if "ConstantPad" not in _operator(node):
        return 0, 0
    pads = [int(p) for p in node.grad_fn._saved_pad]  # of the last axis first
    at = 2 * (len(_shape(node.grad_fn, 0)) - 2)
    return (pads[at], pads[at + 1]) if at < len(pads) else (0, 0)


def _run(module: nn.Module, example: Tensor) -> tuple[DependencyGraph, Counter[nn.Module]]:
    from torch_pruning import DependencyGraph

    calls: Counter[nn.Module] = Counter()
    hooks = [
        m.register_forward_hook(lambda layer, *_: calls.update([layer]))
        for m in module.modules()
        if not list(m.children())
    ]
    graph = DependencyGraph()
    try:
        with torch.enable_grad():
            graph.build_dependency(module, example, forward_fn=lambda m, x: m(x), verbose=False)
    finally:
        for hook in hooks:
            hook.remove()
    return graph, calls


def _operator(node: Node) -> str:
    return "" if is_layer(node) else type(node.grad_fn).__name__


def _shape(function: Any, output: int) -> tuple[int, ...]:  # Any: a node of autograd
    data = getattr(function, "_input_metadata", ())
    return tuple(data[output].shape) if output < len(data) else ()


def _axis(function: Any, rank: int) -> int:  # Any: a node of autograd
    axis = int(function._saved_dim)
    # Autograd keeps negative axes as unsigned numbers.
    return (axis - 2**64 if axis >= 2**63 else axis) % rank


def _piece(source: Node, output: int) -> tuple[int, int | None]:
    """(first channel, channels) of the value that leaves `source` by its output; None: all of them."""
    found = pieces(source) if "Split" in _operator(source) else None
    return (0, None) if found is None else (sum(found[:output]), found[output])


def _stride(source: Node, output: int, target: Node) -> int:
    """How many features each channel becomes where [n, c, ...] is flattened to [n, features]."""
    if not any(word in _operator(target) for word in ("View", "Reshape")):
        return 1
    before, after = _shape(source.grad_fn, output), _shape(target.grad_fn, 0)
    flat = len(after) == 2 < len(before) and before[0] == after[0]
    return math.prod(before[2:]) if flat else 1


def _joined(concat: Node, sources: _Sources) -> Iterator[Edge]:
    whole = _shape(concat.grad_fn, 0)
    axis = _axis(concat.grad_fn, len(whole))
    shapes = [() if s is None else _shape(s.grad_fn, output) for s, output in sources]
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
