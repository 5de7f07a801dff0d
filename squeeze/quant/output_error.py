"""How far quantised models are from the float one, on calibration samples: the errors of all outputs, as the runtime
computes them.

numbers         root of the mean squared difference of each field (a class, a channel, a coordinate), as a share of the
                deviation of that field in the float output, element by element over the samples: an offset that all
                samples share does not count. Of all fields the root of the mean of the squares: the scores of a
                detector do not hide behind boxes in pixels. A field that hardly varies is held to a tenth of its size,
                see `squeeze.metrics.fields`. What is not finite in the float model does not count
integers, bool  the share of elements that changed

The error of a model is the root of the mean square of those of its outputs: each counts the same, and none hides behind
the worst one, so that a repair that helps any of them shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import graph, runtimes
from squeeze.metrics.fields import fields_axis, of_fields, of_sums
from squeeze.note import Note
from squeeze.quant.runner import chunks, fitting, of_like_length, output_bytes
from squeeze.runtimes.concurrent import in_order

if TYPE_CHECKING:
    from squeeze.feed import Array, Feed, Passes
    from squeeze.interface import Interface

# So many numbers of outputs, of no fewer samples than these, tell which of two files is nearer: a few pictures of a
# detector with thousands of boxes, hundreds of a classifier.
ENOUGH_NUMBERS = 1 << 16
LEAST_SAMPLES = 16
# What outputs of the float model may take that are kept.
KEPT_BYTES = 64 << 20

Floats = NDArray[np.float64]


def output_errors(
    model: ir.Model, quantised: Sequence[ir.Model], passes: Passes, samples: int
) -> list[float]:
    """For each quantised model the error of all of its outputs together."""
    return [together(found) for found in errors_by_output(model, quantised, passes, samples)]


def errors_by_output(
    model: ir.Model, quantised: Sequence[ir.Model], passes: Passes, samples: int
) -> list[dict[str, float]]:
    """For each quantised model: output -> error."""
    return Expected(model, passes, samples).errors(*quantised)


def enough(interface: Interface, samples: int, least: int = LEAST_SAMPLES) -> int:
    """How many of `samples` samples, if possible `least` of them, tell how far models are from each other."""
    numbers = max(1, sum(int(np.prod(o.shape, dtype=np.int64)) for o in interface.outputs))
    return min(samples, max(least, -(-ENOUGH_NUMBERS // numbers)))


class Expected:
    """What the float model gives for the calibration samples. It is run once where all of that fits into KEPT_BYTES,
    and again for each question where not."""

    def __init__(self, model: ir.Model, passes: Passes, samples: int) -> None:
        self._model, self._passes, self._samples = graph.to_bytes(model), passes, samples
        self._keeps = samples * output_bytes(passes.interface) <= KEPT_BYTES
        self._kept: list[Mapping[str, Array]] = []

    def errors(self, *quantised: ir.Model) -> list[dict[str, float]]:
        """For each quantised model: output -> error."""
        opened = [runtimes.session(graph.to_bytes(m), outputs_only=True) for m in quantised]
        known = self._kept
        if not known:
            opened.insert(0, runtimes.session(self._model))
        interface = self._passes.interface

        def run(feed: Feed) -> list[Mapping[str, Array]]:
            return [runtimes.infer(one, feed, interface) for one in opened]

        errors = Errors(len(quantised), [spec.shape for spec in interface.inputs])
        feeds = chunks(self._passes, self._samples, fitting(interface))
        padding = self._passes.padding
        if padding is not None and not padding.outputs:  # all outputs are of one size
            feeds = of_like_length(feeds, self._passes)
        expected: list[Mapping[str, Array]] = []
        for i, found in enumerate(in_order(run, feeds, self._passes.workers)):
            wanted, got = (known[i], found) if known else (found[0], found[1:])
            errors.add(wanted, got)
            if self._keeps:
                expected.append(wanted)
        self._kept = expected
        return errors.by_output()


def together(errors: Mapping[str, float]) -> float:
    """One number for the errors of all outputs of a model."""
    return float(np.sqrt(np.mean(np.square(list(errors.values())))))


def compared(name: str, before: float, after: float, what: str = "", share: float = 1.0) -> Note:
    """The note of a repair that is kept where it makes the error of the outputs less than that share of what it was.
    what: said in front."""
    kept = after < share * before
    why = (
        f"{what}error of the outputs on calibration samples {100 * before:.2f} % -> "
        f"{100 * after:.2f} % of their deviation"
    )
    return Note(name, kept, why if kept else f"undone: {why}", {"before": before, "after": after})


class Errors:
    """Sums, chunk by chunk, from which the errors of the outputs of some models follow. inputs: as `fields_axis` takes
    them."""

    def __init__(self, models: int, inputs: Sequence[tuple[int, ...]] = ()) -> None:
        self._models, self._inputs = models, inputs
        self._sums: dict[str, _Numbers | _Integers] = {}

    def add(self, expected: Mapping[str, Array], got: Sequence[Mapping[str, Array]]) -> None:
        """Samples [n, ...] of each output: those of the float model, and those of each model."""
        for name, wanted in expected.items():
            if name not in self._sums:
                self._sums[name] = (
                    _Numbers(self._models, self._inputs)
                    if wanted.dtype.kind == "f"
                    else _Integers(self._models)
                )
            self._sums[name].add(wanted, [outputs[name] for outputs in got])

    def by_output(self) -> list[dict[str, float]]:
        """Of each model: output -> error."""
        found = {name: sums.errors() for name, sums in self._sums.items()}
        return [{name: e[i] for name, e in found.items()} for i in range(self._models)]


class _Numbers:
    def __init__(self, models: int, inputs: Sequence[tuple[int, ...]]) -> None:
        self._inputs = inputs
        self._squares: list[Floats] = [np.zeros(())] * models  # of each element, over samples
        self._count = 0
        self._total = self._total_squares = np.zeros(())
        self._lowest, self._highest = np.asarray(np.inf), np.asarray(-np.inf)
        self._axis: int | None = None

    def add(self, expected: Array, got: Sequence[Array]) -> None:
        finite = np.isfinite(expected)
        wanted = np.where(finite, expected, 0).astype(np.float64)
        if not self._count:
            self._axis = fields_axis(wanted, self._inputs)
        for i, values in enumerate(got):
            difference = np.where(finite, values, 0).astype(np.float64) - wanted
            self._squares[i] = self._squares[i] + (difference**2).sum(axis=0)
        self._count += len(wanted)
        self._total = self._total + wanted.sum(axis=0)
        self._total_squares = self._total_squares + (wanted**2).sum(axis=0)
        self._lowest = np.minimum(self._lowest, wanted.min(axis=0))
        self._highest = np.maximum(self._highest, wanted.max(axis=0))

    def errors(self) -> list[float]:
        known = of_sums(
            self._count, self._total, self._total_squares, self._lowest, self._highest, self._axis
        )
        varies = np.maximum(self._total_squares / self._count - known.mean**2, 0)
        unit = np.maximum(self._of_fields(varies), known.least)
        unit = np.where(unit > 0, unit, 1.0)
        return [
            float(np.sqrt((self._of_fields(s / self._count) / unit).mean())) for s in self._squares
        ]

    def _of_fields(self, elements: Floats) -> Floats:
        """The mean of each field, [f]."""
        return np.asarray(of_fields(elements[None], self._axis)[0].mean(axis=1))


class _Integers:
    def __init__(self, models: int) -> None:
        self._changed = np.zeros(models)
        self._count = 0

    def add(self, expected: Array, got: Sequence[Array]) -> None:
        self._changed += [float((values != expected).sum()) for values in got]
        self._count += expected.size

    def errors(self) -> list[float]:
        return [float(changed / max(self._count, 1)) for changed in self._changed]
