"""Samples for a model whose sizes may vary, where there are no data: of shapes that were asked for or chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squeeze.runtimes.shapes import batch_of, shapes_of
from squeeze.runtimes.signature import Input, generate
from squeeze.teacher.ends import said_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.end import End
    from squeeze.feed import Feed

_COUNT = 4


def samples_of(
    source: str, weights: str | None, shapes: Mapping[str, Sequence[int]]
) -> tuple[Feed | None, tuple[str, ...]]:
    """Generated samples [n, ...] for each input of the model, and what was assumed of their sizes.

    shapes: of one run, batch included, by input or under "" for all with as many axes. None where nothing has to
    be said (all sizes are the model's own), or can be (a factory does not say what its model takes).

    Raises ConfigError or UnsupportedError as `squeeze.teacher.load`, and ConfigError for a shape that fits no input.
    """
    said = said_of(source, weights)
    inputs, hints = ((), {}) if said is None else (_inputs(said.inputs), said.metadata)
    chosen, assumed = shapes_of(inputs, shapes, hints)
    if not inputs or not (shapes or assumed):
        return None, ()
    feed = {}
    for seed, needs in enumerate(inputs):
        axis, shape = batch_of(needs), list(chosen[needs.name])
        if axis is None:
            feed[needs.name] = generate(needs, shape, seed)[None]
        else:
            shape[axis] = _COUNT
            free = Input(needs.name, needs.dtype, tuple(shape))
            feed[needs.name] = np.moveaxis(generate(free, shape, seed), axis, 0)
    return feed, assumed


def _inputs(declared: Sequence[End]) -> tuple[Input, ...]:
    """As the runtime states them; none where an input does not even say how many axes it has."""
    return tuple(
        Input(d.name, np.dtype(d.dtype), tuple(s or f"dim{i}" for i, s in enumerate(d.sizes or ())))
        for d in (() if any(d.sizes is None for d in declared) else declared)
    )
