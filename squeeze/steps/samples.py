"""Which samples of the calibrate split find activation ranges, and how a file does on that split."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from squeeze import measure, metrics, runtimes
from squeeze.calib.selection import select
from squeeze.feed import Passes, count
from squeeze.goal import Lost
from squeeze.metrics import per_class

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


def calibrate_lost(
    case: Case, file: Path, *, threads: int, progress: Progress | None = None
) -> Lost:
    """What `file` loses against the teacher on the calibrate split; where the case says so, against what the teacher
    has on samples that it does not know by heart."""
    split, reference = case.data.calibrate, case.reference("calibrate")
    beside = measure.beside(case.data, split)
    teacher = metrics.Scorer(case.readings, split.y, reference, beside)
    file_scorer = teacher.again()
    teacher.take(reference)
    before = [
        score if value is None else replace(score, value=value)
        for score, value in zip_longest(metrics.scores_of(teacher), case.by_heart)
    ]
    watched = _Answers(case) if case.has_classes("calibrate") else None
    found = measure.scored(
        file,
        case.data,
        split,
        file_scorer,
        interface=case.interface,
        threads=threads,
        progress=progress,
        watch=None if watched is None else watched.take,
    )
    drop = max(metrics.drops(before, found))
    return Lost(drop, None if watched is None else watched.class_drop())


class _Answers:
    """The class that a file answers each sample of the calibrate split with."""

    def __init__(self, case: Case) -> None:
        output = case.readings[0].output
        self._case, self._output = case, output
        self._reference = case.reference("calibrate")[output]
        self._parts: list[NDArray[np.int64]] = []

    def take(self, outputs: Feed) -> None:
        self._parts.append(per_class.answered(outputs[self._output], self._reference))

    def class_drop(self) -> float:
        """Points of recall of the class that loses most."""
        y = self._case.data.calibrate.y
        assert y is not None  # else there are no classes
        labels, answers = per_class.labelled(y), np.concatenate(self._parts)
        if known := dict(self._case.by_heart_recalls):
            return per_class.recall_drop(known, answers, labels)
        before = per_class.answered(self._reference, self._reference)
        return per_class.worst_class(before, answers, labels).drop


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
