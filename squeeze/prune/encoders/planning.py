"""Which heads and channels go, so that a share of the multiplications does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from squeeze.students.encoder import Params

Numbers = NDArray[np.float64]
Stay = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Parts:
    """How much each head and each channel matters, an array a layer; parts of one loss, so that what counts is the
    score for a multiplication that is saved."""

    heads: Sequence[Numbers]
    ffn: Sequence[Numbers]


@dataclass(frozen=True)
class Plan:
    """Of each layer the heads and the channels that stay, in their order."""

    heads: Stay
    ffn: Stay


@dataclass(frozen=True)
class _Block:
    """What goes at once: `parts` of a list, and what it saves. key: the least goes first."""

    key: float
    macs: int
    place: int  # heads of layer i: 2 i; its channels: 2 i + 1
    parts: tuple[int, ...]


def plan(
    scores: Parts,
    params: Params,
    *,
    tokens: int,
    share: float,
    scope: Literal["global", "group"] = "global",
    align: int = 8,
) -> Plan:
    """What stays of an encoder of `params` that loses about `share` of its MACs for a sample of `tokens`.

    scope: "global" removes what matters least for its multiplications in the whole network, "group" the same share of
    each layer. align: channels that stay are a multiple of it, and at least as many; a head always stays.
    """
    of_head = params.head_size * (4 * params.hidden * tokens + 2 * tokens * tokens)
    of_channel = 2 * params.hidden * tokens
    queue: list[_Block] = []
    for layer, (heads, ffn) in enumerate(zip(scores.heads, scores.ffn, strict=True)):
        steps = _steps(len(heads), 1), _steps(len(ffn), align)
        for kind, (values, sizes, macs) in enumerate(
            zip((heads, ffn), steps, (of_head, of_channel), strict=True)
        ):
            queue += _blocks(values, sizes, macs, 2 * layer + kind, scope)
    wanted, gone = share * params.costs(tokens).macs, 0
    left = [set(range(len(v))) for pair in zip(scores.heads, scores.ffn, strict=True) for v in pair]
    # Stable: blocks of one list are in their order, whatever ties there are.
    for block in sorted(queue, key=lambda b: b.key):
        if gone + block.macs / 2 > wanted:
            break
        gone += block.macs
        left[block.place] -= set(block.parts)
    stay = [tuple(sorted(one)) for one in left]
    return Plan(tuple(stay[::2]), tuple(stay[1::2]))


def _steps(count: int, align: int) -> list[int]:
    """How many go at once, so that what is left is a multiple of `align` each time and never less than it."""
    if count <= align:
        return []
    first = count % align
    return [first] * bool(first) + [align] * (count // align - 1)


def _blocks(
    values: Numbers, sizes: Sequence[int], macs: int, place: int, scope: str
) -> list[_Block]:
    order = np.argsort(values, kind="stable")
    found, start = [], 0
    for size in sizes:
        parts = order[start : start + size]
        start += size
        key = (
            float(values[parts].sum()) / (size * macs) if scope == "global" else start / len(values)
        )
        found.append(_Block(key, size * macs, place, tuple(parts.tolist())))
    return found
