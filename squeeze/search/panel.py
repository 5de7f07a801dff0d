"""The few class-balanced samples that a score looks at, with what the teacher says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from squeeze.metrics import METRICS
from squeeze.outputs import Outputs

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.teacher import Teacher

# Without labels, this many times the batch is shown to the teacher to find samples of every class.
_POOL = 4
# More classes than this say no more about the order of classes, only cost time.
_MOST_CLASSES = 64


@dataclass(frozen=True)
class Panel:
    """x: [b, *input_shape]; y: class indices [b], or None when outputs are not classes; teacher: Outputs of x.

    Logits have at least two columns where there are classes: a single logit z becomes (0, z).
    """

    x: Tensor
    y: Tensor | None
    teacher: Outputs[Tensor]

    @property
    def classes(self) -> Tensor:
        """The classes that occur, ascending: [k]."""
        return torch.empty(0, dtype=torch.long) if self.y is None else torch.unique(self.y)


def two_columns(logits: Tensor) -> Tensor:
    """[b, 1] -> [b, 2], the logits of a two-class softmax with the same probabilities; others as they are."""
    return torch.cat((torch.zeros_like(logits), logits), 1) if logits.shape[1] == 1 else logits


def draw(
    teacher: Teacher, calib: Calib, batch_size: int, *, rng: random.Random, threads: int
) -> list[Panel]:
    """Up to three panels of together `batch_size` samples of calib.fit, balanced over classes.

    Classes are the data's labels, else the teacher's own answers. Each panel has at least two samples a class, as far
    as `batch_size` allows it; each is scored with other initial weights.
    """
    known = METRICS.get(calib.metric or "")
    numbers = known is not None and known.takes_numbers
    if calib.fit.y is not None and not numbers:
        labels = _classes(calib.fit.y, max(2, teacher.output.shape[0]))
        if labels is not None:
            picked = _balanced(labels, batch_size, rng)
            return _panels(teacher, _inputs(calib, picked), labels[picked], threads)
    if calib.fit.y is not None or numbers:
        picked = _some(len(calib.fit), batch_size, rng)
        return _panels(teacher, _inputs(calib, picked), None, threads)
    pool = _inputs(calib, _some(len(calib.fit), _POOL * batch_size, rng))
    logits = two_columns(torch.from_numpy(np.asarray(teacher.outputs(pool, threads).logits)))
    answers = logits.argmax(1).numpy()
    picked = _balanced(answers, batch_size, rng)
    return _panels(teacher, pool[picked], answers[picked], threads)


def _panels(
    teacher: Teacher, x: NDArray[np.generic], y: NDArray[np.int64] | None, threads: int
) -> list[Panel]:
    found = teacher.outputs(x, threads)
    logits = torch.from_numpy(np.asarray(found.logits, np.float32))
    if y is not None:
        logits = two_columns(logits)
    taps = {k: torch.from_numpy(np.asarray(v, np.float32)) for k, v in found.taps.items()}
    classes = 0 if y is None else len(np.unique(y))
    parts = max(1, min(3, len(x) // max(2 * classes, 16)))
    # Samples are ordered class after class; every `parts`-th keeps each panel balanced.
    rows = [torch.arange(part, len(x), parts) for part in range(parts)]
    samples = torch.from_numpy(np.asarray(x, np.float32))
    labels = None if y is None else torch.from_numpy(y)
    return [
        Panel(
            _fast_layout(samples[r]),
            None if labels is None else labels[r],
            Outputs(logits[r], {name: values[r] for name, values in taps.items()}),
        )
        for r in rows
    ]


def _classes(y: NDArray[np.generic], count: int) -> NDArray[np.int64] | None:
    """Labels as class indices [n]; None when they are something else: numbers, several a sample, or out of range."""
    if y.dtype.kind not in "iu" or y.size != len(y) or y.min() < 0 or y.max() >= count:
        return None
    return y.reshape(-1).astype(np.int64)


def _balanced(labels: NDArray[np.int64], count: int, rng: random.Random) -> list[int]:
    """Indices of `count` samples (or all there are), the same number of each class, class after class."""
    known = [int(c) for c in np.unique(labels)]
    most = max(1, min(_MOST_CLASSES, count // 2))
    chosen = sorted(rng.sample(known, most)) if len(known) > most else known
    members = {c: np.flatnonzero(labels == c).tolist() for c in chosen}
    for indices in members.values():
        rng.shuffle(indices)
    share = {c: 0 for c in chosen}
    left = min(count, sum(map(len, members.values())))
    while left:
        for c in chosen:
            if left and share[c] < len(members[c]):
                share[c] += 1
                left -= 1
    return [i for c in chosen for i in members[c][: share[c]]]


def _some(available: int, count: int, rng: random.Random) -> list[int]:
    return sorted(rng.sample(range(available), min(available, count)))


def _inputs(calib: Calib, indices: list[int]) -> NDArray[np.generic]:
    return np.concatenate([calib.inputs(calib.fit, i, i + 1) for i in indices])


def _fast_layout(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
