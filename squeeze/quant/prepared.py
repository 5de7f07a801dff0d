"""A float graph with everything that int8 takes but the weights: placement, activation ranges, integer types.

From one of these any number of quantised graphs is built, each with other integers for its weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from squeeze.errors import ConfigError, unknown
from squeeze.graph.values import tell_apart
from squeeze.quant.insert import Codes, Layer, insert
from squeeze.quant.phases import use_phases
from squeeze.quant.place import Placement, place
from squeeze.quant.ranges.floors import grids
from squeeze.quant.ranges.grid import Grid, Params
from squeeze.quant.ranges.observe import Tick, observe
from squeeze.quant.ranges.observers import OBSERVERS
from squeeze.quant.tables import quantise_tables
from squeeze.quant.weights.levels import FULL_BITS, check_bits
from squeeze.quant.weights.weighted import Weighted, read_all

if TYPE_CHECKING:
    from squeeze.feed import Passes

Bits = Mapping[str, int] | int


@dataclass(frozen=True)
class Prepared:
    """`model` has its shapes inferred and is not changed. `observed`, (low, high), and `ranges` have the name of every
    root of `placement`, which leaves the nodes `float_outputs` (by first output) alone."""

    model: ir.Model
    placement: Placement
    observed: dict[str, tuple[float, float]]
    ranges: dict[str, Params]
    grid: Grid
    layers: list[Weighted]
    float_outputs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Built:
    """A quantised graph, its weighted nodes, and name of an embedding table -> its error (see `tables`)."""

    model: ir.Model
    layers: list[Layer]
    tables: dict[str, float]


def inferred(model: ir.Model) -> ir.Model:
    """A copy with inferred shapes."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    ShapeInferencePass(data_prop=True)(copy)
    return copy


def spelled(model: ir.Model, float_outputs: Collection[str] = ()) -> ir.Model:
    """A copy with inferred shapes that is written as int8 wants it; nodes of `float_outputs` are as they were."""
    copy = inferred(model)
    if use_phases(copy, float_outputs):
        ShapeInferencePass(data_prop=True)(copy)
    return copy


def prepare(
    model: ir.Model,
    passes: Passes,
    samples: int,
    *,
    grid: Grid,
    observer: str,
    tick: Tick,
    float_outputs: Collection[str] = (),
) -> Prepared:
    """Runs over the samples for the ranges of all activations that are quantised.

    Raises ConfigError when there are no samples or values are not finite.
    """
    copy = spelled(model, float_outputs)
    placement = place(copy.graph, float_outputs)
    names = sorted({str(root.name) for root in placement.roots.values()})
    observed = observed_ranges(copy, names, passes, samples, observer=observer, tick=tick)
    ranges = grids(placement, observed, grid)
    layers = read_all(placement, ranges)
    return Prepared(copy, placement, observed, ranges, grid, layers, frozenset(float_outputs))


def observed_ranges(
    model: ir.Model,
    names: Sequence[str],
    passes: Passes,
    samples: int,
    *,
    observer: str,
    tick: Tick,
) -> dict[str, tuple[float, float]]:
    """(low, high) of each named value, as the observer has it. Raises ConfigError as `prepare` does."""
    seen = observe(model, names, passes, samples, histograms=observer != "minmax", tick=tick)
    return {name: OBSERVERS[observer](seen[name]) for name in names}


def build(prepared: Prepared, codes: Mapping[str, Codes]) -> Built:
    """The quantised graph with `codes` (name of a layer's float output -> weights); other layers get 8 bits."""
    copy = prepared.model.clone()
    placement = place(copy.graph, prepared.float_outputs)
    layers = insert(copy, placement, prepared.ranges, prepared.grid, codes)
    return Built(copy, layers, tables(copy))


def tables(model: ir.Model) -> dict[str, float]:
    """Makes embedding tables int8, in place; see `quantise_tables`."""
    found = quantise_tables(model.graph)
    if found:
        RemoveUnusedNodesPass()(model)
    tell_apart(model)
    return found


def bits_of(layers: list[Weighted], bits: Bits) -> dict[str, int]:
    """Bits of each layer. One number is for all but the first and the last, which keep 8; names are for those alone.

    Raises ConfigError for a name that is no layer's and for bits other than 8, 4, 3, 2.
    """
    names = [layer.name for layer in layers]
    if isinstance(bits, int):
        check_bits(bits, "bits")
        return {n: FULL_BITS if n in (names[0], names[-1]) else bits for n in names}
    for name, number in bits.items():
        if name not in names:
            raise ConfigError(unknown("bits of layers", name, names))
        check_bits(number, f"bits of the layer '{name}'")
    return {name: bits.get(name, FULL_BITS) for name in names}
