"""What an exported file gives for a split of the data, and how that scores: any number of inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import MeasureError
from squeeze.feed import Array, Feed, count
from squeeze.measure.lengths import by_length, lengths_of
from squeeze.measure.output_files import OutputFiles
from squeeze.metrics import Beside, Reading, Score, Scorer, scores_of
from squeeze.progress import Progress
from squeeze.runtimes.concurrent import in_order
from squeeze.runtimes.inference import BATCH_SIZE, infer
from squeeze.runtimes.ort import session

if TYPE_CHECKING:
    from squeeze.calib import Calib, Split
    from squeeze.interface import Interface

# Of all inputs and outputs of one batch: the larger a sample, the fewer run together.
_BATCH_NUMBERS = 1 << 21


@dataclass(frozen=True)
class Evaluated:
    """One score a reading, and all outputs that the file gave, name -> [n, ...]. intervals: of the scores, where they
    were asked for."""

    scores: tuple[Score, ...]
    outputs: Mapping[str, Array]
    intervals: tuple[tuple[float, float] | None, ...] = ()


def evaluate(
    model: Path,
    calib: Calib,
    split: Split,
    readings: Sequence[Reading],
    *,
    interface: Interface,
    reference: Mapping[str, Array] | None = None,
    threads: int = 1,
    files: Mapping[str, Path] | None = None,
    intervals: bool = False,
    progress: Progress | None = None,
) -> Evaluated:
    """What `model` gives for `split`, one of `calib` fitted to `interface`, and the scores of the readings.

    `reference` holds the teacher's outputs, with which `agreement`, and other metrics where there are no labels,
    compare; None when `model` is the teacher. Samples pass through in batches; outputs are kept in memory, or where
    `files` says (output -> .npy file), from where they are read as they are looked at. Raises ConfigError when metric,
    labels and outputs do not go together, MeasureError when the model fails or an output that is read is not finite.
    """
    scorer = Scorer(readings, split.y, reference, beside(calib, split))
    parts: dict[str, list[Array]] = {spec.name: [] for spec in interface.outputs}
    written = None if files is None else OutputFiles(files, len(split))
    batches = outputs_in_batches(
        model, calib, split, interface=interface, threads=threads, progress=progress
    )
    try:
        for found in batches:
            scorer.take(found)
            if written is not None:
                written.take(found)
                continue
            for name, values in found.items():
                parts[name].append(values)
        outputs = (
            {name: np.concatenate(values) for name, values in parts.items()}
            if written is None
            else written.opened()
        )
        judged = scores_of(scorer)
        return Evaluated(judged, outputs, tuple(scorer.intervals()) if intervals else ())
    except MeasureError as e:
        raise MeasureError(f"{model}: {e}") from e


def scored(
    model: Path,
    calib: Calib,
    split: Split,
    scorer: Scorer,
    *,
    interface: Interface,
    threads: int = 1,
    progress: Progress | None = None,
    watch: Callable[[Mapping[str, Array]], None] | None = None,
) -> tuple[Score, ...]:
    """The scores alone, by a scorer that took nothing yet: of outputs that are summed as they come nothing is kept.

    watch: is given all outputs, too, some samples at a time, in order. Raises as `evaluate`.
    """
    batches = outputs_in_batches(
        model, calib, split, interface=interface, threads=threads, progress=progress
    )
    try:
        for found in batches:
            scorer.take(found)
            if watch is not None:
                watch(found)
        return scores_of(scorer)
    except MeasureError as e:
        raise MeasureError(f"{model}: {e}") from e


def outputs_in_batches(
    model: Path,
    calib: Calib,
    split: Split,
    *,
    interface: Interface,
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[dict[str, Array]]:
    """Every output of the file, name -> [k, ...], some samples of `split` at a time, in order. Of texts padding
    is left away where that changes nothing. threads: how many batches run at the same time; outputs do not depend on
    it. Raises MeasureError."""
    opened = session(model, outputs_only=True)
    fixed = interface.batch_size or 1
    numbers = sum(int(np.prod(s.shape)) for s in (*interface.inputs, *interface.outputs))
    together = min(BATCH_SIZE, max(1, _BATCH_NUMBERS // max(1, numbers)))
    # Whole batches of a model that fixes them: nothing is filled up but the last.
    size = fixed * max(1, together // fixed)
    told, done = progress or Progress(), 0

    def outputs(feed: Feed) -> dict[str, Array]:
        return infer(opened, feed, interface, size)

    lengths = lengths_of(calib, split, interface)
    batches = (
        in_order(outputs, calib.feeds(split, size), threads)
        if lengths is None
        else by_length(outputs, calib, split, lengths, size, threads)
    )
    for found in batches:
        done += count(found)
        told.update(done, len(split), "samples scored")
        yield found


def beside(calib: Calib, split: Split) -> Beside:
    """What a metric may ask for: the samples as the model takes them, their groups, the names of classes."""
    return Beside(lambda: calib.as_model(split), split.groups, calib.class_names)
