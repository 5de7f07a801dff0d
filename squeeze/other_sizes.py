"""Other sizes than the data's, for the axes that a model leaves free: a change of its graph is tried on them too.

Axes of one name vary together. First each name by an amount of its own, then all by the same, for axes that must be
equal without being called so; where the model takes neither, one name at a time. The amounts are multiples of the
strides that networks have, then one entry more, and for models with a limit less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squeeze.feed import Array, Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from squeeze.interface import Interface

AMOUNTS = (32, 1, -1, -32)
Sizes = dict[str, int]  # name of free axes -> size


def other_sizes(free: Mapping[str, int], takes: Callable[[Sizes], bool]) -> list[Sizes]:
    """Sizes other than `free` (names and the data's sizes) that a model takes, as `takes` says; none where it takes
    no other. One entry varies all names; several are for one name each, the others as they are.
    """
    for sizes in _together(free):
        if takes(sizes):
            return [sizes]
    if len(free) < 2:
        return []
    found = []
    for name, size in free.items():
        tried = ({**free, **one} for one in _together({name: size}))
        found += [sizes for sizes in tried if takes(sizes)][:1]
    return found


def _together(free: Mapping[str, int]) -> Iterator[Sizes]:
    for amount in AMOUNTS:
        apart = {name: size + amount * (i + 1) for i, (name, size) in enumerate(free.items())}
        alike = {name: size + amount for name, size in free.items()}
        for sizes in (apart, alike) if apart != alike else (alike,):
            if all(size > 0 for size in sizes.values()):
                yield sizes


def resized(feed: Feed, interface: Interface, sizes: Mapping[str, int]) -> dict[str, Array]:
    """`feed` with its free axes in these sizes: cut off, or begun anew, so that all values are the data's."""
    found = dict(feed)
    for spec in interface.inputs:
        for axis, name in spec.free:
            x = found[spec.name]
            if name in sizes and x.shape[axis + 1] == 0:  # a state that begins empty
                shape = [*x.shape[: axis + 1], sizes[name], *x.shape[axis + 2 :]]
                found[spec.name] = np.zeros(shape, x.dtype)
            elif name in sizes:
                index = np.arange(sizes[name]) % x.shape[axis + 1]
                found[spec.name] = np.take(x, index, axis=axis + 1)
    return found
