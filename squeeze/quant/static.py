"""Post-training quantisation, step by step: place, observe, insert, correct biases, and say what was done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from squeeze.progress import Progress
from squeeze.quant import Quantised
from squeeze.quant.grid import Grid, params
from squeeze.quant.insert import insert
from squeeze.quant.observers import OBSERVERS
from squeeze.quant.place import place
from squeeze.quant.ranges import observe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.spec import QuantPart

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


def quantize_static(
    model: ir.Model,
    batches: Callable[[], Iterator[NDArray[np.generic]]],
    *,
    activations: Literal["uint8", "int8"],
    part: QuantPart,
    progress: Progress | None,
    reduce_range: bool,
) -> Quantised:
    """See `squeeze.quant.quantize`."""
    shown = progress or Progress()
    grid = Grid(np.dtype(activations), 63 if reduce_range else 127)
    quantised = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    ShapeInferencePass(data_prop=True)(quantised)
    placement = place(quantised.graph)
    names = sorted({str(root.name) for root in placement.roots.values()})
    histograms = part.observer != "minmax"
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        shown.update(done, part.samples * (1 + histograms), "calibration")

    seen = observe(model, names, batches, part.samples, histograms=histograms, tick=tick)
    observer = OBSERVERS[part.observer]
    insert(quantised, placement, {n: params(*observer(seen[n]), grid) for n in names}, grid)
    return Quantised(quantised, [])
