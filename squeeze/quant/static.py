"""Post-training quantisation, step by step: smooth, place, observe, round, insert, correct biases, say what was done.

Smoothing, AdaRound and bias correction are each kept only when the outputs come nearer to the float ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx_ir as ir

from squeeze import graph
from squeeze.note import Note
from squeeze.progress import Progress
from squeeze.quant import Quantised, QuantisedLayer
from squeeze.quant.keep import kept
from squeeze.quant.output_error import Expected, compared, enough, together
from squeeze.quant.place import Placement, place
from squeeze.quant.prepared import (
    Bits,
    Built,
    Prepared,
    bits_of,
    build,
    prepare,
    spelled,
    store,
    usual_bits,
)
from squeeze.quant.ranges.grid import Grid
from squeeze.quant.repair.bias_correction import correct, mean_shifts
from squeeze.quant.repair.equalise import equalise
from squeeze.quant.repair.smooth import places, smooth, values_of
from squeeze.quant.stored import stored_layers
from squeeze.quant.weights.levels import Scaling, squared_error
from squeeze.quant.weights.rounding import round_for_outputs
from squeeze.quant.weights.weighted import Codes

if TYPE_CHECKING:
    from squeeze.feed import Passes
    from squeeze.spec import QuantPart

logger = logging.getLogger(__name__)

# DequantizeLinear takes a scale per channel since then.
LEAST_OPSET = 13
# Nodes that a reason names.
NAMED = 3
# Of the error before: what smoothing has to reach that puts nodes into the graph.
CLEARLY_NEARER = 0.95


def quantize_static(
    model: ir.Model,
    passes: Passes,
    *,
    activations: Literal["uint8", "int8"],
    part: QuantPart,
    progress: Progress | None,
    reduce_range: bool,
    bits: Bits,
    scaling: Scaling,
    float_outputs: Collection[str],
    store_float: bool,
) -> Quantised:
    """See `squeeze.quant.quantize`."""
    if why := _unfit(model):
        copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
        return Quantised(copy, [Note("int8", False, why)])
    exact = kept(model, part.keep_float)
    stay = exact | frozenset(float_outputs)
    if not store_float:
        exact = stay
    equal, count = model, 0
    if part.equalise:
        equal, count = equalise(model, passes, part.samples, functions=False)
    plain = spelled(equal, stay)
    placement = place(
        plain.graph,
        stay,
        activation_products=part.activation_products,
        integer_outputs=part.integer_outputs,
    )
    if not placement.nodes:
        why = _reasons(placement) or "no Conv, Gemm or MatMul with constant weights"
        return Quantised(plain, [Note("int8", False, why), *store(plain, exact).notes()])

    grid = Grid.of(activations, safe=reduce_range)
    work = _Work(equal, passes, part, grid, progress or Progress(), stay, exact)
    prepared = work.prepare(equal, channels=values_of(equal) if part.smooth else ())
    if not prepared.placement.nodes:
        notes = [*_coarse(prepared), *store(plain, prepared.exact).notes()]
        return Quantised(plain, [Note("int8", False, "8 bits are too few for any of it"), *notes])
    wanted = bits_of(prepared.layers, bits)
    prepared = replace(prepared, table_bits=usual_bits(prepared.layers, wanted))
    chosen = work.rounded(prepared, wanted, scaling)
    built = build(prepared, chosen, stored=False)
    placement = prepared.placement
    notes = _placed(placement, prepared.observer, work.samples)
    notes += _coarse(prepared)
    if count:
        notes.append(
            Note("equalised", True, f"channels in front of {count} depthwise convolutions")
        )
    if part.smooth:
        prepared, chosen, built = work.smoothed(prepared, wanted, scaling, chosen, built, notes)
    if part.adaround:
        chosen, built = work.adarounded(prepared, wanted, scaling, chosen, built, notes)
    # Before biases are corrected: a table of few bits shifts what is behind it, too.
    stored = store(built.model, prepared.exact, prepared.table_bits).notes()
    final = built.model
    if part.bias_correction:
        final = work.corrected(prepared, built, notes)
    notes += stored
    notes += _left(placement, stored_layers(final.graph))
    for note in notes:
        logger.info("%s: %s", note.name, note.why)
    return Quantised(final, notes, _layers(prepared, chosen, wanted))


class _Work:
    """One quantisation: the float model, the samples, the recipe's part and who is told how far it is."""

    def __init__(
        self,
        model: ir.Model,
        passes: Passes,
        part: QuantPart,
        grid: Grid,
        progress: Progress,
        float_outputs: frozenset[str],
        exact: frozenset[str],
    ) -> None:
        self.model, self.passes, self.part, self.grid = model, passes, part, grid
        self.progress, self.samples = progress, 0
        self.float_outputs, self.exact = float_outputs, exact
        self.expected = Expected(model, passes, enough(passes.interface, part.samples))

    def prepare(
        self, model: ir.Model, observer: str | None = None, channels: Collection[str] = ()
    ) -> Prepared:
        """Ranges of `model`. observer: one that is known already, in place of the recipe's; channels: see `prepare`."""
        self.samples = 0
        return prepare(
            model,
            self.passes,
            self.part.samples,
            grid=self.grid,
            observer=observer or self.part.observer,
            tick=self._tick,
            float_outputs=self.float_outputs,
            exact=self.exact,
            activation_products=self.part.activation_products,
            integer_outputs=self.part.integer_outputs,
            channels=channels,
        )

    def _tick(self, count: int) -> None:
        self.samples += count
        self.progress.update(self.samples, self.part.samples, "calibration samples")

    def errors(self, *quantised: ir.Model) -> list[float]:
        """Of the outputs, on calibration samples."""
        return [together(found) for found in self.expected.errors(*quantised)]

    def rounded(
        self, prepared: Prepared, bits: dict[str, int], scaling: Scaling
    ) -> dict[str, Codes]:
        """The weights of all layers, to nearest."""
        return {
            layer.name: layer.to_nearest(bits[layer.name], scaling, prepared.grid)
            for layer in prepared.layers
        }

    def smoothed(
        self,
        prepared: Prepared,
        bits: dict[str, int],
        scaling: Scaling,
        codes: dict[str, Codes],
        built: Built,
        notes: list[Note],
    ) -> tuple[Prepared, dict[str, Codes], Built]:
        """The same with smoothed activations when that brings the outputs nearer to the float ones."""
        best, known = (prepared, codes, built), prepared.channels
        for residuals, count in zip((False, True), places(self.model), strict=True):
            if not count:
                continue
            found = smooth(
                self.model, self.passes, self.part.samples, residuals=residuals, known=known
            )
            other = self.prepare(found.model, prepared.observer)
            other = replace(other, table_bits=prepared.table_bits)
            other_codes = self.rounded(other, bits, scaling)
            other_built = build(other, other_codes, stored=False)
            before, after = self.errors(best[2].model, other_built.model)
            what = f"channels behind {found.count} normalisations; "
            if found.added:
                what += f"{found.added} residuals take them back; "
            share = CLEARLY_NEARER if found.added else 1.0
            notes.append(compared("smoothing", before, after, what, share))
            if notes[-1].kept:
                best = other, other_codes, other_built
        return best

    def adarounded(
        self,
        prepared: Prepared,
        bits: dict[str, int],
        scaling: Scaling,
        codes: dict[str, Codes],
        built: Built,
        notes: list[Note],
    ) -> tuple[dict[str, Codes], Built]:
        """Weights rounded for the outputs of their layers, when that brings those of the model nearer."""
        wanted = {n: (b,) for n, b in bits.items()}
        rounding = round_for_outputs(
            prepared, wanted, scaling, self.passes, self.part.samples, self.progress
        )
        if skipped := len(wanted) - len(rounding.codes):
            why = f"{skipped} layers share weights or have too many inputs per output; they are rounded to nearest"
            notes.append(Note("adaround", False, why))
        if not rounding.codes:
            return codes, built
        other = codes | {name: c for (name, _), c in rounding.codes.items()}
        other_built = build(prepared, other, stored=False)
        before, after = self.errors(built.model, other_built.model)
        share = float(np.median(list(rounding.shares.values())))
        what = f"{len(wanted) - skipped} layers, whose own errors became {100 * share:.0f} % in the median; "
        notes.append(compared("adaround", before, after, what))
        return (other, other_built) if after < before else (codes, built)

    def corrected(self, prepared: Prepared, built: Built, notes: list[Note]) -> ir.Model:
        """The model with corrected biases when that brings its outputs nearer to the float ones, else as it was."""
        samples = self.part.samples
        with_bias = [layer for layer in built.layers if layer.is_biased]
        if not with_bias:
            return built.model
        shifts = mean_shifts(prepared.model, built.model, with_bias, self.passes, samples)
        corrected = correct(built.model, with_bias, shifts)
        before, after = self.errors(built.model, corrected)
        notes.append(compared("bias correction", before, after))
        return corrected if after < before else built.model


