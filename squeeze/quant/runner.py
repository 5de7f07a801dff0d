"""Runs a graph over calibration samples and hands out values inside it, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from squeeze import graph, runtimes
from squeeze.errors import ConfigError, MeasureError
from squeeze.feed import count, joined, part
from squeeze.runtimes.concurrent import in_order

if TYPE_CHECKING:
    from squeeze.feed import Array, Feed, Padding, Passes
    from squeeze.interface import Interface, TensorSpec

# Samples that go through a model together where it takes any number.
SAMPLES_AT_ONCE = 32
# Those of a run where samples have lengths: of more of them not all are alike.
OF_LIKE_LENGTH = 8
# What the values of one run may take together.
CHUNK_BYTES = 48 << 20
# What inputs and outputs of one run may take where the values inside are the runtime's: some ten times as much.
ENDS_BYTES = 8 << 20


def chunks(passes: Passes, samples: int, at_once: int = SAMPLES_AT_ONCE) -> Iterator[Feed]:
    """The first `samples` samples: as many at a time as the model's own batch has, or `at_once`; the last may be fewer.

    How the feeds of the passes were cut does not show. Raises ConfigError when there are no samples or a number is not
    finite.
    """
    size = passes.interface.batch_size or at_once
    waiting: Feed = {}
    left = samples
    for feed in passes():
        taken = part(feed, 0, left)
        _check_finite(taken)
        left -= count(taken)
        waiting = joined([waiting, taken]) if waiting else taken
        whole = count(waiting) // size * size
        yield from (part(waiting, start, start + size) for start in range(0, whole, size))
        waiting = part(waiting, whole)
        if left <= 0:
            break
    if count(waiting):
        yield waiting
    if left == samples:
        raise ConfigError("calibration: no samples; one or more are needed")


def of_like_length(feeds: Iterator[Feed], passes: Passes) -> Iterator[Feed]:
    """The samples of each feed in parts of like length, without padding where that may be left away."""
    padding, size = passes.padding, passes.interface.batch_size or OF_LIKE_LENGTH
    if padding is None:
        return feeds
    return (part for feed in feeds for part in padding.parts(feed, size))


def output_bytes(interface: Interface) -> int:
    """What all outputs take for one sample."""
    return _bytes(interface.outputs)


def fitting(interface: Interface) -> int:
    """How many samples go through at once so that inputs and outputs of one run stay within ENDS_BYTES."""
    ends = _bytes((*interface.inputs, *interface.outputs))
    return max(1, min(SAMPLES_AT_ONCE, ENDS_BYTES // max(ends, 1)))


def _bytes(specs: Sequence[TensorSpec]) -> int:
    return sum(
        int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize for spec in specs
    )


def with_outputs(model: ir.Model, names: Sequence[str]) -> bytes:
    """The model as bytes, with the values called `names` as its only outputs, in that order."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    values = {v.name: v for v in copy.graph.inputs}
    values |= {v.name: v for node in copy.graph for v in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in names)
    return graph.to_bytes(copy)


class Runner:
    """An open session that gives every output of `model` as the runtime has it: where the batch of a value inside a
    model is, is not known, so that nothing is cut off.

    A chunk that is shorter than a fixed batch is filled up with its own samples, from the first on. `whole_chunks` when
    the outputs are taken over the batch and say nothing about its memory. workers: chunks that may be run at the same
    time. padding: what may be left away of the samples, which then come in another order within a feed.
    """

    def __init__(
        self,
        model: bytes,
        interface: Interface,
        *,
        whole_chunks: bool = False,
        workers: int = 1,
        padding: Padding | None = None,
    ) -> None:
        self._session = runtimes.session(model)
        self._interface, self._workers, self._padding = interface, workers, padding
        fixed = interface.batch_size
        # The first sample goes alone: it tells how much memory one takes.
        self._chunk = fixed or (SAMPLES_AT_ONCE if whole_chunks else 1)
        self._measured = fixed is not None or whole_chunks

    def run(self, feed: Feed) -> Iterator[tuple[int, list[Array]]]:
        """The outputs for some samples, in chunks that memory allows: (samples in the chunk, outputs)."""
        start = 0
        if not self._measured:
            size, outputs = self._counted(part(feed, 0, self._chunk))
            total = sum(o.nbytes for o in outputs)
            # With padding it is the longest that there can be, which comes again without.
            if self._padding is None:
                start = size
                yield size, outputs
            self._chunk, self._measured = max(1, CHUNK_BYTES // max(total, 1)), True
        yield from in_order(self._counted, self._cut(part(feed, start)), self._workers)

    def _cut(self, feed: Feed) -> Iterator[Feed]:
        if self._padding is None:
            for at in range(0, count(feed), self._chunk):
                yield part(feed, at, at + self._chunk)
            return
        fixed = self._interface.batch_size is not None
        yield from self._padding.parts(
            feed, self._chunk if fixed else min(self._chunk, OF_LIKE_LENGTH)
        )

    def _counted(self, feed: Feed) -> tuple[int, list[Array]]:
        return count(feed), self._outputs(feed)

    def _outputs(self, feed: Feed) -> list[Array]:
        fixed, given = self._interface.batch_size, count(feed)
        if fixed is not None and given < fixed:
            feed = {name: x[np.arange(fixed) % given] for name, x in feed.items()}
        try:
            outputs = self._session.run(None, runtimes.tensors(feed, self._interface))
        except runtimes.ORT_ERRORS as e:
            shapes = ", ".join(f"'{name}' {list(x.shape)}" for name, x in feed.items())
            raise MeasureError(f"calibration: the model failed on {shapes}: {e}") from e
        return [np.asarray(o) for o in outputs]


def runner_of(model: ir.Model, names: Sequence[str], passes: Passes) -> Runner:
    """A session that gives the values called `names` for the samples of `passes`, in whatever order."""
    return Runner(
        with_outputs(model, names),
        passes.interface,
        workers=passes.workers,
        padding=passes.padding,
    )


def _check_finite(feed: Feed) -> None:
    for name, x in feed.items():
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise ConfigError(f"calibration: the input '{name}' holds NaN or infinite numbers")
