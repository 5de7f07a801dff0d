"""One run of a model about which nobody says anything: the sizes of its inputs, its batch, and values made for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.runtimes.ort import session
from squeeze.runtimes.shapes import batch_of, shapes_of
from squeeze.runtimes.signature import Input, generate, signature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from squeeze.feed import Feed
    from squeeze.interface import Interface


@dataclass(frozen=True)
class OneSample:
    """A run of one sample. shapes: of each input; batch_axes: of each input and output, None where it may not vary;
    assumed: in words, the sizes that had to be chosen."""

    shapes: Mapping[str, tuple[int, ...]]
    batch_axes: Mapping[str, int | None]
    assumed: tuple[str, ...]


def one_sample(model: Path) -> OneSample:
    """As ONNX Runtime states its inputs and outputs. Raises MeasureError for what it cannot open, UnsupportedError for
    inputs other than tensors of numbers."""
    opened = session(model)
    inputs = signature(opened)
    shapes, assumed = shapes_of(inputs, {}, opened.get_modelmeta().custom_metadata_map)
    outputs = [Input(o.name, np.dtype("float32"), tuple(o.shape)) for o in opened.get_outputs()]
    axes = {value.name: _free_batch(value) for value in (*inputs, *outputs)}
    return OneSample(shapes, axes, assumed)


def made_feed(model: Path) -> dict[str, NDArray[Any]]:  # Any: of any element type
    """The tensors of one run of one sample by input name, seeded. Raises as `one_sample`."""
    shapes = one_sample(model).shapes
    return {needs.name: generate(needs, shapes[needs.name]) for needs in signature(session(model))}


def made_sample(interface: Interface) -> Feed:
    """A seeded sample [1, ...] for each input of a model whose sizes are known."""
    return {
        spec.name: generate(Input(spec.name, np.dtype(spec.dtype), (1, *spec.shape)), None, seed)
        for seed, spec in enumerate(interface.inputs)
    }


def _free_batch(value: Input) -> int | None:
    axis = batch_of(value)
    return None if axis is None or isinstance(value.shape[axis], int) else axis
