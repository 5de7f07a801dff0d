"""Which samples of the calibrate split find activation ranges, and how a file does on that split."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from squeeze import measure, metrics, runtimes
from squeeze.calib.selection import select
from squeeze.feed import Passes, count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from squeeze.case import Case
    from squeeze.feed import Feed
    from squeeze.progress import Progress
    from squeeze.spec import QuantPart

BATCH_SIZE = 32


def calibration_passes(case: Case, part: QuantPart, *, seed: int, threads: int) -> Passes:
    """Passes over `part.samples` samples, chosen as `part.selection` says.

    The teacher is asked only where the selection needs what it says of the samples. Raises ConfigError when it has no
    embedding or no classes and they are needed.
    """
    data, split = case.data, case.data.calibrate
    labels = split.y if split.y is not None and split.y.dtype.kind == "i" else None
    known = {}
    if part.selection in ("bins", "k-centre") and part.samples < len(split):
        known = _asked(case, part.selection, threads)
    name = "random" if part.samples >= len(split) else part.selection
    chosen = select(name, part.samples, len(split), labels=labels, seed=seed, **known)

    padding = None
    if measure.lengths_of(data, split, case.interface) is not None:
        opened = runtimes.session(case.net.file, outputs_only=True)
        padding = measure.padding_of(
            lambda feed: runtimes.infer(opened, feed, case.interface), data, split, case.interface
        )
    return data.passes(case.interface, split, chosen, BATCH_SIZE, threads, padding)


def first_samples(case: Case, count: int) -> Passes:
    """Passes over the first samples of the calibrate split, in one feed."""
    feed = case.data.feed(case.data.calibrate, 0, count)
    return Passes(case.interface, lambda: iter((feed,)))


def shown(passes: Passes, samples: int, progress: Progress) -> Passes:
    """The same passes over `samples` samples, each of which tells how far it is."""

    def begin() -> Iterator[Feed]:
        done = 0
        for feed in passes():
            progress.update(done, samples, "calibration samples")
            yield feed
            done += count(feed)

    return replace(passes, begin=begin)


def calibrate_drop(
    case: Case, file: Path, *, threads: int, progress: Progress | None = None
) -> float:
    """Points of the worst output that `file` loses against the teacher on the calibrate split; where the case says so,
    against what the teacher has on samples that it does not know by heart."""
    split, reference = case.data.calibrate, case.reference("calibrate")
    beside = measure.beside(case.data, split)
    teacher = metrics.Scorer(case.readings, split.y, reference, beside)
    file_scorer = teacher.again()
    teacher.take(reference)
    before = [
        score if value is None else replace(score, value=value)
        for score, value in zip_longest(metrics.scores_of(teacher), case.by_heart)
    ]
    found = measure.scored(
        file,
        case.data,
        split,
        file_scorer,
        interface=case.interface,
        threads=threads,
        progress=progress,
    )
    return max(metrics.drops(before, found))


def _asked(case: Case, selection: str, threads: int) -> dict[str, NDArray[np.generic]]:
    data, teacher = case.data, case.teacher
    if len(case.interface.inputs) != 1 or len(case.interface.outputs) != 1:
        return {}
    outputs = [teacher.outputs(x, threads) for x in data.batches(data.calibrate, 64)]
    if selection == "bins" and "embedding" in outputs[0].taps:
        return {"features": np.concatenate([o.taps["embedding"] for o in outputs])}
    if selection == "k-centre" and outputs[0].logits.ndim == 2:
        return {"probabilities": _softmax(np.concatenate([o.logits for o in outputs]))}
    return {}


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))
