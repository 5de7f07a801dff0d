"""Positions that are counted from the tokens that are no padding, as RoBERTa, XLM-R and MPNet have them."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from squeeze.graph.values import contents, integer, producer

_SAME = ("Cast", "Identity")


@dataclass(frozen=True)
class Counted:
    """CumSum(ids != pad) * (ids != pad) + first: row `first` is that of padding, the next one of the first token."""

    ids: ir.Value
    pad: int
    first: int


def counted(index: ir.Value | None) -> Counted | None:
    """How `index` counts; None where it is made otherwise."""
    value, first = _shifted(index)
    mul = producer(value, "Mul")
    if mul is None:
        return None
    for count, there in (tuple(mul.inputs), tuple(mul.inputs)[::-1]):
        value, before = _shifted(count)
        sums = producer(value, "CumSum")
        # Older exporters add the length of what came before, which is 0.
        if sums is None or before or not _along_text(sums):
            continue
        one, other = _not_padding(there), _not_padding(sums.inputs[0])
        if one is not None and one == other:
            return Counted(*one, first)
    return None


def _along_text(sums: ir.Node) -> bool:
    axis = contents(sums.inputs[1])
    plain = not integer(sums, "exclusive", 0) and not integer(sums, "reverse", 0)
    return plain and axis is not None and axis.size == 1 and int(axis.item()) in (1, -1)


def _shifted(value: ir.Value | None) -> tuple[ir.Value | None, int]:
    """What a constant is added to, and the constant."""
    total = 0
    while (node := producer(value, *_SAME, "Add")) is not None:
        value = node.inputs[0]
        if node.op_type != "Add":
            continue
        sides = [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])]
        known = [(v, c) for v, other in sides if (c := contents(other)) is not None and c.size == 1]
        if not known:
            return node.outputs[0], total
        value = known[0][0]
        total += int(known[0][1].item())
    return value, total


def _not_padding(value: ir.Value | None) -> tuple[ir.Value, int] | None:
    """(ids, pad) where `value` is ids != pad."""
    turned = producer(_plain(value), "Not")
    equal = None if turned is None else producer(_plain(turned.inputs[0]), "Equal")
    if equal is None:
        return None
    for side, other in (tuple(equal.inputs), tuple(equal.inputs)[::-1]):
        ids, pad = _plain(side), contents(_plain(other))
        if ids is not None and ids.is_graph_input() and pad is not None and pad.size == 1:
            return ids, int(pad.item())
    return None


def _plain(value: ir.Value | None) -> ir.Value | None:
    while (node := producer(value, *_SAME)) is not None:
        value = node.inputs[0]
    return value