def _layers(
    prepared: Prepared, codes: Mapping[str, Codes], bits: Mapping[str, int]
) -> list[QuantisedLayer]:
    return [
        QuantisedLayer(
            name=layer.name,
            bits=bits[layer.name],
            weights=layer.weights.size,
            error=squared_error(
                layer.weights, codes[layer.name].integers, codes[layer.name].scales
            ),
        )
        for layer in prepared.layers
    ]


def _unfit(model: ir.Model) -> str | None:
    opset = model.graph.opset_imports.get("", 0)
    if opset < LEAST_OPSET:
        return f"opset {opset} has no scale per channel; {LEAST_OPSET} is needed"
    quantisers = [op for op in graph.count_ops(model) if "Quantize" in op or "QLinear" in op]
    return f"already quantised: it has {', '.join(quantisers)}" if quantisers else None


def _placed(placement: Placement, observer: str, samples: int) -> list[Note]:
    tensors = len(set(placement.roots.values()))
    why = f"{len(placement.nodes)} nodes in int8; ranges of {tensors} tensors by {observer}"
    return [Note("int8 placement", True, why, {"samples": samples})]


def _left(placement: Placement, stored: Collection[str]) -> list[Note]:
    """Each node once. stored: outputs of nodes whose weights are int8 all the same, which is said of those."""
    left = Counter(
        f"{node.op_type}: its weights are int8, its arithmetic is float"
        if any(value.name in stored for value in node.outputs)
        else why
        for node, why in placement.left.items()
    )
    return [
        Note("left float", False, f"{count} x {why}" if count > 1 else why)
        for why, count in sorted(left.items())
    ]


def _reasons(placement: Placement) -> str:
    """Why nothing is int8, each reason with the names of some of its nodes."""
    names: dict[str, list[str]] = {}
    for node, why in placement.left.items():
        names.setdefault(why, []).append(str(node.name or node.outputs[0].name))
    return "; ".join(
        f"{', '.join(map(repr, found[:NAMED]))}{f' and {len(found) - NAMED} more' if len(found) > NAMED else ''}: {why}"
        for why, found in sorted(names.items())
    )


def _coarse(prepared: Prepared) -> list[Note]:
    return [
        Note(
            "left float",
            False,
            f"{name}: 8 bits are too few for the function behind it: {100 * error:.0f} % of its deviation",
            {"error": error},
        )
        for name, error in prepared.coarse.items()
    ]
