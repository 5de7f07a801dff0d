"""One sample for a file of which only what it declares is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from squeeze.runtimes.ort import session
from squeeze.runtimes.runtime import Array
from squeeze.runtimes.shapes import shapes_of
from squeeze.runtimes.signature import Input, generate, signature
from squeeze.runtimes.switches import compared_with


def inputs_of(model: Path) -> tuple[Input, ...]:
    """What an ONNX file takes. Raises MeasureError when it cannot be opened."""
    return signature(session(model, optimise=False, native=False))


def one_sample(model: Path) -> dict[str, Array]:
    """A seeded sample of an ONNX file's inputs; sizes that may vary are round numbers, a number that the graph
    compares with is that number."""
    opened = session(model, optimise=False, native=False)
    inputs = signature(opened)
    shapes, _ = shapes_of(inputs, {}, opened.get_modelmeta().custom_metadata_map)
    made: dict[str, Array] = {n.name: generate(n, shapes[n.name], i) for i, n in enumerate(inputs)}
    for name, number in compared_with(model).items():
        if made[name].size == 1:
            made[name] = np.full_like(made[name], number)
    return made
