"""Parts of an int8 graph that are faster in float, told from what the kernels of both graphs take.

The nodes of the float graph, in order, fall into segments: a node with weights and what follows it up to the next one.
Each has a time in float and one in int8, with the Q/DQ that the runtime leaves. Which segments stay float is the
cheapest way through them in order (dynamic programming, as in Viterbi, 1967), where each change from one to the other
costs a Q or a DQ. That is an estimate, from sums of kernels: what it says is built and timed before it is believed.

Products of two activations are float at first, and what they take says whether int8 is worth a try.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir

from squeeze.graph.values import constant, is_op
from squeeze.quant.place import WEIGHTED

# What one number costs to be quantised or dequantised at an end of a segment, in us: about 4 an ns.
SWITCH_US = 0.25e-3
# A product, as the runtime's optimiser writes it.
FLOAT_PRODUCTS = ("FusedMatMul", "MatMul")


class Kernel(Protocol):
    """What is known of a kernel that ran; see `squeeze.measure.kernel_times`."""

    @property
    def name(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def reads(self) -> tuple[str, ...]: ...
    @property
    def makes(self) -> tuple[str, ...]: ...
    @property
    def elements(self) -> int: ...
    @property
    def us(self) -> float: ...


@dataclass(frozen=True)
class Segment:
    """Nodes of the float graph by their first outputs; what they take in both forms, and how many numbers they hand on.

    weighted: the first of them has weights; not so in what comes before all of those.
    """

    nodes: tuple[str, ...]
    weighted: bool
    float_us: float
    int8_us: float
    elements: int


def segments(
    graph: ir.Graph, in_float: Iterable[Kernel], in_int8: Iterable[Kernel]
) -> list[Segment]:
    """The segments of a float `graph`, in order. Kernels are of that graph, and of an int8 one that was made of it."""
    parts: list[list[str]] = [[]]
    where: dict[str, int] = {}
    for node in graph:
        if is_op(node, *WEIGHTED) and constant(node.inputs[1]) is not None:
            parts.append([])
        names = [str(v.name) for v in node.outputs]
        parts[-1].append(names[0])
        where.update(dict.fromkeys((*names, *([node.name] if node.name else [])), len(parts) - 1))
    float_us, elements = _sums(in_float, where, len(parts))
    int8_us, _ = _sums(in_int8, where, len(parts))
    return [
        Segment(tuple(part), i > 0, float_us[i], int8_us[i], elements[i])
        for i, part in enumerate(parts)
    ]


def faster_in_float(found: Sequence[Segment], switch_us: float = SWITCH_US) -> set[int]:
    """The segments that stay float on the cheapest way through all of them."""
    # Whether the last segment is float -> the cheapest way to it: its time in us, and those that are float.
    ways: dict[bool, tuple[float, tuple[int, ...]]] = {False: (0.0, ()), True: (0.0, ())}
    handed = 0
    for i, one in enumerate(found):
        ways = {
            is_float: min(
                (
                    us
                    + (one.float_us if is_float else one.int8_us)
                    + (switch_us * handed if was != is_float else 0.0),
                    (*floats, i) if is_float else floats,
                )
                for was, (us, floats) in ways.items()
            )
            for is_float in (False, True)
        }
        handed = one.elements
    return set(min(ways.values())[1])


def predicted_us(
    found: Sequence[Segment], floats: Collection[int], switch_us: float = SWITCH_US
) -> float:
    """What the whole takes with the segments `floats` in float."""
    total = 0.0
    for i, one in enumerate(found):
        total += one.float_us if i in floats else one.int8_us
        if i and (i in floats) != (i - 1 in floats):
            total += switch_us * found[i - 1].elements
    return total


def products_us(graph: ir.Graph, kernels: Sequence[Kernel]) -> float:
    """What float products of two activations take, of the kernels of a file that was made of `graph`: what they read
    is no constant."""
    computed = {n for kernel in kernels for n in kernel.makes} | {str(v.name) for v in graph.inputs}
    return sum(
        kernel.us
        for kernel in kernels
        if kernel.op in FLOAT_PRODUCTS and computed.issuperset(kernel.reads[:2])
    )


def _sums(
    kernels: Iterable[Kernel], where: dict[str, int], count: int
) -> tuple[list[float], list[int]]:
    """Time of each segment, and the numbers that the last of its kernels makes. A kernel whose names say nothing is
    where what it reads was made."""
    us, elements = [0.0] * count, [0] * count
    known = dict(where)
    for kernel in kernels:
        at = next(
            (i for n in (*kernel.makes, kernel.name) if (i := _at(n, known)) is not None), None
        )
        if at is None:
            at = max((i for n in kernel.reads if (i := _at(n, known)) is not None), default=0)
        known.update({n: at for n in kernel.makes if n not in known})
        us[at] += kernel.us
        elements[at] = kernel.elements
    return us, elements


def _at(name: str, known: Mapping[str, int]) -> int | None:
    """Where a name belongs, or the one that it was made of: passes put words behind them, such as `_quantised_nhwc`."""
    while name not in known and "_" in name:
        name = name.rpartition("_")[0]
    return known.get(name)
