"""An int8 graph of our own placement, with ranges and biases that another quantiser found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from squeeze.note import Note
from squeeze.quant import Quantised
from squeeze.quant.keep import kept
from squeeze.quant.output_error import output_errors
from squeeze.quant.place import place
from squeeze.quant.prepared import Built, Prepared, build, spelled
from squeeze.quant.ranges.floors import grids
from squeeze.quant.ranges.observe import observe
from squeeze.quant.ranges.observers import OBSERVERS
from squeeze.quant.repair.bias_correction import correct, mean_shifts
from squeeze.quant.weights.levels import FULL_BITS
from squeeze.quant.weights.weighted import read_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from squeeze.feed import Passes
    from squeeze.quant.borrowed.nncf import Borrowed
    from squeeze.quant.ranges.grid import Grid
    from squeeze.spec import QuantPart


def quantize_borrowed(
    model: ir.Model,
    passes: Passes,
    part: QuantPart,
    grid: Grid,
    borrow: Callable[[ir.Model], Borrowed],
) -> Quantised:
    """`model` in int8. borrow: is given the graph as int8 wants it written, whose names count.

    Tensors that the other one left alone get ranges as the recipe says. Biases are then corrected as ours are, which is
    kept where it brings the outputs nearer to the float ones.
    """
    stay = kept(model, part.keep_float)
    plain = spelled(model, stay)
    found = borrow(plain)
    prepared, borrowed = _prepared(plain, passes, part, grid, found, stay)
    codes = {}
    for layer in prepared.layers:
        nearest = layer.to_nearest(FULL_BITS, "uniform", grid)
        bias = found.biases.get(layer.name)
        taken = layer.biased and bias is not None and bias.shape == layer.bias.shape
        codes[layer.name] = replace(nearest, bias=bias) if taken else nearest
    built = build(prepared, codes)
    why = f"ranges of {borrowed} of {len(prepared.ranges)} tensors, and biases, as nncf found them"
    notes = [Note("nncf", True, why)]
    if not part.bias_correction:
        return Quantised(built.model, notes)
    return Quantised(_corrected(model, passes, part.samples, prepared, built, notes), notes)


def _prepared(
    plain: ir.Model,
    passes: Passes,
    part: QuantPart,
    grid: Grid,
    found: Borrowed,
    stay: frozenset[str],
) -> tuple[Prepared, int]:
    """Placement and ranges; how many of the ranges are borrowed."""
    placement = place(plain.graph, stay)
    names = sorted({str(root.name) for root in placement.roots.values()})
    ranges = {name: found.ranges[name] for name in names if name in found.ranges}
    borrowed = len(ranges)
    if missing := [name for name in names if name not in ranges]:
        seen = observe(
            plain,
            missing,
            passes,
            part.samples,
            histograms=part.observer != "minmax",
            tick=lambda count: None,
        )
        ranges |= {name: OBSERVERS[part.observer](seen[name]) for name in missing}
    params = grids(placement, ranges, grid)
    return Prepared(plain, placement, params, grid, read_all(placement, params), stay), borrowed


def _corrected(
    model: ir.Model,
    passes: Passes,
    samples: int,
    prepared: Prepared,
    built: Built,
    notes: list[Note],
) -> ir.Model:
    biased = [layer for layer in built.layers if layer.bias_name]
    if not biased:
        return built.model
    shifts = mean_shifts(prepared.model, built.model, biased, passes, samples)
    corrected = correct(built.model, biased, shifts)
    before, after = output_errors(model, [built.model, corrected], passes, samples)
    why = f"error of the outputs {100 * before:.2f} % -> {100 * after:.2f} % of their deviation"
    notes.append(Note("bias correction", after < before, why))
    return corrected if after < before else built.model
