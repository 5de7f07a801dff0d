"""A float graph with everything that int8 takes but the weights: placement, activation ranges, integer types.

From one of these any number of quantised graphs is built, each with other integers for its weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnx_ir as ir

from squeeze.errors import ConfigError, unknown
from squeeze.graph.inference import forget_others, infer_sizes, named_sizes
from squeeze.graph.unread import remove_unread
from squeeze.graph.values import is_op, tell_apart
from squeeze.note import Note
from squeeze.quant.coarse import suspects, too_coarse
from squeeze.quant.insert import Codes, Layer, insert
from squeeze.quant.output_error import output_errors
from squeeze.quant.phases import use_phases
from squeeze.quant.place import Placement, place
from squeeze.quant.ranges.floors import grids
from squeeze.quant.ranges.grid import Grid, Params
from squeeze.quant.ranges.observe import Tick, observe
from squeeze.quant.ranges.observers import OBSERVERS, Seen
from squeeze.quant.repair.channels import Wide
from squeeze.quant.stored import store_weights
from squeeze.quant.tables import NarrowTable, quantise_tables
from squeeze.quant.weights.levels import FULL_BITS, check_bits
from squeeze.quant.weights.weighted import Known, Weighted, read_all

if TYPE_CHECKING:
    from squeeze.feed import Passes

Bits = Mapping[str, int] | int

# The observer that is chosen by what comes out: what it tries, and how many samples that takes.
BEST = "best"
TRIED = ("mse", "percentile", "minmax")
SAMPLES = 16
# Errors on a few samples that differ by less say nothing: the first of them stays.
CLEARLY = 0.98


@dataclass(frozen=True)
class Prepared:
    """`model` has its shapes inferred and is not changed. `observed`, (low, high), and `ranges` have the name of every
    root of `placement`, which leaves the nodes `float_outputs` (by first output) alone, and products of two activations
    unless `activation_products`; `observer` is the one that they are from. integer_outputs: see `place`.

    coarse: those of `float_outputs` that 8 bits are too few for, see `squeeze.quant.coarse`. exact: those whose weights
    stay float too. table_bits: of embedding tables. channels: the largest magnitude of each channel of the last axis,
    of the values that it was asked for.
    """

    model: ir.Model
    placement: Placement
    observed: dict[str, tuple[float, float]]
    ranges: dict[str, Params]
    grid: Grid
    layers: list[Weighted]
    observer: str
    float_outputs: frozenset[str] = frozenset()
    activation_products: bool = False
    integer_outputs: bool = False
    coarse: Mapping[str, float] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()
    table_bits: int = FULL_BITS
    channels: Mapping[str, Wide] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """A quantised graph, its weighted nodes, and what is stored in int8 beside them."""

    model: ir.Model
    layers: list[Layer]
    stored: Stored


@dataclass(frozen=True)
class Stored:
    """By name: embedding tables, and weights of float layers in int8 with their error as a share of the deviation."""

    tables: dict[str, NarrowTable]
    weights: dict[str, float]

    def notes(self) -> list[Note]:
        """One for each."""
        found = [(_width(t.bits, "table"), name, t.error) for name, t in self.tables.items()]
        found += [
            (_width(FULL_BITS, "weights"), name, error) for name, error in self.weights.items()
        ]
        return [
            Note(what, True, f"{name}: {100 * error:.2f} % of its deviation", {"error": error})
            for what, name, error in found
        ]


def _width(bits: int, what: str) -> str:
    return f"int8 {what}" if bits == FULL_BITS else f"{bits}-bit {what}"


def inferred(model: ir.Model) -> ir.Model:
    """A copy with inferred shapes."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    infer_sizes(copy)
    return copy


