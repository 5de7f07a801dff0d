"""Samples for a model whose sizes may vary, where there are no data: of shapes that were asked for or chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.runtimes.shapes import batch_of, shapes_of
from squeeze.runtimes.signature import Input, generate
from squeeze.teacher.source import classify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    inputs, hints = _declared(source, weights)
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


def _declared(source: str, weights: str | None) -> tuple[tuple[Input, ...], dict[str, str]]:
    """What the model says of its inputs, and its metadata."""
    kind = classify(source, weights)
    hints: dict[str, str] = {}
    if kind == "factory":
        return (), hints
    if kind == "onnx":
        from squeeze.teacher.onnx.external import read_graph
        from squeeze.teacher.onnx.signature import declared, inputs_of

        model = read_graph(Path(source))
        hints = {entry.key: entry.value for entry in model.metadata_props}
        found = [declared(value) for value in inputs_of(model.graph)]
    else:
        from squeeze.teacher.pt2.program import read_inputs

        found = list(read_inputs(Path(source)))
    if any(d.sizes is None for d in found):
        return (), hints
    return tuple(
        Input(d.name, np.dtype(d.dtype), tuple(s or f"dim{i}" for i, s in enumerate(d.sizes or ())))
        for d in found
    ), hints
