"""Post-training quantisation, step by step: place, observe, insert, correct biases, and say what was done."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from squeeze import graph
from squeeze.progress import Progress
from squeeze.quant import Quantised
from squeeze.quant.bias_correction import correct, mean_shifts
from squeeze.quant.grid import Grid, params
from squeeze.quant.insert import Layer, insert
from squeeze.quant.observers import OBSERVERS
from squeeze.quant.output_error import output_errors
from squeeze.quant.place import Placement, place
from squeeze.quant.ranges import observe
from squeeze.quant.runner import Batches
from squeeze.quant.tables import accepted, quantise_tables

if TYPE_CHECKING:
    from squeeze.spec import QuantPart

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON

# DequantizeLinear takes a scale per channel since then.
LEAST_OPSET = 13
# The largest weights: of 8 bits, and of 7 for CPUs whose sums of two products saturate at 16 bits.
FULL_LIMIT = 127
REDUCED_LIMIT = 63


def quantize_static(
    model: ir.Model,
    batches: Batches,
    *,
    activations: Literal["uint8", "int8"],
    part: QuantPart,
    progress: Progress | None,
    reduce_range: bool,
) -> Quantised:
    """See `squeeze.quant.quantize`."""
    quantised = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    if why := _unfit(quantised):
        return Quantised(quantised, [_note("int8", False, why)])
    ShapeInferencePass(data_prop=True)(quantised)
    placement = place(quantised.graph)
    if not placement.nodes:
        why = "; ".join(sorted(placement.left)) or "no Conv, Gemm or MatMul with constant weights"
        return Quantised(quantised, [_note("int8", False, why), *_tables(quantised)])

    dtype = np.dtype(np.uint8) if activations == "uint8" else np.dtype(np.int8)
    grid = Grid(dtype, REDUCED_LIMIT if reduce_range else FULL_LIMIT)
    names = sorted({str(root.name) for root in placement.roots.values()})
    histograms = part.observer != "minmax"
    tick = _Ticker(progress or Progress(), part.samples * (1 + histograms))
    seen = observe(model, names, batches, part.samples, histograms=histograms, tick=tick)
    observer = OBSERVERS[part.observer]
    layers = insert(
        quantised, placement, {n: params(*observer(seen[n]), grid) for n in names}, grid
    )
    notes = [
        *_placed(placement, part.observer, tick.samples),
        *_left(placement),
        *_tables(quantised),
    ]
    if part.bias_correction:
        quantised, note = _correct(model, quantised, layers, batches, part.samples)
        notes.append(note)
    for note in notes:
        logger.info("%s: %s", note["name"], note["why"])
    return Quantised(quantised, notes)


class _Ticker:
    """Counts samples over both passes and shows them."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0
        self.samples = 0

    def __call__(self, count: int, *, first_pass: bool) -> None:
        self.done += count
        self.samples += count if first_pass else 0
        self.progress.update(min(self.done, self.total), self.total, "calibration samples")


def _correct(
    model: ir.Model, quantised: ir.Model, layers: list[Layer], batches: Batches, samples: int
) -> tuple[ir.Model, Json]:
    """The model with corrected biases when that brings its outputs nearer to the float ones, else as it was."""
    with_bias = [layer for layer in layers if layer.bias_name]
    shifts = mean_shifts(model, quantised, with_bias, batches, samples)
    corrected = correct(quantised, with_bias, shifts)
    before, after = output_errors(model, [quantised, corrected], batches, samples)
    kept = after < before
    why = (
        f"error of the outputs on calibration samples {100 * before:.2f} % -> {100 * after:.2f} % "
        "of their deviation"
    )
    note = _note(
        "bias correction", kept, why if kept else f"undone: {why}", before=before, after=after
    )
    return (corrected if kept else quantised), note


def _unfit(model: ir.Model) -> str | None:
    opset = model.graph.opset_imports.get("", 0)
    if opset < LEAST_OPSET:
        return f"opset {opset} has no scale per channel; {LEAST_OPSET} is needed"
    quantisers = [op for op in graph.count_ops(model) if "Quantize" in op or "QLinear" in op]
    return f"already quantised: it has {', '.join(quantisers)}" if quantisers else None


def _placed(placement: Placement, observer: str, samples: int) -> list[Json]:
    tensors = len(set(placement.roots.values()))
    why = f"{len(placement.nodes)} nodes in int8; ranges of {tensors} tensors by {observer}"
    return [_note("int8 placement", True, why, samples=samples)]


def _left(placement: Placement) -> list[Json]:
    return [
        _note("left float", False, f"{count} x {why}" if count > 1 else why)
        for why, count in sorted(placement.left.items())
    ]


def _tables(quantised: ir.Model) -> list[Json]:
    found = quantise_tables(quantised.graph)
    if any(accepted(error) for error in found.values()):
        RemoveUnusedNodesPass()(quantised)
    return [
        _note(
            "int8 table",
            accepted(error),
            f"{name}: {100 * error:.2f} % of its deviation",
            error=error,
        )
        for name, error in found.items()
    ]


def _note(name: str, kept: bool, why: str, **numbers: float) -> Json:
    return {"name": name, "kept": kept, "why": why, "numbers": numbers}
