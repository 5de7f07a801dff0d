"""The batches of a training, each a pure function of its step: inputs, the guide's answers, the data's labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squeeze.feed import as_taken
from squeeze.outputs import Outputs
from squeeze.students.network import Inputs
from squeeze.train.order import ALL, Order

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.feed import Feed, Padding
    from squeeze.guides import Guide
    from squeeze.guides.views import Views
    from squeeze.train.lesson import Lesson


_ANSWERED = 1024  # samples of a part


@dataclass(frozen=True)
class Batch:
    """x: [b, ...], of several inputs by their names; answers and labels as the loss wants them, labels None where it
    has no use for them. seen: [b] the number of each view, None where nobody counts them."""

    x: Inputs
    answers: Outputs[Tensor]
    labels: Tensor | None
    seen: Tensor | None = None


@dataclass(frozen=True)
class Batches:
    """Batches of `batch_size` views of the fit split, on `device`; `seed` decides their order. padding: what of samples
    may be left away, so that a batch is as wide as its longest. order: which views come, and when."""

    calib: Calib
    views: Views
    guide: Guide
    lesson: Lesson
    batch_size: int
    seed: int
    device: str
    padding: Padding | None = None
    order: Order = ALL

    def at(self, step: int) -> Batch:
        """The batch of a step."""
        samples, views = self.order.at(
            step,
            n=len(self.calib.fit),
            batch_size=self.batch_size,
            views=self.views.count,
            seed=self.seed,
        )
        x, answers, labels = self._taught(samples, views)
        taps = {name: values.to(self.device) for name, values in answers.taps.items()}
        return Batch(
            self._inputs(x),
            Outputs(answers.logits.to(self.device), taps),
            None if labels is None else labels.to(self.device),
            torch.from_numpy(samples * self.views.count + views),
        )

    def answers(self) -> Iterator[tuple[Outputs[Tensor], Tensor | None]]:
        """What the guide says of the first view of every fit sample, with the labels, on the CPU; in parts."""
        n = len(self.calib.fit)
        for start in range(0, n, _ANSWERED):
            samples = np.arange(start, min(start + _ANSWERED, n))
            _, answers, labels = self._taught(samples, np.zeros_like(samples))
            yield answers, labels

    def plain(self, count: int, size: int) -> Iterator[Inputs]:
        """The first `count` inputs of the calibrate split as they are, `size` at a time."""
        count = min(count, len(self.calib.calibrate))
        for start in range(0, count, size):
            feed = self.calib.feed(self.calib.calibrate, start, min(start + size, count))
            yield self._inputs(as_taken(feed))

    def _taught(
        self, samples: NDArray[np.int64], views: NDArray[np.int64]
    ) -> tuple[NDArray[np.generic] | Feed, Outputs[Tensor], Tensor | None]:
        """Inputs, answers and labels of some views, the latter two as the loss wants them."""
        seen, lesson = self.views.at(samples, views), self.lesson
        found = self.guide.at(samples, views, lesson.loss.needs)
        answers = lesson.answers(self.order.taught(found, samples, views, seen.labels))
        return seen.x, answers, lesson.labels(seen.labels)

    def _inputs(self, x: NDArray[np.generic] | Feed) -> Inputs:
        if isinstance(x, np.ndarray):
            return inputs(x, self.device)
        feed = x if self.padding is None else self.padding.cut(x)
        return {name: inputs(value, self.device) for name, value in feed.items()}


def only_input(x: Inputs) -> Tensor:
    """The inputs of a network that takes one tensor."""
    assert isinstance(x, Tensor)  # its data has no other
    return x


def inputs(x: NDArray[np.generic], device: str) -> Tensor:
    """[n, ...] on the device; images with their channels last, which convolutions are fastest on."""
    if x.ndim != 4:
        return torch.from_numpy(np.ascontiguousarray(x)).to(device)
    # By NumPy, for torch would wake threads for it beside those of the step that is learning.
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    return torch.from_numpy(last).movedim(-1, 1).to(device)