def spelled(model: ir.Model, float_outputs: Collection[str] = ()) -> ir.Model:
    """A copy with inferred shapes that is written as int8 wants it; nodes of `float_outputs` are as they were."""
    copy = inferred(model)
    if use_phases(copy, float_outputs):
        infer_sizes(copy)
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
    exact: Collection[str] | None = None,
    activation_products: bool = False,
    integer_outputs: bool = False,
    channels: Collection[str] = (),
) -> Prepared:
    """Runs over the samples for the ranges of all activations that are quantised.

    float_outputs: nodes, by first output, that are computed in float; exact: those of them whose weights are not stored
    in int8 either, all where None. What 8 bits are too few for becomes one of both. channels: values whose channels are
    looked at, too.

    The observer "best" is the one of TRIED whose outputs are nearest to those of `model`: what clipping costs is known
    by what comes out alone. A rare large value may be noise, or the very thing that a detector looks for.

    Raises ConfigError when there are no samples or values are not finite.
    """
    copy = spelled(model, float_outputs)
    kept = frozenset(float_outputs)
    exact = kept if exact is None else frozenset(exact)

    def placed() -> Placement:
        return place(
            copy.graph,
            kept,
            activation_products=activation_products,
            integer_outputs=integer_outputs,
        )

    placement = placed()

    def look(names: Iterable[str], tick: Tick) -> dict[str, Seen]:
        wanted = sorted(names)
        return observe(
            copy,
            wanted,
            passes,
            samples,
            histograms=observer != "minmax",
            tick=tick,
            channels=channels,
        )

    doubted = suspects(placement)
    seen = look(_roots(placement) | doubted.keys(), tick)
    opset = copy.graph.opset_imports.get("", 1)
    coarse = too_coarse(doubted, seen, grid, opset)
    if coarse:
        kept |= coarse.keys()
        placement = placed()
        if missing := _roots(placement) - seen.keys():
            seen |= look(missing, lambda count: None)
    names = sorted(_roots(placement))
    known: Known = {}
    by_channel = {n: one.channels for n, one in seen.items() if one.channels is not None}

    def ranged(by: str) -> Prepared:
        observed = _ranges(copy.graph, {name: seen[name] for name in names}, by)
        ranges = grids(placement, observed, grid)
        layers = read_all(placement, ranges, known)
        return Prepared(
            copy,
            placement,
            observed,
            ranges,
            grid,
            layers,
            by,
            kept,
            activation_products,
            integer_outputs,
            coarse,
            exact | coarse.keys(),
            channels=by_channel,
        )

    if observer != BEST:
        return ranged(observer)
    return _nearest(model, [ranged(by) for by in TRIED], passes, min(samples, SAMPLES))


def _roots(placement: Placement) -> set[str]:
    return {str(root.name) for root in placement.roots.values()}


def _nearest(model: ir.Model, tried: list[Prepared], passes: Passes, samples: int) -> Prepared:
    """The one whose outputs, with weights rounded to nearest, are nearest to those of `model`; the first in doubt."""
    errors = output_errors(
        model, [build(one, {}, stored=False).model for one in tried], passes, samples
    )
    best = min(range(len(tried)), key=errors.__getitem__)
    return tried[best] if errors[best] < CLEARLY * errors[0] else tried[0]


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
    return _ranges(model.graph, seen, observer)


def _ranges(
    graph: ir.Graph, seen: Mapping[str, Seen], observer: str
) -> dict[str, tuple[float, float]]:
    """(low, high) of each value. Probabilities are not clipped: there the few large ones are what is looked for."""
    whole = {node.outputs[0].name for node in graph if is_op(node, "Softmax")}
    return {
        name: OBSERVERS["minmax" if name in whole else observer](one) for name, one in seen.items()
    }


def build(prepared: Prepared, codes: Mapping[str, Codes], *, stored: bool = True) -> Built:
    """The quantised graph with `codes` (name of a layer's float output -> weights); other layers get 8 bits.

    stored: with tables and weights of float layers in int8, too; without is enough to compare two graphs.
    """
    copy = prepared.model.clone()
    placement = place(
        copy.graph,
        prepared.float_outputs,
        activation_products=prepared.activation_products,
        integer_outputs=prepared.integer_outputs,
    )
    others = [layer for layer in prepared.layers if layer.name not in codes]
    nearest = {o.name: o.to_nearest(FULL_BITS, "uniform", prepared.grid) for o in others}
    layers = insert(copy, placement, prepared.ranges, prepared.grid, {**nearest, **codes})
    forget_others(copy, named_sizes(prepared.model))
    if not stored:
        tell_apart(copy)
        return Built(copy, layers, Stored({}, {}))
    return Built(copy, layers, store(copy, prepared.exact, prepared.table_bits))


def store(model: ir.Model, exact: Collection[str], table_bits: int = FULL_BITS) -> Stored:
    """Makes weights of what is computed in float int8, and embedding tables of `table_bits` bits, in place; see
    `quantise_tables` and `store_weights`. exact: first outputs of nodes whose weights stay."""
    tables = quantise_tables(model.graph, exact, table_bits)
    found = Stored(tables, store_weights(model.graph, exact))
    if found.tables or found.weights:
        remove_unread(model)
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


def usual_bits(layers: list[Weighted], bits: Mapping[str, int]) -> int:
    """The bits that most weights of layers have: those of embedding tables, too."""
    held: Counter[int] = Counter()
    for layer in layers:
        held[bits[layer.name]] += layer.weights.size
    return held.most_common(1)[0][0] if held else FULL_BITS
