"""An int8 graph of our own placement, with ranges and biases that another quantiser found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import onnx_ir as ir

from squeeze.note import Note
from squeeze.progress import Progress
from squeeze.quant import Quantised
from squeeze.quant.borrowed.read import Borrowed
from squeeze.quant.keep import kept
from squeeze.quant.output_error import Expected, compared, enough, together
from squeeze.quant.prepared import Built, Prepared, build, prepare
from squeeze.quant.ranges.floors import grids
from squeeze.quant.ranges.grid import Grid
from squeeze.quant.repair.bias_correction import correct, mean_shifts
from squeeze.quant.weights.levels import FULL_BITS
from squeeze.quant.weights.weighted import Codes, read_all

if TYPE_CHECKING:
    from squeeze.feed import Passes
    from squeeze.spec import QuantPart


def quantize_borrowed(
    model: ir.Model,
    passes: Passes,
    borrow: Callable[[ir.Model], Borrowed],
    *,
    activations: Literal["uint8", "int8"],
    part: QuantPart,
    progress: Progress,
    reduce_range: bool = False,
) -> Quantised:
    """`model` in int8; other arguments as for `squeeze.quant.quantize`.

    borrow: is given the graph as int8 wants it written, whose names count

    Tensors that the other one left alone keep the ranges that we find. Biases are those found, our own, or one of them
    corrected as ours are: whichever brings the outputs nearest to the float ones.
    """
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress.update(done, part.samples, "calibration samples")

    own = prepare(
        model,
        passes,
        part.samples,
        grid=Grid.of(activations, safe=reduce_range),
        observer=part.observer,
        tick=tick,
        float_outputs=kept(model, part.keep_float),
    )
    progress.update(0, 0, "nncf at work")
    found = borrow(own.model)
    prepared, count = _with_ranges(own, found.ranges)
    notes = [Note("nncf", True, f"its ranges for {count} of {len(own.observed)} tensors")]
    expected = Expected(model, passes, enough(passes.interface, part.samples))
    built = build(prepared, {})
    if codes := _with_biases(prepared, found):
        built = _nearer(expected, "biases of nncf", built, build(prepared, codes), notes)
    biased = [layer for layer in built.layers if layer.is_biased]
    if part.bias_correction and biased:
        shifts = mean_shifts(prepared.model, built.model, biased, passes, part.samples)
        other = replace(built, model=correct(built.model, biased, shifts))
        built = _nearer(expected, "bias correction", built, other, notes)
    return Quantised(built.model, notes)


def _with_ranges(own: Prepared, ranges: dict[str, tuple[float, float]]) -> tuple[Prepared, int]:
    """The same with the ranges that are known; how many tensors have them."""
    taken = {name: ranges[name] for name in own.observed if name in ranges}
    observed = own.observed | taken
    params = grids(own.placement, observed, own.grid)
    layers = read_all(own.placement, params)
    return replace(own, observed=observed, ranges=params, layers=layers), len(taken)


def _with_biases(prepared: Prepared, found: Borrowed) -> dict[str, Codes]:
    """The weights of layers whose bias was changed, rounded to nearest, with that bias."""
    codes = {}
    for layer in prepared.layers:
        bias = found.biases.get(layer.name)
        if layer.biased and bias is not None and bias.shape == layer.bias.shape:
            nearest = layer.to_nearest(FULL_BITS, "uniform", prepared.grid)
            codes[layer.name] = replace(nearest, bias=bias)
    return codes


def _nearer(expected: Expected, name: str, now: Built, other: Built, notes: list[Note]) -> Built:
    """The one whose outputs are nearer to those of the float graph."""
    before, after = (together(e) for e in expected.errors(now.model, other.model))
    notes.append(compared(name, before, after))
    return other if after < before else now
