"""Which parts of a convolutional teacher there are to choose from: three compact spaces, one network for each.

Spaces are split as those of text encoders are, for very different sizes disturb each other in shared weights. All
groups of one map size have the same share of their channels: even shares stay nearest to the teacher (docs/search.md).
"""

from __future__ import annotations

import random
from functools import partial
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from squeeze.shrink.supernet.slices import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.shrink.supernet.slices import Sliceable, Slices
    from squeeze.train.supernet.space import Name

# Shares of the channels of a map size, and of the blocks of a stage that may go.
_SHARES: dict[Name, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "base": ((1 / 2, 3 / 4, 1.0), (1 / 2, 1.0)),
    "small": ((1 / 4, 3 / 8, 1 / 2, 3 / 4), (0.0, 1 / 2, 1.0)),
    "tiny": ((1 / 8, 1 / 4, 3 / 8, 1 / 2), (0.0, 1 / 2)),
}
# Channels that stay are a multiple of it, and at least as many: the vectors of all kernels.
_ALIGN = 8
# So many parts are all asked; of more, so many drawn ones.
MOST = 256


def parts(name: Name, slices: Slices, most: int = MOST) -> list[Part]:
    """The parts of a space, each once: all, or the smallest, the largest and some between, drawn evenly, where there
    are more than `most`. The smallest first and the largest last."""
    widths, depths = _choices(name, slices.known)
    choices = [*widths, *depths]
    count = prod(map(len, choices))
    if count <= most:
        drawn = list(product(*choices))
    else:
        between = random.Random(0).sample(range(1, count - 1), most - 2)
        drawn = [_at(choices, i) for i in (0, *between, count - 1)]
    made = (_part(slices.known, one[: len(widths)], one[len(widths) :]) for one in drawn)
    # Of a small teacher several shares are the same channels, and what is gone has no width.
    alike = {tuple(sorted(_sizes(slices, part))): part for part in made}
    return sorted(alike.values(), key=partial(_costs, slices))


Units = tuple[int, ...]  # of each group of a level


def _choices(
    name: Name, known: Sliceable
) -> tuple[list[tuple[Units, ...]], list[tuple[Units, ...]]]:
    """Of each level what its groups may have, of each stage how many blocks, ascending."""
    shares, depths = _SHARES[name]
    count = 1 + max((group.level for group in known.groups), default=-1)
    widths = []
    for level in range(count):
        sizes = [group.units for group in known.groups if group.level == level]
        found = dict.fromkeys(tuple(_kept(s, size) for size in sizes) for s in sorted(shares))
        widths.append(tuple(found))
    stages: list[tuple[Units, ...]] = [
        tuple(dict.fromkeys((round(share * len(stage)),) for share in sorted(depths)))
        for stage in known.stages
    ]
    return widths, stages


def _kept(share: float, size: int) -> int:
    step = _ALIGN if size % _ALIGN == 0 else 1
    return min(size, max(min(size, _ALIGN), round(share * size / step) * step))


def _at(choices: Sequence[tuple[Units, ...]], number: int) -> tuple[Units, ...]:
    """The choice of a number from 0 on, the first of each being 0."""
    found = []
    for one in choices:
        number, place = divmod(number, len(one))
        found.append(one[place])
    return tuple(found)


def _part(known: Sliceable, widths: Sequence[Units], depths: Sequence[Units]) -> Part:
    waiting = [list(units) for units in widths]
    return Part(
        units=tuple(waiting[group.level].pop(0) for group in known.groups),
        depths=tuple(depth for (depth,) in depths),
    )


def _sizes(slices: Slices, part: Part) -> list[tuple[str, int, int]]:
    """What tells it from others."""
    return [(name, one.inputs, one.outputs) for name, one in slices.layers(part).items()]


def _costs(slices: Slices, part: Part) -> tuple[int, int]:
    macs, parameters, _ = slices.costs(part)
    return macs, parameters
